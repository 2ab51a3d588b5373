"""The methods that find a boundary: each gives its best for a goal, and a frontier from strict to lenient."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np

from prodmatch_uncertainty import hull, knapsack
from prodmatch_uncertainty.baselines import (
    Cuts,
    isotonic,
    rectangle,
    rectangle_frontier,
    rectangles,
    score_frontier,
    single,
)
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.frontier import best_of, spread
from prodmatch_uncertainty.grid import Grid, count
from prodmatch_uncertainty.sample import TOLERANCE, Goal, Outcome, Sample

WORK = 2_000_000_000
"Additions that the dynamic programme over rows may take; beyond, bins are taken to be of one size."
ROOM = 50_000_000
"Sums that it may keep."
FINEST = 100_000
"Units that weights which are no whole numbers are counted in."
TRIES = 200
"Sizes whose choice is checked where bins are not quite of one size."
UNEVEN = 0.02
"How far their precision may seem to miss the target and still be tried."


@attrs.frozen
class Settings:
    """How a plane of score and uncertainty is cut.

    Attributes:
        levels: levels of uncertainty.
        bins: bins of the score in each level; 0 makes one of every score.
        binning: `mass` or `width`.
        sizes: `equal`, `variable` or `auto`: how the dynamic programme counts what is accepted.
    """

    levels: int = 5
    bins: int = 100
    binning: str = "mass"
    sizes: str = "auto"


def grid_of(sample: Sample, settings: Settings) -> Grid:
    """Return the sample counted as the settings say."""
    return count(sample, settings.levels, settings.bins, settings.binning)


# -- on a grid -----------------------------------------------------------------------------------------------


def dp_cuts(grid: Grid, goal: Goal, sizes: str = "auto") -> np.ndarray:
    """Return the top bins of each level that are best for a goal, (L,) int64: the dynamic programme.

    Exact where bins are counted in rows (`variable`), and where all bins have one size. Where bins of different sizes
    are counted as equal, choices that seem to reach the target are checked with their true rows. Never worse than
    `lagrangian_cuts` on the rows of the grid.
    """
    rows, positives = grid.cumulated()
    steps, exact = units(rows, grid, sizes)
    solved = knapsack.solve(steps, positives, grid.bins)
    found = lagrangian_cuts(grid, goal)
    best = _outcome(rows, positives, found)
    unit = rows[:, -1].sum() / max(int(steps[:, -1].sum()), 1)
    for size in _candidates(solved.frontier, unit, grid.total, goal, exact):
        cuts = solved.cuts(size)
        reached = _outcome(rows, positives, cuts)
        if goal.better(reached, best):
            found, best = cuts, reached
    return found


def units(rows: np.ndarray, grid: Grid, sizes: str = "auto") -> tuple[np.ndarray, bool]:
    """Return the size of the top k bins of each level in units, bins or rows, and whether that is exact.

    Args:
        rows: (L, K + 1) float64, weight of the rows in them.
        grid: the counts.
        sizes: `equal`, `variable`, or `auto`: bins where they are all of one size or counting rows would take long.

    Returns:
        (L, K + 1) int64.
    """
    inside = np.arange(rows.shape[1] - 1) < grid.bins[:, None]
    same = len(np.unique(grid.rows[inside])) <= 1
    total, bins = float(rows[:, -1].sum()), int(grid.bins.sum())
    slow = bins * total > WORK or grid.levels * total > ROOM
    if sizes == "equal" or (sizes == "auto" and (same or slow)):
        return np.minimum(np.arange(rows.shape[1]), grid.bins[:, None]).astype(np.int64), same
    exact = np.array_equal(rows, np.round(rows)) and not slow
    unit = 1.0 if exact else total / min(WORK / bins, ROOM / grid.levels, FINEST)
    # Rounded up, so that what fits in units fits in rows.
    return np.ceil(rows / unit - TOLERANCE).astype(np.int64), exact


def _candidates(frontier: np.ndarray, unit: float, total: float, goal: Goal, exact: bool) -> np.ndarray:
    """Return sizes whose choice may be the best, (n,) int64; `unit` is the weight of a unit's rows."""
    size = np.flatnonzero((frontier >= 0) & (np.arange(len(frontier)) > 0))
    positives, rows = frontier[size], size * unit
    if goal.objective == "precision":
        size = size[positives >= goal.target * total - TOLERANCE * max(total, 1.0)]
        best = np.lexsort((-size, -frontier[size] / size))
        return size[best[: 1 if exact else TRIES]]
    missing = goal.target * rows - positives
    good = size[missing <= TOLERANCE * np.maximum(rows, 1.0)]
    good = good[np.argsort(-frontier[good], kind="stable")]
    if exact:
        return good[:1]
    # Sizes that seem to miss the target by little may reach it, for bins are not quite of one size.
    least = frontier[good[0]] if len(good) else 0
    near = size[(missing > 0) & (missing <= UNEVEN * rows) & (positives > least)]
    near = near[np.argsort(-frontier[near], kind="stable")]
    return np.concatenate(
        [good[:TRIES], near[np.linspace(0, len(near) - 1, min(len(near), TRIES)).astype(int)]]
    )


