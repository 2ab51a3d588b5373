"""`Ranked`: every query's list in rank order, cut into blocks that nothing but chance could put in order.

Built once from rows of a query, a product's score and its worth; every ranking measure reads it (`ranking`). Two
rules say what to do with products of one query that have the same score:

- *expected*: they form one block, and a measure is its expectation over all orders of the block;
- *trec*: as trec_eval does, scores are seen as 32-bit floats and the greater product id comes first, so that
  every block holds one row.

Ties are counted in either case.
"""

from __future__ import annotations

import functools
from typing import Any

import attrs
import numpy as np
import polars as pl

TIE_RULES = {
    "expected": "equal scores share their ranks: a measure is its expectation over all orders of the ties",
    "trec": "trec_eval's: scores as 32-bit floats, of equal ones the greater product id comes first",
}
"Name of each tie rule -> what it does, in words for reports."


@attrs.frozen
class Ties:
    """How much of a ranking is not the model's doing."""

    rows: int
    "Rows whose score equals another row's of the same query."
    queries: int
    "Queries with such rows."
    decided_by_rule: int
    "Queries where tied rows differ in gain or relevance, so that their order changes some measure."


@attrs.frozen(eq=False)
class Ideal:
    """All that could be found: the judged products of every query, best first, retrieved or not."""

    query: np.ndarray
    "(m,) int64 query number, ascending."
    gain: np.ndarray
    "(m,) float64 gain, falling within a query."
    relevant: np.ndarray
    "(G,) float64 number of relevant products of each query."

    @functools.cached_property
    def place(self) -> np.ndarray:
        """Return the 0-based place of each row within its query, (m,)."""
        return place(self.query, len(self.relevant))


@attrs.frozen(eq=False)
class Ranked:
    """Rows by query and rank (n of them), in blocks of equal rank (b), with the best that was possible."""

    query: np.ndarray
    "(n,) int64 query number 0..G-1, ascending."
    gain: np.ndarray
    "(n,) float64 worth of each product; 0 where it was not judged."
    relevant: np.ndarray
    "(n,) float64, 1 where the product is relevant, else 0."
    place: np.ndarray
    "(n,) int64 0-based place within the query."
    first: np.ndarray
    "(b,) int64 row at which each block begins."
    ideal: Ideal
    tied: np.ndarray
    "(n,) bool, whether each row, in the order it was given in, has the score of another of its query."
    ties: Ties

    @property
    def queries(self) -> int:
        """Return the number of queries G, those without a retrieved product included."""
        return len(self.ideal.relevant)

    @functools.cached_property
    def size(self) -> np.ndarray:
        """Return the number of rows of each block, (b,)."""
        return np.diff(self.first, append=len(self.query))

    @property
    def start(self) -> np.ndarray:
        """Return the place of each block's first row, (b,)."""
        return self.place[self.first]

    @functools.cached_property
    def block(self) -> np.ndarray:
        """Return the block of each row, (n,)."""
        return np.repeat(np.arange(len(self.first)), self.size)

    @functools.cached_property
    def relevant_in_block(self) -> np.ndarray:
        """Return the number of relevant rows of each block, (b,) float64."""
        return _sums(self.relevant, self.first)

    @functools.cached_property
    def relevant_before(self) -> np.ndarray:
        """Return the number of relevant rows of the same query in blocks before each block, (b,) float64."""
        retrieved = np.bincount(self.query, self.relevant, minlength=self.queries)
        earlier_queries = (np.cumsum(retrieved) - retrieved)[self.query[self.first]]
        return np.cumsum(self.relevant_in_block) - self.relevant_in_block - earlier_queries

    @functools.cached_property
    def expected_gain(self) -> np.ndarray:
        """Return the gain to expect at each row's place, (n,): the mean over its block."""
        return self._shared(self.gain)

    @functools.cached_property
    def expected_relevant(self) -> np.ndarray:
        """Return the chance that a relevant product is at each row's place, (n,)."""
        return self._shared(self.relevant)

    def _shared(self, values: np.ndarray) -> np.ndarray:
        if len(self.first) == len(self.query):
            return values
        return (_sums(values, self.first) / self.size)[self.block]


