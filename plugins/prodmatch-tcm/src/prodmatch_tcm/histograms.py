"""Similarities of all pairs by class, as histograms: memory grows with classes times bins, never with pairs."""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit, prange

from prodmatch_core.evaluation.retrieved import Scorer

BINS = 2048
"Bins of similarity from -1 to 1, each 0.001 wide."
BLOCK_BYTES = 1 << 26
"Memory of one block of similarities."


@attrs.frozen(eq=False)
class ClassHistograms:
    """How similar each class's items are to each other, and to everything else.

    Attributes:
        classes: (classes,) int64 label of each class that has a pair; classes of one item have none.
        items: (classes,) int64 how many items each has.
        positive: (classes, bins) int64 pairs within the class, each counted from both ends.
        negative: (classes, bins) int64 pairs with exactly one end in the class.
        singles: classes of one item, which are left out as classes; their items are others' negatives.
    """

    classes: np.ndarray
    items: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    singles: int

    @property
    def bins(self) -> int:
        """Return the number of bins."""
        return self.positive.shape[1]

    def edges(self) -> np.ndarray:
        """Return the similarities between bins, (bins + 1,) float64 from -1 to 1."""
        return np.linspace(-1.0, 1.0, self.bins + 1)


def class_histograms(
    score: Scorer, queries: np.ndarray, labels: np.ndarray, bins: int = BINS, block_bytes: int = BLOCK_BYTES
) -> ClassHistograms:
    """Return the histograms of all pairs of a query with a candidate, made in blocks of rows.

    Args:
        score: rows of queries, (k,) int64, to their similarity with all candidates, (k, candidates) float from -1 to 1.
        queries: (queries,) int64 place of each query among the candidates.
        labels: (candidates,) int64 class of each candidate.
        bins: how many.
        block_bytes: memory of one block of similarities.
    """
    own = labels[queries]
    order = np.argsort(own, kind="stable")
    known, first, count = np.unique(own[order], return_index=True, return_counts=True)
    kept = count > 1
    # Each class's candidates in one stretch, so that a row's few positives are taken back out of its negatives.
    column_order = np.argsort(labels, kind="stable").astype(np.int64)
    ordered = labels[column_order]
    starts, ends = np.searchsorted(ordered, known), np.searchsorted(ordered, known, side="right")
    rows = order[np.repeat(kept, count)]
    number = np.repeat(np.cumsum(kept) - 1, count)[np.repeat(kept, count)]
    classes = int(kept.sum())
    positive = np.zeros((classes, bins), dtype=np.int64)
    negative = np.zeros((classes, bins), dtype=np.int64)
    begins, stops = starts[kept], ends[kept]
    step = max(1, block_bytes // (4 * max(len(labels), 1)))
    for start in range(0, len(rows), step):
        taken, numbers = rows[start : start + step], number[start : start + step]
        block = np.ascontiguousarray(score(taken), dtype=np.float32)
        # A class's rows stand together: one thread has them all.
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1, [len(numbers)]])
        _count(block, queries[taken], numbers, cuts, column_order, begins, stops, positive, negative)
    unseen = np.unique(labels, return_counts=True)[1]
    return ClassHistograms(known[kept], count[kept], positive, negative, int((unseen == 1).sum()))


@njit(cache=True, nogil=True, inline="always")
def _bin(similarity: float, bins: int) -> int:
    place = (similarity + np.float32(1.0)) * np.float32(0.5 * bins)
    return min(max(int(place), 0), bins - 1)


@njit(cache=True, nogil=True, parallel=True)
def _count(
    block: np.ndarray,
    own: np.ndarray,
    numbers: np.ndarray,
    cuts: np.ndarray,
    column_order: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> None:
    bins = positive.shape[1]
    columns = block.shape[1]
    for part in prange(len(cuts) - 1):
        # Two counters, because neighbours often share a bin and an addition would wait for the one before.
        even, odd = np.zeros(bins, dtype=np.int64), np.zeros(bins, dtype=np.int64)
        number = numbers[cuts[part]]
        for i in range(cuts[part], cuts[part + 1]):
            for j in range(0, columns - 1, 2):
                even[_bin(block[i, j], bins)] += 1
                odd[_bin(block[i, j + 1], bins)] += 1
            if columns % 2:
                even[_bin(block[i, columns - 1], bins)] += 1
            for place in range(begins[number], stops[number]):
                j = column_order[place]
                bin_ = _bin(block[i, j], bins)
                even[bin_] -= 1
                if j != own[i]:
                    positive[number, bin_] += 1
        for bin_ in range(bins):
            negative[number, bin_] += even[bin_] + odd[bin_]