def lagrangian_cuts(grid: Grid, goal: Goal) -> np.ndarray:
    """Return the top bins of each level by the Lagrangian relaxation, with what the target still allows added."""
    relaxed = relax(grid, goal)
    rows, positives = grid.cumulated()
    cuts = [relaxed.mist, relaxed.cuts]
    best = [_outcome(rows, positives, chosen) for chosen in cuts]
    return cuts[int(goal.better(best[1], best[0]))]


def mist_cuts(grid: Grid, goal: Goal) -> np.ndarray:
    """Return the top bins of each level down to one calibrated value (isotonic regression in every level)."""
    return relax(grid, goal).mist


def relax(grid: Grid, goal: Goal) -> hull.Relaxed:
    """Return the relaxation of a grid."""
    return hull.relax(hull.Hull.of(*grid.cumulated(), grid.bins), goal)


def _outcome(rows: np.ndarray, positives: np.ndarray, cuts: np.ndarray) -> Outcome:
    at = (np.arange(len(cuts)), cuts)
    return Outcome(float(rows[at].sum()), float(positives[at].sum()), float(positives[:, -1].sum()))


# -- on rows -------------------------------------------------------------------------------------------------


def _dp(sample: Sample, settings: Settings, goal: Goal) -> Boundary:
    grid = grid_of(sample, settings)
    found = Boundary(grid.edges, grid.thresholds(dp_cuts(grid, goal, settings.sizes)))
    # A single threshold is a boundary too, and its score need not be an edge of the bins.
    return best_of(sample, [found, single(sample, goal)], goal)


def _lagrangian(sample: Sample, settings: Settings, goal: Goal) -> Boundary:
    grid = grid_of(sample, settings)
    return Boundary(grid.edges, grid.thresholds(lagrangian_cuts(grid, goal)))


def _mist(sample: Sample, settings: Settings, goal: Goal) -> Boundary:
    grid = grid_of(sample, settings)
    return Boundary(grid.edges, grid.thresholds(mist_cuts(grid, goal)))


def _dp_frontier(sample: Sample, settings: Settings) -> list[Boundary]:
    grid = grid_of(sample, settings)
    rows, positives = grid.cumulated()
    solved = knapsack.solve(units(rows, grid, settings.sizes)[0], positives, grid.bins)
    # Of sizes with the same positives the smallest.
    frontier = np.maximum.accumulate(solved.frontier)
    sizes = np.flatnonzero(np.diff(frontier, prepend=-1) > 0)
    sizes = sizes[sizes > 0]
    return [Boundary(grid.edges, grid.thresholds(solved.cuts(size))) for size in spread(sizes)]


def _hull_frontier(sample: Sample, settings: Settings) -> list[Boundary]:
    grid = grid_of(sample, settings)
    found = hull.Hull.of(*grid.cumulated(), grid.bins)
    return [
        Boundary(grid.edges, grid.thresholds(found.cuts_at(slope))) for slope in spread(found.all_slopes())
    ]


def _steepest(sample: Sample, settings: Settings) -> float:
    grid = grid_of(sample, settings)
    return hull.Hull.of(*grid.cumulated(), grid.bins).steepest


def _line_reach(sample: Sample, settings: Settings) -> float:
    return Cuts.of(sample).most_precise


def _rectangle_reach(sample: Sample, settings: Settings) -> float:
    return max(cuts.most_precise for _, _, cuts in rectangles(sample, settings.levels, settings.binning))


def _relaxed_bound(sample: Sample, settings: Settings, goal: Goal) -> float:
    grid = grid_of(sample, settings)
    bound = relax(grid, goal).bound
    return bound / grid.total if goal.objective == "recall" else bound


@attrs.frozen
class Method:
    """A way to a boundary.

    Attributes:
        best: the boundary that serves a goal best on a sample, or one that accepts nothing.
        frontier: boundaries from strict to lenient.
        reach: the highest precision that any of its boundaries has on a sample.
        bound: the most recall (or precision, where that is the objective) that any boundary on its levels and bins
            could have; None where it is not known.
        levels: whether it looks at uncertainty.
    """

    best: Callable[[Sample, Settings, Goal], Boundary]
    frontier: Callable[[Sample, Settings], list[Boundary]]
    reach: Callable[[Sample, Settings], float]
    bound: Callable[[Sample, Settings, Goal], float] | None = None
    levels: bool = True


METHODS: Mapping[str, Method] = {
    "dp": Method(
        _dp,
        _dp_frontier,
        lambda sample, settings: max(_steepest(sample, settings), _line_reach(sample, settings)),
    ),
    "lagrangian": Method(_lagrangian, _hull_frontier, _steepest, _relaxed_bound),
    "mist": Method(_mist, _hull_frontier, _steepest, _relaxed_bound),
    "rectangle": Method(
        lambda sample, settings, goal: rectangle(sample, goal, settings.levels, settings.binning),
        lambda sample, settings: rectangle_frontier(sample, settings.levels, settings.binning),
        _rectangle_reach,
    ),
    "isotonic": Method(
        lambda sample, settings, goal: isotonic(sample, goal),
        lambda sample, settings: score_frontier(sample, calibrated=True),
        _line_reach,
        levels=False,
    ),
    "threshold": Method(
        lambda sample, settings, goal: single(sample, goal),
        lambda sample, settings: score_frontier(sample),
        _line_reach,
        levels=False,
    ),
}
"The methods by the name of their part."
