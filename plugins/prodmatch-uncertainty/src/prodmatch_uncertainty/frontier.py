"""Choosing among boundaries: the best of a few, and a few of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.sample import Goal, Sample, outcome

POINTS = 200
"Boundaries of a frontier, at the most."


def best_of(sample: Sample, boundaries: Sequence[Boundary], goal: Goal) -> Boundary:
    """Return the boundary that serves a goal best on a sample, the first of equals."""
    best, reached = boundaries[0], None
    for boundary in boundaries:
        found = outcome(sample, boundary.accepts(sample.score, sample.uncertainty))
        if reached is None or goal.better(found, reached):
            best, reached = boundary, found
    return best


def spread(values: np.ndarray) -> np.ndarray:
    """Return at most `POINTS` of the values, evenly spaced by place, both ends among them."""
    if len(values) <= POINTS:
        return values
    return values[np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(np.int64))]
