"""Similarities of all pairs by class, as histograms: memory grows with classes times bins, never with pairs."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from prodmatch_core.evaluation.retrieved import Scorer

BINS = 2048
"Bins of similarity from -1 to 1, each 0.001 wide."
BLOCK_BYTES = 1 << 26
"Memory of one thread's block of similarities."
LANES = 8
"Counters of each bin while a class is counted."
CHUNK = 4096
"Similarities placed into bins before they are counted."
MANY = 20_000
"Candidates from which several threads are worth their while."


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
    score: Scorer,
    queries: np.ndarray,
    labels: np.ndarray,
    bins: int = BINS,
    block_bytes: int = BLOCK_BYTES,
    threads: int | None = None,
) -> ClassHistograms:
    """Return the histograms of all pairs of a query with a candidate, made in blocks of rows.

    Args:
        score: rows of queries, (k,) int64, to their similarity with all candidates, (k, candidates) float from -1 to 1.
        queries: (queries,) int64 place of each query among the candidates.
        labels: (candidates,) int64 class of each candidate.
        bins: how many.
        block_bytes: memory of one thread's block of similarities.
        threads: that score and count at once; None: one, or one a processor where candidates are many.
    """
    own = labels[queries]
    known, count = np.unique(own, return_counts=True)
    kept = count > 1
    classes, sizes = known[kept], count[kept]
    rows = np.argsort(own, kind="stable")
    rows = rows[np.isin(own[rows], classes)]
    ends = np.cumsum(sizes)
    # Each class's candidates in one stretch, so that a row's few positives are taken back out of its negatives.
    columns = np.argsort(labels, kind="stable")
    begins, stops = (np.searchsorted(labels[columns], classes, side=side) for side in ("left", "right"))
    positive = np.zeros((len(classes), bins), dtype=np.int64)
    negative = np.zeros((len(classes), bins), dtype=np.int64)
    step = max(1, block_bytes // (4 * max(len(labels), 1)))

    def work(first: int, last: int) -> None:
        """Count the classes from `first` to before `last`, which no other thread does."""
        numbers = np.repeat(np.arange(first, last), sizes[first:last])
        taken = rows[ends[first] - sizes[first] : ends[last - 1]]
        for start in range(0, len(taken), step):
            part = slice(start, start + step)
            block = np.ascontiguousarray(score(taken[part]), dtype=np.float32)
            _count(block, queries[taken[part]], numbers[part], columns, begins, stops, positive, negative)

    cuts = _cuts(ends, step)
    if threads is None:
        threads = 1 if len(labels) < MANY else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(1 if threads > 1 else None):
        for done in [pool.submit(work, first, last) for first, last in itertools.pairwise(cuts)]:
            done.result()
    alone = np.unique(labels, return_counts=True)[1] == 1
    return ClassHistograms(classes, sizes, positive, negative, int(alone.sum()))


def _cuts(ends: np.ndarray, step: int) -> list[int]:
    """Return where to cut the classes so that each stretch has about `step` rows or is one class."""
    cuts = [0]
    while cuts[-1] < len(ends):
        before = int(ends[cuts[-1] - 1]) if cuts[-1] else 0
        cuts.append(max(int(np.searchsorted(ends, before + step, side="right")), cuts[-1] + 1))
    return cuts


@njit(cache=True, nogil=True, inline="always")
def _bin(similarity: float, bins: int) -> np.int32:
    place = (similarity + np.float32(1.0)) * np.float32(0.5 * bins)
    place = place if place > 0 else np.float32(0.0)  # also where it is not a number
    return np.int32(place if place < bins - 1 else np.float32(bins - 1))


@njit(cache=True, nogil=True)
def _count(
    block: np.ndarray,
    own: np.ndarray,
    numbers: np.ndarray,
    columns: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> None:
    bins = positive.shape[1]
    # Several counters a bin, side by side, because neighbours often share a bin and an addition would wait for the one
    # before. Places are unsigned so that no index is looked at for being negative, and few enough to stay in the cache.
    counts = np.zeros(LANES * bins, dtype=np.int32)
    places = np.zeros(CHUNK, dtype=np.uint32)
    for i in range(block.shape[0]):
        number = numbers[i]
        for begin in range(0, block.shape[1], CHUNK):
            part = block[i, begin : begin + CHUNK]
            for j in range(len(part)):
                places[j] = np.uint32(_bin(part[j], bins)) * np.uint32(LANES) + np.uint32(j % LANES)
            for j in range(len(part)):
                counts[places[j]] += 1
        for place in range(begins[number], stops[number]):
            j = columns[place]
            bin_ = _bin(block[i, j], bins)
            counts[LANES * bin_] -= 1
            if j != own[i]:
                positive[number, bin_] += 1
        if i + 1 == block.shape[0] or numbers[i + 1] != number:
            for place in range(len(counts)):
                negative[number, place // LANES] += counts[place]
            counts[:] = 0
