"""Configuration of the readers of event logs. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.data.file_config import TableFile, header
from prodmatch_core.data.graph_config import TIME_UNITS, ProductsFile
from prodmatch_core.fields import at_least, not_empty, one_of, positive

RESERVED = ("event_id", "query_id", "product_id", "shown_at", "engaged_at", "converted_at")


@attrs.frozen
class EventColumns:
    """Which column of the file holds what. An optional one left out is read where the file has its name."""

    shown_at: str = attrs.field(default="shown_at", validator=not_empty)
    "When the product was shown or clicked."
    converted_at: str = attrs.field(default="converted_at")
    'When it converted, blank where it did not; "": the file has no conversions.'
    engaged_at: str | None = None
    "First sign before a conversion, such as an item put into the basket."
    event_id: str | None = None
    "Identifier of the event; the number of the row where there is none."
    query_id: str | None = None
    "Identifier of the query."
    product_id: str | None = None
    "Identifier of the product."


@attrs.frozen
class EventsConfig(TableFile):
    """An event log, one event a row: CSV, TSV, JSON lines or Parquet, plain or gzipped."""

    header: tuple[str, ...] = attrs.field(default=(), validator=header)
    "Names of the columns of a CSV or TSV file whose first row is an event."
    columns: EventColumns = attrs.field(factory=EventColumns)
    "Which column of the file holds what."
    categorical: tuple[str, ...] = ()
    "Feature columns that hold kinds: words, hashes, identifiers, numbers that only name something."
    numeric: tuple[str, ...] = ()
    "Feature columns that hold quantities."
    time_unit: str = attrs.field(default="seconds", validator=one_of(*TIME_UNITS))
    "Unit of times that are numbers; those that are not are ISO dates and times, UTC where they name no offset."
    products: ProductsFile | None = None
    "File with the texts of the products."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of products that name none."

    def __attrs_post_init__(self) -> None:
        names = [*self.categorical, *self.numeric]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"expected each feature once in categorical or numeric, got {', '.join(twice)} again"
            )
        if taken := [name for name in names if name in RESERVED or not name.strip()]:
            raise ValueError(
                f'expected names of features, got "{taken[0]}"; {", ".join(RESERVED)} are no features, name those '
                "under columns"
            )


@attrs.frozen
class CriteoConfig:
    """Criteo's conversion log (Chapelle 2014): clicks on advertisements and when they converted."""

    path: str = attrs.field(default="criteo/data.txt", validator=not_empty)
    "The original tab-separated `data.txt`, plain or gzipped."
    rows: int = attrs.field(default=0, validator=at_least(0))
    "Read the first so many rows only; 0: all. The whole log has 15.9 million."


@attrs.frozen
class CriteoDisplayConfig:
    """Criteo's display advertising challenge (Kaggle 2014): advertisements shown, and whether they were clicked."""

    path: str = attrs.field(default="criteo_tiny/train.tiny.csv", validator=not_empty)
    "CSV with header Id, Label, I1-I13, C1-C26, or the original tab-separated `train.txt` without header."
    days: float = attrs.field(default=7.0, validator=positive)
    "Days over which the rows, which are in order of time but have none, are spread evenly."


@attrs.frozen
class TalkingDataConfig:
    """TalkingData AdTracking (Kaggle 2018): clicks on advertisements of apps, and when the app was downloaded."""

    path: str = attrs.field(default="talkingdata/train_sample_markqle.csv", validator=not_empty)
    "The original `train.csv` or `train_sample.csv`, plain or gzipped."
