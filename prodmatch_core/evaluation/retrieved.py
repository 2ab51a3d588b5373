"""`Retrieved`: what ranking all candidates for some queries found, and the search in blocks of bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs
import numpy as np

from prodmatch_core.data.scramble import scramble
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.ranked import Ideal, Ranked, rank

BLOCK_BYTES = 1 << 26
"Memory of one block of similarities."

Scorer = Callable[[np.ndarray], np.ndarray]
"Rows of queries, (m,) int64, to their similarity with every candidate, (m, candidates) float32."


@attrs.frozen(eq=False, slots=False)
class Space:
    """The similarities behind a search among items of known groups: what measures of a threshold read.

    A query is one of the candidates. Pairs of a group are those of a query with the other candidates of its group.
    """

    score: Scorer
    "Rows of queries to their similarity with every candidate."
    queries: np.ndarray
    "(queries,) int64 place of each query among the candidates."
    labels: np.ndarray
    "(candidates,) int64 group of each candidate."

    def subset(self, rows: np.ndarray) -> Space:
        """Return the space of the queries that `rows`, a mask or indices, selects."""
        kept = np.arange(len(self.queries))[rows]
        return Space(lambda taken: self.score(kept[taken]), self.queries[kept], self.labels)


@attrs.frozen(eq=False, slots=False)
class Retrieved:
    """Which of every query's nearest candidates are right.

    Raises:
        DataError: lengths differ, or a query has no right candidate.
    """

    hits: np.ndarray
    "(n, depth) bool, whether the candidate at each rank is right, nearest first."
    relevant: np.ndarray
    "(n,) int64, how many candidates are right, beyond `depth` too."
    nearest: np.ndarray
    "(n, depth) int64, the candidates themselves; -1 past the last one."
    groups: np.ndarray
    "(n,) int64, number of the group whose queries are resampled together, 0..G-1 without gaps."
    weights: np.ndarray | None = None
    "(n,) float64, not negative; None = ones."
    space: Space | None = None
    "Where queries are candidates of known groups: all their similarities, not the nearest alone."

    def __attrs_post_init__(self) -> None:
        rows = len(self.hits)
        for name, shape in (("relevant", (rows,)), ("nearest", self.hits.shape), ("groups", (rows,))):
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"retrieved {name}: expected shape {shape}, got {getattr(self, name).shape}. Pass one row a query."
                )
        if (self.relevant < 1).any():
            raise DataError(
                f"retrieved: query {int((self.relevant < 1).argmax())} has no right candidate, so that nothing can be "
                "found for it. Leave such queries out."
            )

    @property
    def depth(self) -> int:
        """Return how many candidates a query were kept."""
        return self.hits.shape[1]

    @property
    def example_weights(self) -> np.ndarray:
        """Return the weights, (n,) float64, ones where none were given."""
        return np.ones(len(self.relevant)) if self.weights is None else self.weights

    @property
    def n_groups(self) -> int:
        """Return the number of groups."""
        return int(self.groups.max(initial=-1)) + 1

    @property
    def queries(self) -> np.ndarray:
        """Return the number of each row's query, (n,) int64: every row is one."""
        return np.arange(len(self.relevant))

    @functools.cached_property
    def ranked(self) -> Ranked:
        """Return the kept ranks as lists, for ranking measures that look no further than `depth`.

        What is right beyond the kept ranks counts as not found.
        """
        there = self.nearest >= 0
        query, place = np.nonzero(there)
        right = self.hits[there]
        wanted = np.repeat(self.queries, self.relevant)
        return rank(
            query,
            -place.astype(np.float64),
            right.astype(np.float64),
            right,
            queries=len(self.hits),
            ideal=Ideal(wanted, np.ones(len(wanted)), self.relevant.astype(np.float64)),
        )

    def subset(self, rows: np.ndarray) -> Retrieved:
        """Return the queries that `rows`, a mask or indices, selects; groups are numbered anew from 0."""
        return Retrieved(
            self.hits[rows],
            self.relevant[rows],
            self.nearest[rows],
            np.unique(self.groups[rows], return_inverse=True)[1],
            None if self.weights is None else self.weights[rows],
            None if self.space is None else self.space.subset(rows),
        )

    def beside(self, other: Retrieved) -> Retrieved:
        """Return these queries and then those of another system; groups are numbered on, depths are made equal."""
        depth = max(self.depth, other.depth)
        both = (self, other)
        return Retrieved(
            np.concatenate([_widened(one.hits, depth, False) for one in both]),
            np.concatenate([one.relevant for one in both]),
            np.concatenate([_widened(one.nearest, depth, -1) for one in both]),
            np.concatenate([self.groups, other.groups + self.n_groups]),
            np.concatenate([one.example_weights for one in both]),
        )


