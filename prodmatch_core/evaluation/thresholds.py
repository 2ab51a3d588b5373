"""Counts above every threshold of a score, which average precision, ROC and their curves all read."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated


@attrs.frozen(eq=False)
class Thresholds:
    """The m distinct scores of n rows, highest first; rows that tie share a threshold, as in scikit-learn."""

    order: np.ndarray
    "(n,) rows by descending score."
    positive: np.ndarray
    "(n,) float64, 1 for a positive, in that order."
    last: np.ndarray
    "(m,) place in that order of the last row of each distinct score."
    scores: np.ndarray
    "(m,) the distinct scores, descending."

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weighted positives and weighted rows at or above each threshold, both (m,) float64."""
        weights = weights[self.order]
        return np.cumsum(weights * self.positive)[self.last], np.cumsum(weights)[self.last]


def match_thresholds(evaluated: Evaluated) -> Thresholds:
    """Rank rows by P(match), with matches as positives."""
    return _thresholds(evaluated.score, evaluated.matches)


def mismatch_thresholds(evaluated: Evaluated) -> Thresholds:
    """Rank rows by -P(match), with mismatches as positives.

    Negated rather than subtracted from 1, which would make ties of scores that differ in the last bits.
    """
    return _thresholds(-evaluated.score, ~evaluated.matches)


def _thresholds(score: np.ndarray, positive: np.ndarray) -> Thresholds:
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if len(ranked) else np.empty(0, np.int64)
    return Thresholds(
        order=order, positive=positive[order].astype(np.float64), last=last, scores=ranked[last]
    )
