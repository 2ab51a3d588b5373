"""Readers of event logs: any file of them, Criteo's and TalkingData's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.events_config import (
    CriteoConfig,
    CriteoDisplayConfig,
    EventColumns,
    EventsConfig,
    TalkingDataConfig,
)
from prodmatch_core.data.files import RawTable, read_table
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.named_columns import named_columns
from prodmatch_core.data.product_graph import read_products, refuse_repeated
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import Rows, finite_numbers, require_columns
from prodmatch_core.data.times import no_time, parse_times

_DAY = 86_400_000_000
_COMPETITION = "competition rules: use, no re-publication"


def read(config: EventsConfig, context: ReadContext) -> Dataset:
    """Return the data set of one event log. Rows stay in the order of the file.

    Categorical features are String, numeric ones Float64; blank cells are null in both.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a bad row and `context` skips none.
    """
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, config.format, config.encoding, config.quote, bad, config.header)
    name = Path(config.path).name.partition(".")[0]
    return _events(raw, config, bad, context, Origin(name, config.path, part="core.events"))


def read_criteo(config: CriteoConfig, context: ReadContext) -> Dataset:
    """Return Criteo's conversion log. Times count from its unknown start, which is set to 1970-01-01."""
    integers = tuple(f"integer_{n}" for n in range(1, 9))
    categories = tuple(f"category_{n}" for n in range(1, 10))
    settings = EventsConfig(
        path=config.path,
        header=("clicked_at", "converted_at", *integers, *categories),
        columns=EventColumns(shown_at="clicked_at"),
        categorical=categories,
        numeric=integers,
    )
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, "tsv", "utf-8", "", bad, settings.header, rows=config.rows)
    origin = Origin(
        "criteo",
        "Criteo conversion logs (Chapelle, KDD 2014)",
        "Criteo's terms: research use, no re-publication",
        "core.criteo",
    )
    notes = ["times count from the log's unknown start, set to 1970-01-01"]
    return _events(raw, settings, bad, context, origin, notes)


def read_criteo_display(config: CriteoDisplayConfig, context: ReadContext) -> Dataset:
    """Return Criteo's display advertising challenge as events whose times stand for the order of the rows.

    The file has no times but is in their order, so its rows are spread evenly over `days`; a click counts as a
    conversion at once. Splits by time mean what they say, delays mean nothing.
    """
    numbers = tuple(f"I{n}" for n in range(1, 14))
    categories = tuple(f"C{n}" for n in range(1, 27))
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    with_header = path.suffix.lower() == ".csv" or ".csv" in path.suffixes
    header = () if with_header else ("Label", *numbers, *categories)
    raw = read_table(path, "csv" if with_header else "tsv", "utf-8", '"' if with_header else "", bad, header)
    require_columns(
        path,
        raw.frame.columns,
        ["Label", *numbers, *categories],
        'core.criteo_display reads the original file; read others with use = "core.events".',
    )
    rows = Rows(raw, {"Label": "Label"}, bad, "core.criteo_display")
    rows.refuse(
        "Label",
        ~rows.frame["Label"].str.strip_chars().is_in(["0", "1"]).fill_null(False),
        lambda row: f'"{row["Label"] or ""}" is neither 0 nor 1',
        "Correct it",
    )
    rows.drop_bad()
    rows.require_some()
    position = pl.int_range(raw.frame.height, eager=True)
    moment = (position * (config.days * 86_400 / raw.frame.height)).round(6)
    kept = rows.frame["_record"]
    clicked = pl.Series(raw.frame["Label"].gather(kept)).str.strip_chars() == "1"
    frame = raw.frame[kept].with_columns(
        shown_at=moment.gather(kept).cast(pl.String),
        converted_at=moment.gather(kept).set(~clicked, None).cast(pl.String),
    )
    numbering = raw.row_numbers
    raw = attrs.evolve(raw, frame=frame, row_numbers=lambda: [numbering()[record] for record in kept])
    settings = EventsConfig(
        path=config.path,
        columns=EventColumns(event_id="Id" if "Id" in frame.columns else ""),
        categorical=categories,
        numeric=numbers,
    )
    origin = Origin(
        "criteo_display",
        "Criteo Display Advertising Challenge, Kaggle 2014",
        _COMPETITION,
        "core.criteo_display",
    )
    notes = [
        f"the file has no times: its rows, in order of time, are spread evenly over {config.days:g} days from "
        "1970-01-01",
        "a conversion is a click, at the moment of showing; all delays are 0, so no delay can be learnt",
    ]
    return _events(raw, settings, bad, context, origin, notes)