def _widened(table: np.ndarray, depth: int, filler: int) -> np.ndarray:
    return np.pad(table, ((0, 0), (0, depth - table.shape[1])), constant_values=filler)


@attrs.frozen(eq=False)
class Wanted:
    """What is right for each query, and what is no candidate for it.

    Attributes:
        query: (pairs,) int64 query of each right candidate, ascending.
        candidate: (pairs,) int64 the candidate.
        barred_query, barred: (bars,) int64 pairs that are not candidates: the query itself, edges known already.
    """

    query: np.ndarray
    candidate: np.ndarray
    barred_query: np.ndarray
    barred: np.ndarray


def retrieve(
    score: Scorer, queries: int, candidates: int, wanted: Wanted, groups: np.ndarray, depth: int
) -> Retrieved:
    """Rank all candidates for every query and keep the nearest.

    Equal similarities are ordered by a fixed shuffle of the candidates, so that neither names nor the order of a file
    decide; the share of queries in whose kept ranks a tie stands is not hidden by it but averaged over.

    Args:
        score: similarities of some queries with all candidates.
        queries: how many queries.
        candidates: how many candidates.
        wanted: right and barred pairs; every query needs a right one.
        groups: (queries,) int64, see `Retrieved.groups`.
        depth: how many to keep a query.
    """
    depth = min(depth, candidates)
    shuffle = np.argsort(scramble(np.arange(candidates)), kind="stable")
    hits = np.zeros((queries, depth), dtype=bool)
    nearest = np.full((queries, depth), -1, dtype=np.int64)
    right = np.unique(wanted.query * candidates + wanted.candidate)
    bars = np.argsort(wanted.barred_query, kind="stable")
    barred_query, barred = wanted.barred_query[bars], wanted.barred[bars]
    step = max(1, BLOCK_BYTES // (4 * max(candidates, 1)))
    for start in range(0, queries, step):
        rows = np.arange(start, min(start + step, queries))
        block = np.array(score(rows), dtype=np.float32)
        low, high = np.searchsorted(barred_query, [rows[0], rows[-1] + 1])
        block[barred_query[low:high] - start, barred[low:high]] = -np.inf
        kept, similarity = _top(block[:, shuffle], depth)
        found = np.where(np.isneginf(similarity), -1, shuffle[kept])
        nearest[rows] = found
        code = rows[:, None] * candidates + found
        hits[rows] = (found >= 0) & _member(code, right)
    relevant = np.bincount(wanted.query, minlength=queries)
    return Retrieved(hits, relevant, nearest, groups)


def cosine_scorer(queries: np.ndarray, candidates: np.ndarray) -> Scorer:
    """Return the scorer of two sets of vectors, (n, width) and (m, width) float32, by cosine."""
    left, right = _unit(queries), _unit(candidates).T.copy()
    return lambda rows: left[rows] @ right


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)


def _top(block: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and values of the `depth` greatest of every row, greatest first, ties by column."""
    if depth < block.shape[1]:
        kept = np.argpartition(-block, depth - 1, axis=1)[:, :depth]
    else:
        kept = np.tile(np.arange(block.shape[1]), (len(block), 1))
    values = np.take_along_axis(block, kept, axis=1)
    order = np.lexsort((kept, -values), axis=1)
    return np.take_along_axis(kept, order, axis=1), np.take_along_axis(values, order, axis=1)


def _member(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return whether each code is one of the ascending `known`."""
    if not len(known):
        return np.zeros(codes.shape, dtype=bool)
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return known[position] == codes
