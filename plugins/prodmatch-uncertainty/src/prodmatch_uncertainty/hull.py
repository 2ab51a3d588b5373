"""The Lagrangian relaxation: each level on its own, at one price of positives.

For a price, the best number of a level's top bins is a corner of the upper hull of (rows, positives) over its bins. The
hull's blocks are those of an isotonic regression of positivity on the score, and their slopes its values; so what the
relaxation accepts is exactly one threshold on the calibrated value, which is MIST. Between the last price that keeps
the target and the first that breaks it, part of one block would fit: that part gives the upper bound.
"""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

from prodmatch_uncertainty.sample import TOLERANCE, Goal

STEPS = 8
"How often bins of one level are added for what the target still allows."


@attrs.frozen(eq=False)
class Hull:
    """The corners of every level's hull.

    Attributes:
        rows, positives: (L, K + 1) float64, in the top k bins of each level.
        bins: (L,) int64.
        corners: (L, K + 1) int64, top bins at each corner, from 0; what is beyond `counts` is 0.
        slopes: (L, K + 1) float64, positivity of the block that ends at each corner, falling; infinity at corner 0.
        counts: (L,) int64, corners of each level, at least 1.
    """

    rows: np.ndarray
    positives: np.ndarray
    bins: np.ndarray
    corners: np.ndarray
    slopes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, positives: np.ndarray, bins: np.ndarray) -> Hull:
        """Return the hull of levels with `rows` and `positives` in their top k bins, (L, K + 1) float64 each."""
        return cls(rows, positives, bins, *_corners(rows, positives, bins))

    def cuts_at(self, slope: float) -> np.ndarray:
        """Return the top bins of each level down to positivity `slope`, (L,) int64."""
        return _cuts_at(self.corners, self.slopes, self.counts, slope)

    def sums(self, cuts: np.ndarray) -> tuple[float, float]:
        """Return rows and positives of the top `cuts` bins."""
        return _sums(self.rows, self.positives, cuts)

    def all_slopes(self) -> np.ndarray:
        """Return the different slopes, falling."""
        inside = np.arange(self.slopes.shape[1]) < self.counts[:, None]
        return np.unique(self.slopes[inside & np.isfinite(self.slopes)])[::-1]

    @property
    def steepest(self) -> float:
        """Return the highest precision that any choice of top bins has, 0 where there is no row."""
        first = np.where(self.counts > 1, self.slopes[:, min(1, self.slopes.shape[1] - 1)], 0.0)
        return float(first.max(initial=0.0))


@attrs.frozen(eq=False)
class Relaxed:
    """What the relaxation says of a goal.

    Attributes:
        mist: (L,) int64, top bins down to the lowest calibrated value that keeps the target.
        cuts: (L,) int64, the same with whole bins added that the target still allows, or spared that it does not ask.
        bound: what no choice of top bins can exceed: positives, or precision where recall is the target.
        reachable: whether any choice of bins reaches the target.
    """

    mist: np.ndarray
    cuts: np.ndarray
    bound: float
    reachable: bool


def relax(hull: Hull, goal: Goal) -> Relaxed:
    """Return the relaxation's choices for a goal, and the bound that certifies how far they are from the best."""
    return _for_recall(hull, goal.target) if goal.objective == "recall" else _for_precision(hull, goal.target)


def _for_recall(hull: Hull, target: float) -> Relaxed:
    """Return the choices of most positives whose precision is at least `target`."""
    nothing = np.zeros(len(hull.bins), dtype=np.int64)
    if hull.steepest < target - TOLERANCE:
        return Relaxed(nothing, nothing, 0.0, False)
    if hull.steepest == 0:  # no positive, and no precision asked for
        return Relaxed(hull.cuts_at(0.0), hull.cuts_at(0.0), 0.0, True)
    arrays = (hull.rows, hull.positives, hull.bins, hull.corners, hull.slopes, hull.counts)
    mist, cuts, bound = _most_positives(*arrays, target)
    return Relaxed(mist, cuts, bound, True)


def _for_precision(hull: Hull, target: float) -> Relaxed:
    """Return the choices of highest precision whose positives are at least `target` of all."""
    total = hull.sums(hull.bins)[1]
    wanted = target * total - TOLERANCE * max(total, 1.0)
    slopes = hull.all_slopes()
    if wanted <= 0 or not len(slopes):  # a recall of 0 is reached by the surest block alone
        top = hull.cuts_at(slopes[0] if len(slopes) else 0.0)
        rows, positives = hull.sums(top)
        return Relaxed(top, top, positives / rows if rows else 0.0, True)
    low, high = 0, len(slopes) - 1  # the first slope down to which there are positives enough
    while low < high:
        middle = (low + high) // 2
        if hull.sums(hull.cuts_at(slopes[middle]))[1] >= wanted:
            high = middle
        else:
            low = middle + 1
    mist = hull.cuts_at(slopes[low])
    before = hull.cuts_at(slopes[low - 1]) if low else np.zeros_like(mist)
    rows, positives = hull.sums(before)
    bound = wanted / (rows + max(wanted - positives, 0.0) / slopes[low])
    if low and positives >= wanted:
        bound = positives / rows
    cuts = _fewest_rows(hull, before, mist, wanted)
    return Relaxed(mist, cuts, float(min(bound, 1.0)), True)