def read_talkingdata(config: TalkingDataConfig, context: ReadContext) -> Dataset:
    """Return TalkingData's clicks: a conversion is the download of the app."""
    features = ("ip", "app", "device", "os", "channel")
    settings = EventsConfig(
        path=config.path,
        columns=EventColumns(
            shown_at="click_time",
            converted_at="attributed_time",
            engaged_at="",
            event_id="",
            query_id="",
            product_id="",
        ),
        categorical=features,
    )
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, "csv", "utf-8", '"', bad)
    origin = Origin(
        "talkingdata",
        "TalkingData AdTracking Fraud Detection, Kaggle 2018",
        _COMPETITION,
        "core.talkingdata",
    )
    return _events(raw, settings, bad, context, origin)


def _events(
    raw: RawTable,
    config: EventsConfig,
    bad: BadRows,
    context: ReadContext,
    origin: Origin,
    notes: list[str] | None = None,
) -> Dataset:
    generic = origin.part == "core.events"
    remedy = (
        'Say which column holds what, e.g. columns.shown_at = "click_time", or name the columns with header = [...].'
        if generic
        else f'{origin.part} reads the original file; read others with use = "core.events".'
    )
    features = [*config.categorical, *config.numeric]
    names = named_columns(raw, config.columns, {"shown_at", "converted_at"}, remedy)
    require_columns(raw.path, raw.frame.columns, features, remedy)
    rows = Rows(raw, {**names, **{name: name for name in features}}, bad, origin.part)
    if "locale" not in features:
        rows.frame = rows.frame.drop("locale")
    times = [name for name in ("shown_at", "engaged_at", "converted_at") if name in names]
    _parse_moments(rows, times, config.time_unit)
    numbers = {name: finite_numbers(rows, name) for name in config.numeric}
    rows.frame = rows.frame.with_columns(
        *(values.alias(name) for name, values in numbers.items()),
        *(pl.col(name).str.strip_chars() for name in config.categorical),
        *(pl.col(n).str.strip_chars() for n in ("event_id", "query_id", "product_id") if n in names),
    )
    if "event_id" in names:
        rows.refuse(
            "event_id", rows.frame["event_id"].is_null(), lambda row: "the identifier is empty", "Fill it"
        )
    rows.drop_bad()
    if "event_id" in names:
        refuse_repeated(rows, "event_id")
        rows.drop_bad()
    rows.require_some()
    found: list[str] = []
    products = None
    if config.products is not None:
        products, found = read_products(config.products, config.locale, context)
    missing = [name for name in ("query_id", "product_id") if name not in names]
    events = rows.frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in missing)
    if "event_id" not in names:
        events = events.with_columns(event_id="e" + (pl.col("_record") + 1).cast(pl.String))
    if products is not None:
        strange = events["product_id"].drop_nulls().unique(maintain_order=True)
        strange = strange.filter(~strange.is_in(products["product_id"].implode()))
        bare = pl.DataFrame({"product_id": strange}).with_columns(locale=pl.lit(config.locale))
        products = pl.concat([products, bare], how="diagonal")
        found += (
            [f"products of events that have no product row: {len(strange)} (kept)"] if len(strange) else []
        )
    return Dataset(
        name=origin.name,
        products=products,
        events=events.select("event_id", "query_id", "product_id", *times, *features),
        licence=origin.licence,
        source=origin.source,
        notes=(*bad.notes(raw.total), *(notes or []), *found),
    )


def _parse_moments(rows: Rows, times: Sequence[str], unit: str) -> None:
    """Turn the columns of times into points in time; refuse what is none and what comes before it was shown."""
    texts = rows.frame.select(times)
    moments = {name: parse_times(texts[name], unit) for name in times}
    rows.refuse("shown_at", texts["shown_at"].is_null(), lambda row: "the time is empty", "Fill it")
    for name, found in moments.items():
        wrong = found.is_null() & texts[name].is_not_null()
        rows.refuse(name, wrong, no_time(name, unit), "Correct it")
    for name in times[1:]:
        rows.refuse(name, moments[name] < moments["shown_at"], _too_early(name), "Correct it")
    rows.frame = rows.frame.with_columns(found.alias(name) for name, found in moments.items())


def _too_early(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row[column]} is before {row['shown_at']}, when it was shown"
