"""Which of the rows that are not accepted a person should see: those where most matches hide, within a budget."""

from __future__ import annotations

import numpy as np

from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.grid import count_within
from prodmatch_uncertainty.hull import Hull
from prodmatch_uncertainty.sample import Sample


def review_boundary(sample: Sample, accepted: Boundary, budget: float, bins: int) -> Boundary:
    """Return the boundary above which rows are accepted or seen by a person.

    Args:
        sample: the rows the accepting boundary was fitted on.
        accepted: that boundary; its levels are kept.
        budget: share of all rows that a person can see.
        bins: bins of the score in each level.

    Returns:
        A boundary with the same levels and thresholds that are not higher: of the rows between the two, whose weight is
        at most the budget, as many as possible are positive.
    """
    rest = sample.take(~accepted.accepts(sample.score, sample.uncertainty))
    room = budget * float(sample.weights.sum())
    if not len(rest) or room <= 0:
        return accepted
    grid = count_within(rest, accepted.edges, bins)
    hull = Hull.of(*grid.cumulated(), grid.bins)
    slopes = hull.all_slopes()
    low, high = -1, len(slopes) - 1  # the last slope down to which all rows fit
    while low < high:
        middle = (low + high + 1) // 2
        if hull.sums(hull.cuts_at(slopes[middle]))[0] <= room:
            low = middle
        else:
            high = middle - 1
    cuts = hull.cuts_at(slopes[low]) if low >= 0 else np.zeros(grid.levels, dtype=np.int64)
    cuts = _filled(hull, cuts, room)
    return Boundary(accepted.edges, np.minimum(accepted.thresholds, grid.thresholds(cuts)))


def _filled(hull: Hull, cuts: np.ndarray, room: float) -> np.ndarray:
    """Return the cuts with whole bins added while they fit, the surest first."""
    cuts = cuts.copy()
    left = room - hull.sums(cuts)[0]
    while True:
        best, slope = -1, -1.0
        for level in np.flatnonzero(cuts < hull.bins):
            k = cuts[level]
            rows = hull.rows[level, k + 1] - hull.rows[level, k]
            positivity = (hull.positives[level, k + 1] - hull.positives[level, k]) / rows
            if rows <= left and positivity > slope:
                best, slope = int(level), positivity
        if best < 0:
            return cuts
        left -= hull.rows[best, cuts[best] + 1] - hull.rows[best, cuts[best]]
        cuts[best] += 1
