"""What a boundary has to beat: one threshold, isotonic regression and one threshold, a rectangle."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.frontier import POINTS, spread
from prodmatch_uncertainty.grid import level_edges
from prodmatch_uncertainty.hull import Hull
from prodmatch_uncertainty.sample import TOLERANCE, Goal, Outcome, Sample


@attrs.frozen(eq=False)
class Cuts:
    """Thresholds on the score, strict to lenient, and what each accepts of a sample.

    Attributes:
        thresholds: (m,) float64, falling.
        rows, positives: (m,) float64, weight of what is at or above each.
        total: weight of all positives of the sample.
    """

    thresholds: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    total: float

    @classmethod
    def of(cls, sample: Sample, total: float | None = None) -> Cuts:
        """Return one threshold for every different score; rows of one score are accepted together."""
        order = np.argsort(-sample.score)
        score, weights = sample.score[order], sample.weights[order]
        last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.empty(0, int)
        positives = np.cumsum(weights * sample.positive[order])
        everything = float(positives[-1]) if len(positives) else 0.0
        return cls(
            score[last], np.cumsum(weights)[last], positives[last], everything if total is None else total
        )

    @property
    def most_precise(self) -> float:
        """Return the highest precision of any threshold, 0 of none."""
        return float((self.positives / self.rows).max(initial=0.0))

    def calibrated(self) -> Cuts:
        """Return only the thresholds between which isotonic regression of positivity on the score tells apart."""
        rows, positives = (np.append(0.0, values)[None] for values in (self.rows, self.positives))
        hull = Hull.of(rows, positives, np.array([len(self.rows)]))
        kept = hull.corners[0, 1 : hull.counts[0]] - 1
        return Cuts(self.thresholds[kept], self.rows[kept], self.positives[kept], self.total)

    def best(self, goal: Goal) -> int | None:
        """Return the place of the best threshold for a goal, None where none reaches the target.

        Of thresholds as good, the one that accepts fewest rows where recall is greatest, most where precision is.
        """
        if not len(self.rows):
            return None
        if goal.objective == "recall":
            fits = self.positives >= goal.target * self.rows - TOLERANCE * np.maximum(self.rows, 1.0)
            return int(np.argmax(np.where(fits, self.positives, -1.0))) if fits.any() else None
        fits = self.positives >= goal.target * self.total - TOLERANCE * max(self.total, 1.0)
        precision = np.where(fits, self.positives / self.rows, -1.0)
        return len(fits) - 1 - int(np.argmax(precision[::-1])) if fits.any() else None

    def outcome(self, place: int) -> Outcome:
        """Return what the threshold at `place` gives."""
        return Outcome(float(self.rows[place]), float(self.positives[place]), self.total)


def single(sample: Sample, goal: Goal) -> Boundary:
    """Return the best threshold on the score alone."""
    return _level(Cuts.of(sample), goal)


def isotonic(sample: Sample, goal: Goal) -> Boundary:
    """Return the best threshold on the positivity that isotonic regression gives to every score."""
    return _level(Cuts.of(sample).calibrated(), goal)


def _level(cuts: Cuts, goal: Goal) -> Boundary:
    place = cuts.best(goal)
    return Boundary.nothing() if place is None else _flat(cuts.thresholds[place])


def _flat(threshold: float) -> Boundary:
    return Boundary(np.empty(0), np.array([threshold]))


def score_frontier(sample: Sample, calibrated: bool = False) -> list[Boundary]:
    """Return single thresholds from strict to lenient, of the scores or of their isotonic regression."""
    cuts = Cuts.of(sample)
    return [_flat(value) for value in spread((cuts.calibrated() if calibrated else cuts).thresholds)]


def rectangles(sample: Sample, levels: int, binning: str) -> Iterator[tuple[float, bool, Cuts]]:
    """Yield each half of the plane: its edge, whether it lies below, and the thresholds in it.

    The whole plane comes first, as the half below infinity.
    """
    total = float(sample.weights[sample.positive].sum())
    yield np.inf, True, Cuts.of(sample, total)
    for edge in level_edges(sample.uncertainty, levels, binning, sample.weights):
        below = sample.uncertainty < edge
        yield float(edge), True, Cuts.of(sample.take(below), total)
        yield float(edge), False, Cuts.of(sample.take(~below), total)


def rectangle(sample: Sample, goal: Goal, levels: int, binning: str = "mass") -> Boundary:
    """Return the best rectangle: a threshold on the score, for the rows below or above one uncertainty."""
    best, reached = Boundary.nothing(), None
    for edge, below, cuts in rectangles(sample, levels, binning):
        place = cuts.best(goal)
        if place is not None and (reached is None or goal.better(cuts.outcome(place), reached)):
            best, reached = _rectangle(edge, below, cuts.thresholds[place]), cuts.outcome(place)
    return best


def rectangle_frontier(sample: Sample, levels: int, binning: str = "mass") -> list[Boundary]:
    """Return rectangles from strict to lenient: for growing sizes the one with the most positives."""
    sizes = np.unique(np.linspace(1, sample.weights.sum(), POINTS))
    best = np.zeros(len(sizes))
    found: list[Boundary | None] = [None] * len(sizes)
    for edge, below, cuts in rectangles(sample, levels, binning):
        places = np.searchsorted(cuts.rows, sizes, side="right") - 1
        for number, place in enumerate(places):
            if place >= 0 and cuts.positives[place] > best[number]:
                best[number] = cuts.positives[place]
                found[number] = _rectangle(edge, below, cuts.thresholds[place])
    return [boundary for boundary in found if boundary is not None]


def _rectangle(edge: float, below: bool, threshold: float) -> Boundary:
    if np.isinf(edge):
        return _flat(threshold)
    return Boundary(np.array([edge]), np.array([threshold, np.inf] if below else [np.inf, threshold]))