def rank(
    query: np.ndarray,
    score: np.ndarray,
    gain: np.ndarray,
    relevant: np.ndarray,
    *,
    queries: int,
    tie_break: Any = None,
    ideal: Ideal | None = None,
) -> Ranked:
    """Put rows in order.

    Args:
        query: (n,) int64 query number 0..queries-1.
        score: (n,) float64, higher is better, no NaN.
        gain: (n,) float64 worth of each product.
        relevant: (n,) whether each product is relevant.
        queries: number of queries G; some may have no row.
        tie_break: (n,) integers or texts (an array or a Polars series): the rule *trec*, by which of equal scores
            the greater `tie_break` comes first; None: the rule *expected*.
        ideal: all judged products; None where these are the rows themselves.
    """
    score = np.asarray(score, dtype=np.float64) + 0.0  # -0.0 is 0.0
    relevant = np.asarray(relevant, dtype=np.float64)
    if tie_break is not None:
        with np.errstate(over="ignore"):  # beyond 32 bits is infinite, to trec_eval too
            score = score.astype(np.float32)
    order = _order(query, score, tie_break)
    by_query, score, ranked_gain, ranked_relevant = (x[order] for x in (query, score, gain, relevant))
    where = place(by_query, queries)
    new = np.empty(len(order), dtype=bool)
    new[:1] = True
    new[1:] = (score[1:] != score[:-1]) | (where[1:] == 0)
    first = np.flatnonzero(new)
    tied, ties = _ties(order, by_query, ranked_gain, ranked_relevant, first)
    return Ranked(
        query=by_query,
        gain=ranked_gain,
        relevant=ranked_relevant,
        place=where,
        first=first if tie_break is None else np.arange(len(order)),
        ideal=ideal_of(query, gain, relevant, queries) if ideal is None else ideal,
        tied=tied,
        ties=ties,
    )


def ideal_of(query: np.ndarray, gain: np.ndarray, relevant: np.ndarray, queries: int) -> Ideal:
    """Return what could be found among judged products, in whatever order they come."""
    order = _order(query, gain, None)
    return Ideal(query[order], gain[order], np.bincount(query, relevant, minlength=queries))


def place(query: np.ndarray, queries: int) -> np.ndarray:
    """Return the 0-based place of each row within its query, (n,), for rows that are sorted by query."""
    rows = np.bincount(query, minlength=queries)
    return np.arange(len(query)) - np.repeat(np.cumsum(rows) - rows, rows)


def _order(query: np.ndarray, falling: np.ndarray, tie_break: Any) -> np.ndarray:
    """Return the rows by query, then falling value, then falling tie break. Polars sorts on all cores."""
    columns = {"query": query, "value": falling, **({} if tie_break is None else {"tie": tie_break})}
    frame = pl.DataFrame(columns)
    down = [False, *[True] * (len(columns) - 1)]
    return frame.select(pl.arg_sort_by(list(columns), descending=down)).to_series().to_numpy()


def _ties(
    order: np.ndarray, query: np.ndarray, gain: np.ndarray, relevant: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, Ties]:
    size = np.diff(first, append=len(order))
    tied = np.zeros(len(order), dtype=bool)
    several = size > 1
    if not several.any():
        return tied, Ties(0, 0, 0)
    tied[order[np.repeat(several, size)]] = True
    mixed = np.zeros(len(first), dtype=bool)
    for values in (gain, relevant):
        mixed |= np.minimum.reduceat(values, first) != np.maximum.reduceat(values, first)
    of_block = query[first]
    counted = (len(np.unique(of_block[chosen])) for chosen in (several, mixed))
    return tied, Ties(int(tied.sum()), *counted)


def _sums(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    # reduceat knows no empty list.
    return np.add.reduceat(values, first) if len(first) else np.zeros(0)
