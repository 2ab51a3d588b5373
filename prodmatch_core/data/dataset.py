"""`Dataset`: the tables of one data set, its label scheme and where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import attrs
import polars as pl

from prodmatch_core.data.tables import SCHEMAS, check_table
from prodmatch_core.errors import DataError


def _words(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@attrs.frozen
class LabelScheme:
    """Ordered labels of a judgement, best match first, with the gain of each and which count as a match."""

    name: str
    labels: tuple[str, ...] = attrs.field(converter=_words)
    gains: tuple[float, ...] = attrs.field(converter=_numbers)
    positive: tuple[str, ...] = attrs.field(converter=_words)
    "Labels that count as a match; the score of a pair is the sum of their probabilities."

    def __attrs_post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise DataError(
                f"label scheme {self.name}: needs two or more different labels, got {self.labels}"
            )
        if len(self.gains) != len(self.labels):
            raise DataError(f"label scheme {self.name}: {len(self.labels)} labels, {len(self.gains)} gains")
        unknown = set(self.positive) - set(self.labels)
        if unknown or not self.positive or len(self.positive) == len(self.labels):
            raise DataError(
                f"label scheme {self.name}: positive labels {list(self.positive)} must be some, not all, "
                f"of {list(self.labels)}"
            )

    def index(self, label: str) -> int:
        """Return the class index of `label`: 0 is the best match."""
        return self.labels.index(label)


ESCI = LabelScheme(
    "esci", ("exact", "substitute", "complement", "irrelevant"), (1.0, 0.1, 0.01, 0.0), ("exact",)
)
"The four classes of the Shopping Queries Data Set with the gains of its paper (arXiv 2206.06588)."


@attrs.frozen(eq=False)
class Dataset:
    """The tables of one data set. Tables a source does not have are None.

    Every table is checked against its schema when the data set is made, so whoever holds a `Dataset` may rely
    on names, types and keys. References between tables are checked by `check_references`.
    """

    name: str
    scheme: LabelScheme | None = None
    products: pl.DataFrame | None = None
    queries: pl.DataFrame | None = None
    judgements: pl.DataFrame | None = None
    engagements: pl.DataFrame | None = None
    groups: pl.DataFrame | None = None
    events: pl.DataFrame | None = None
    truth: Mapping[str, pl.DataFrame] = attrs.field(factory=dict)
    "What only a synthetic world knows (true relevance, probabilities, delays); no part may learn from it."
    licence: str = "unknown"
    source: str = "unknown"
    notes: tuple[str, ...] = ()
    "What the reader wants a person to know: rows skipped, duplicates across splits, columns absent."

    def __attrs_post_init__(self) -> None:
        for name, table in self.tables():
            object.__setattr__(self, name, check_table(table, SCHEMAS[name], self.source))
        if self.judgements is not None and self.scheme is None:
            raise DataError(f"{self.source}: judgements without a label scheme")

    def tables(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield (name, table) of every table that is there, without `truth`."""
        for name in SCHEMAS:
            table = getattr(self, name)
            if table is not None:
                yield name, table

    @property
    def gives(self) -> frozenset[str]:
        """Return the names of the tables that are there."""
        return frozenset(name for name, _ in self.tables())

    def fingerprint(self) -> str:
        """Return a SHA-256 over names, types and values of all tables and the label scheme.

        The same rows in the same order give the same fingerprint on every machine and Polars version.
        """
        digest = hashlib.sha256(repr(self.scheme).encode())
        for name, table in self.tables():
            digest.update(f"{name}:{table.height}".encode())
            for column in table.iter_columns():
                _update(digest, column)
        return digest.hexdigest()


def _update(digest: hashlib._Hash, column: pl.Series, rows: int = 1 << 18) -> None:
    digest.update(f"{column.name}:{column.dtype}".encode())
    for start in range(0, max(len(column), 1), rows):
        part = column.slice(start, rows)
        digest.update(part.is_null().to_numpy().tobytes())
        if part.dtype == pl.String:
            part = part.fill_null("")
            digest.update(part.str.len_bytes().to_numpy().tobytes())
            digest.update((part.str.join("").item() or "").encode())
        else:
            digest.update(part.to_physical().fill_null(0).to_numpy().tobytes())
