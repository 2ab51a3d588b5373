"""`Dataset`: the tables of one data set, its label scheme and where it came from."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping

import attrs
import polars as pl

from prodmatch_core.data.tables import SCHEMAS, check_table
from prodmatch_core.errors import DataError

_PIECE = 1 << 18
"Values of a column hashed at once."


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

        The same rows in the same order give the same fingerprint on every machine and Polars version. It is
        worked out once: whoever changes a table makes a new data set.
        """
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self.scheme, self.tables())


def fingerprint_of(
    scheme: LabelScheme | None, tables: Iterable[tuple[str, pl.DataFrame | pl.LazyFrame]]
) -> str:
    """Return the fingerprint of tables, in memory or on disk, which are read a piece of a column at a time.

    Args:
        scheme: label scheme, if there is one.
        tables: (name, table) in the order of SCHEMAS, columns as `check_table` leaves them.
    """
    digest = hashlib.sha256(repr(scheme).encode())
    for name, table in tables:
        lazy = table.lazy()
        height = table.height if isinstance(table, pl.DataFrame) else lazy.select(pl.len()).collect().item()
        digest.update(f"{name}:{height}".encode())
        for column, dtype in lazy.collect_schema().items():
            digest.update(f"{column}:{dtype}".encode())
            for start in range(0, max(height, 1), _PIECE):
                if isinstance(table, pl.DataFrame):
                    piece = table.get_column(column).slice(start, _PIECE)
                else:
                    piece = table.slice(start, _PIECE).select(column).collect().to_series()
                _update(digest, piece)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, piece: pl.Series) -> None:
    digest.update(piece.is_null().to_numpy().tobytes())
    if piece.dtype == pl.String:
        piece = piece.fill_null("")
        digest.update(piece.str.len_bytes().to_numpy().tobytes())
        # as bytes: to make a Python text of it and encode that again takes longer than the hash
        digest.update(piece.str.join("").cast(pl.Binary).item() or b"")
    else:
        digest.update(piece.to_physical().fill_null(0).to_numpy().tobytes())