def _fewest_rows(hull: Hull, before: np.ndarray, after: np.ndarray, wanted: float) -> np.ndarray:
    """Return `before` with bins of one level added so that the positives suffice, or `after`: the more precise."""
    best = after
    best_rows, best_positives = hull.sums(after)
    rows, positives = hull.sums(before)
    for level in range(len(before)):
        own_rows = hull.rows[level] - hull.rows[level, before[level]] + rows
        own_positives = hull.positives[level] - hull.positives[level, before[level]] + positives
        fits = np.flatnonzero(own_positives[: hull.bins[level] + 1] >= wanted)
        fits = fits[fits >= before[level]]
        if len(fits):
            k = fits[np.argmax(own_positives[fits] / np.maximum(own_rows[fits], 1e-300))]
            if own_positives[k] * best_rows > best_positives * own_rows[k]:
                best = before.copy()
                best[level] = k
                best_rows, best_positives = own_rows[k], own_positives[k]
    return best


@njit(cache=True, nogil=True)
def _corners(
    rows: np.ndarray, positives: np.ndarray, bins: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corners = np.zeros(rows.shape, dtype=np.int64)
    slopes = np.full(rows.shape, np.inf)
    counts = np.ones(len(bins), dtype=np.int64)
    for level in range(len(bins)):
        top = 0
        for k in range(1, bins[level] + 1):
            while True:
                last = corners[level, top]
                slope = (positives[level, k] - positives[level, last]) / (rows[level, k] - rows[level, last])
                if slope < slopes[level, top]:
                    break
                top -= 1  # pools neighbours that are out of order, or alike
            top += 1
            corners[level, top], slopes[level, top] = k, slope
        counts[level] = top + 1
    return corners, slopes, counts


@njit(cache=True, nogil=True)
def _cuts_at(corners: np.ndarray, slopes: np.ndarray, counts: np.ndarray, slope: float) -> np.ndarray:
    cuts = np.zeros(len(counts), dtype=np.int64)
    for level in range(len(counts)):
        low, high = 0, counts[level] - 1
        while low < high:
            middle = (low + high + 1) // 2
            if slopes[level, middle] >= slope:
                low = middle
            else:
                high = middle - 1
        cuts[level] = corners[level, low]
    return cuts


@njit(cache=True, nogil=True)
def _sums(rows: np.ndarray, positives: np.ndarray, cuts: np.ndarray) -> tuple[float, float]:
    n, p = 0.0, 0.0
    for level in range(len(cuts)):
        n += rows[level, cuts[level]]
        p += positives[level, cuts[level]]
    return n, p


@njit(cache=True, nogil=True)
def _most_positives(
    rows: np.ndarray,
    positives: np.ndarray,
    bins: np.ndarray,
    corners: np.ndarray,
    slopes: np.ndarray,
    counts: np.ndarray,
    target: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    n, p = _sums(rows, positives, bins)
    if p >= target * n - TOLERANCE * max(n, 1.0):
        return bins.copy(), bins.copy(), p
    # Down to the target's own slope every block helps; below it each costs, the more the lower. Halve the interval
    # until no other number fits between a slope that keeps the target and one that does not.
    low, high = 0.0, target
    while True:
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        n, p = _sums(rows, positives, _cuts_at(corners, slopes, counts, middle))
        if p >= target * n - TOLERANCE * max(n, 1.0):
            high = middle
        else:
            low = middle
    mist = _cuts_at(corners, slopes, counts, high)
    n, p = _sums(rows, positives, mist)
    slack = p - target * n + TOLERANCE * max(n, 1.0)
    steepest = 0.0
    for level in range(len(bins)):
        for corner in range(1, counts[level]):
            if corners[level, corner] > mist[level]:
                steepest = max(steepest, slopes[level, corner])
                break
    bound = p + steepest * slack / (target - steepest) if steepest < target else p
    cuts = mist.copy()
    for _ in range(STEPS):
        best, chosen, most, least = -1, 0, 0.0, 0.0
        for level in range(len(bins)):
            first = cuts[level]
            for k in range(first + 1, bins[level] + 1):
                gained = positives[level, k] - positives[level, first]
                cost = target * (rows[level, k] - rows[level, first]) - gained
                if cost <= slack and (gained > most or (gained == most and gained > 0 and cost < least)):
                    best, chosen, most, least = level, k, gained, cost
        if best < 0:
            break
        cuts[best] = chosen
        slack -= least
    return mist, cuts, bound
