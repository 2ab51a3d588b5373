"""Curves for the report: arrays of at most 400 points, weighted by the examples' weights."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.probability import ECE_BINS, Confidence, confidence_bins, top_label
from prodmatch_core.evaluation.thresholds import Thresholds, match_thresholds, mismatch_thresholds

MAX_POINTS = 400
"No drawing shows more."


@attrs.frozen(eq=False)
class PrecisionRecall:
    """Precision and recall at falling thresholds, recall rising; no points where there is no positive."""

    threshold: np.ndarray
    "(m,) least score that counts as positive, descending; minus P(match) where the mismatch is positive."
    precision: np.ndarray
    recall: np.ndarray


@attrs.frozen(eq=False)
class Roc:
    """Rates of true and false positives from (0, 0) to (1, 1); no points unless both classes occur."""

    threshold: np.ndarray
    "(m,) least score that counts as a match, descending from infinity."
    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray


@attrs.frozen(eq=False)
class Reliability:
    """Stated confidence against the share that came true, by bins of equal width; NaN in an empty bin."""

    edges: np.ndarray
    "(bins + 1,) from 0 to 1; a bin includes its upper edge."
    confidence: np.ndarray
    "(bins,) mean stated confidence."
    observed: np.ndarray
    "(bins,) share that came true."
    count: np.ndarray
    "(bins,) int64, rows."
    weight: np.ndarray
    "(bins,) float64, their weight."


def precision_recall(evaluated: Evaluated) -> PrecisionRecall:
    """Return precision and recall of the match over thresholds of P(match)."""
    return _precision_recall(match_thresholds(evaluated), evaluated.example_weights)


def mismatch_precision_recall(evaluated: Evaluated) -> PrecisionRecall:
    """Return precision and recall of the mismatch over thresholds of -P(match)."""
    return _precision_recall(mismatch_thresholds(evaluated), evaluated.example_weights)


def roc(evaluated: Evaluated) -> Roc:
    """Return the ROC of the match over thresholds of P(match)."""
    thresholds = match_thresholds(evaluated)
    positives, rows = thresholds.counts(evaluated.example_weights)
    negatives = rows - positives
    if not len(rows) or not positives[-1] or not negatives[-1]:
        return Roc(*_nothing())
    true_rate = np.append(0.0, positives / positives[-1])
    false_rate = np.append(0.0, negatives / negatives[-1])
    kept = _thin(false_rate, true_rate)
    return Roc(np.append(np.inf, thresholds.scores)[kept], false_rate[kept], true_rate[kept])


def reliability(evaluated: Evaluated, bins: int = ECE_BINS) -> Reliability:
    """Return the reliability of the most probable class, the bins whose gaps `ece` averages."""
    return _reliability(top_label(evaluated, bins), evaluated.example_weights, bins)


def match_reliability(evaluated: Evaluated, bins: int = ECE_BINS) -> Reliability:
    """Return the reliability of P(match): how often products said to match by p do match."""
    binned = confidence_bins(evaluated.score, evaluated.matches, bins)
    return _reliability(binned, evaluated.example_weights, bins)


def _precision_recall(thresholds: Thresholds, weights: np.ndarray) -> PrecisionRecall:
    positives, rows = thresholds.counts(weights)
    if not len(rows) or not positives[-1]:
        return PrecisionRecall(*_nothing())
    weighed = rows > 0
    positives, rows, scores = positives[weighed], rows[weighed], thresholds.scores[weighed]
    precision, recall = positives / rows, positives / positives[-1]
    kept = _thin(recall, precision)
    return PrecisionRecall(scores[kept], precision[kept], recall[kept])


def _reliability(binned: Confidence, weights: np.ndarray, bins: int) -> Reliability:
    def total(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(binned.bin, values, minlength=bins)

    weight = total(weights)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=np.linspace(0, 1, bins + 1),
            confidence=total(weights * binned.stated) / weight,
            observed=total(weights * binned.correct) / weight,
            count=total(),
            weight=weight,
        )


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(0), np.empty(0), np.empty(0)


def _thin(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return indices of at most MAX_POINTS points, evenly spaced along the curve, both ends among them."""
    if len(x) <= MAX_POINTS:
        return np.arange(len(x))
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    kept = np.searchsorted(length, np.linspace(0, length[-1], MAX_POINTS))
    kept[-1] = len(x) - 1
    return np.unique(kept)
