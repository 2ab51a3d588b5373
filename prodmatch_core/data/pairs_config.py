"""Configuration of the readers of query-product-label files. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import attrs

from prodmatch_core.data.file_config import TableFile
from prodmatch_core.fields import Expected, not_empty, one_of

BINARY = ("match", "mismatch")
"Labels of pairs that match or do not."
_labels = Expected(
    "two or more different labels",
    lambda v: len(v) > 1 and len(set(v)) == len(v) and all(isinstance(x, str) and x.strip() for x in v),
)


@attrs.frozen
class Columns:
    """Which column of the file holds what. An optional one left out is read where the file has its name."""

    query: str = attrs.field(default="query", validator=not_empty)
    "Query as typed."
    title: str = attrs.field(default="title", validator=not_empty)
    "Title of the product."
    label: str = attrs.field(default="label", validator=not_empty)
    "Label, or the number that thresholds turn into one."
    query_id: str | None = None
    'Identifier of the query; made from locale and text where there is none, or where set to "".'
    product_id: str | None = None
    'Identifier of the product; made from all its texts where there is none, or where set to "".'
    description: str | None = None
    "Free text about the product."
    bullets: str | None = None
    "Feature bullets of the product."
    brand: str | None = None
    "Brand of the product."
    color: str | None = None
    "Colour of the product."
    locale: str | None = None
    "Market and language of query and product."
    split: str | None = None
    'train, valid (or validation, dev) or test; set to "" to divide the queries anew.'
    weight: str | None = None
    "Weight of the example, not negative."
    spread: str | None = None
    "Disagreement of the raters."


@attrs.frozen
class Scheme:
    """The labels a file's values become, best match first."""

    labels: tuple[str, ...] = attrs.field(default=BINARY, validator=_labels)
    "Labels, best match first."
    gains: tuple[float, ...] = ()
    "Gain of each label in ranking measures; empty: n - 1, ..., 1, 0."
    positive: tuple[str, ...] = ()
    "Labels that count as a match; empty: the best one."
    name: str = attrs.field(default="custom", validator=not_empty)
    "Name of the scheme in reports."

    def __attrs_post_init__(self) -> None:
        if self.gains and len(self.gains) != len(self.labels):
            raise ValueError(f"gains: expected {len(self.labels)}, one for each label, got {len(self.gains)}")
        unknown = [label for label in self.positive if label not in self.labels]
        if unknown or set(self.positive) == set(self.labels):
            raise ValueError(
                f"positive: expected some, not all, of {', '.join(self.labels)}; "
                f"got {', '.join(self.positive)}"
            )


@attrs.frozen
class PairsConfig(TableFile):
    """A file of query, product and label, one judgement a row."""

    columns: Columns = attrs.field(factory=Columns)
    "Which column of the file holds what."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of rows that name none."
    labels: Mapping[str, str] = attrs.field(factory=dict)
    "Value in the file -> label; empty: the file holds the labels themselves."
    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    "Label -> least number that earns it; the worst label may be left out and takes everything lower."
    scheme: Scheme = attrs.field(factory=Scheme)
    "The labels, their order, gains, and which count as a match."

    def __attrs_post_init__(self) -> None:
        labels = self.scheme.labels
        if self.labels and self.thresholds:
            raise ValueError(
                "expected labels or thresholds, got both; labels are for words, thresholds for numbers"
            )
        for field, names in (("labels", self.labels.values()), ("thresholds", self.thresholds)):
            unknown = sorted(set(names) - set(labels))
            if unknown:
                raise ValueError(
                    f"{field}: {', '.join(unknown)} is not in the scheme's labels ({', '.join(labels)})"
                )
        if self.thresholds:
            missing = [label for label in labels[:-1] if label not in self.thresholds]
            if missing:
                raise ValueError(f"thresholds: expected a least number for {', '.join(missing)} too")
            steps = [self.thresholds[label] for label in labels if label in self.thresholds]
            if any(low >= high for high, low in pairwise(steps)):
                raise ValueError(f"thresholds: expected falling numbers from {labels[0]} on, got {steps}")


@attrs.frozen
class CrowdflowerConfig:
    """CrowdFlower search relevance (2015): four classes, the median of the raters, with their variance."""

    path: str = attrs.field(default="crowdflower/train.csv", validator=not_empty)
    "The original `train.csv`, plain or gzipped."
    scheme: str = attrs.field(default="graded", validator=one_of("graded", "binary"))
    "Four classes, or match (median 3 and 4) against mismatch (1 and 2)."

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the scheme, best match first."""
        return ("excellent", "good", "fair", "poor") if self.scheme == "graded" else BINARY


@attrs.frozen
class HomeDepotConfig:
    """Home Depot product search relevance (2016): the mean of the raters, from 1 to 3."""

    path: str = attrs.field(default="homedepot/train.csv", validator=not_empty)
    "The original `train.csv` (ISO-8859-1), plain or gzipped."
    scheme: str = attrs.field(default="binary", validator=one_of("graded", "binary"))
    "Match (2 and above) against mismatch; or perfect (from 2.67), partial (from 2) and irrelevant."

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the scheme, best match first."""
        return ("perfect", "partial", "irrelevant") if self.scheme == "graded" else BINARY
