"""The dynamic programme: how many of each level's top bins to accept, for every size of what is accepted.

`best[i][m]` is the most positives in m units of rows out of the first i levels:

    best[i][m] = max over k of best[i - 1][m - size_i(k)] + positives_i(k)

With bins of one size a unit is a bin (the equal-weight programme, O(L^2 K^2)); else a unit is a row, or a few of them.
Only the sums are kept. Which k gave one is found again while walking back, which costs a pass over one level's bins.
"""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

BLOCK = 4096
"Sums worked on at a time: they and what they are made of stay in the processor's first cache."
NONE = -(2**30)
"A size that no choice of bins has; far enough from 0 that adding positives leaves it negative."


@attrs.frozen(eq=False)
class Programme:
    """The solved programme.

    Attributes:
        best: (sum of all capacities,) int32 or float64, the levels' rows one after the other; row 0 is the empty one.
        offsets: (L + 2,) int64, where each row begins; a row is one longer than its capacity in units.
        sizes: (L, K + 1) int64, units in the top k bins of each level.
        gains: (L, K + 1) of `best`'s type, positives in them.
        bins: (L,) int64.
    """

    best: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    gains: np.ndarray
    bins: np.ndarray

    @property
    def frontier(self) -> np.ndarray:
        """Return the most positives for every size, (capacity + 1,); negative where no choice has that size."""
        return self.best[self.offsets[-2] :]

    def cuts(self, size: int) -> np.ndarray:
        """Return how many top bins of each level make up `size` units with the most positives, (L,) int64."""
        return _walk_back(self.best, self.offsets, self.sizes, self.gains, self.bins, size)


def solve(sizes: np.ndarray, gains: np.ndarray, bins: np.ndarray) -> Programme:
    """Solve the programme.

    Args:
        sizes: (L, K + 1) int64, units in the top k bins of each level, from 0 and never falling.
        gains: (L, K + 1) float64, positives in them.
        bins: (L,) int64, how many bins each level has.
    """
    whole = np.array_equal(gains, np.round(gains)) and gains.max(axis=1, initial=0).sum() < -NONE
    gains = gains.astype(np.int32 if whole else np.float64)
    capacity = np.append(0, np.cumsum(sizes[np.arange(len(bins)), bins]))
    offsets = np.append(0, np.cumsum(capacity + 1))
    best = np.full(offsets[-1], NONE, dtype=gains.dtype)
    _fill(best, offsets, sizes, gains, bins)
    return Programme(best, offsets, sizes, gains, bins)


@njit(cache=True, nogil=True)
def _fill(
    best: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, gains: np.ndarray, bins: np.ndarray
) -> None:
    best[0] = 0
    for level in range(len(bins)):
        before = best[offsets[level] : offsets[level + 1]]
        after = best[offsets[level + 1] : offsets[level + 2]]
        for begin in range(0, len(after), BLOCK):
            end = min(begin + BLOCK, len(after))
            for k in range(bins[level] + 1):
                size, gain = sizes[level, k], gains[level, k]
                low, high = max(begin, size), min(end, len(before) + size)
                if low < high:
                    _raise_to(after[low:high], before[low - size : high - size], gain)


@njit(cache=True, nogil=True)
def _raise_to(after: np.ndarray, before: np.ndarray, gain: float) -> None:
    for m in range(len(after)):
        found = before[m] + gain
        after[m] = max(after[m], found)


@njit(cache=True, nogil=True)
def _walk_back(
    best: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    gains: np.ndarray,
    bins: np.ndarray,
    size: int,
) -> np.ndarray:
    cuts = np.zeros(len(bins), dtype=np.int64)
    for level in range(len(bins) - 1, -1, -1):
        before = best[offsets[level] : offsets[level + 1]]
        wanted = best[offsets[level + 1] + size]
        for k in range(bins[level] + 1):
            left = size - sizes[level, k]
            if 0 <= left < len(before) and before[left] + gains[level, k] == wanted:
                cuts[level], size = k, left
                break
    return cuts
