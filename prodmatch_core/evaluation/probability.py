"""Measures of probabilities and of the match against the mismatch.

The *match* is the sum of the scheme's positive labels. The measures named `mismatch_` take the mismatch as
the positive class, as papers do whose task is to find the rare product that does not fit the query.
"""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of, ratio
from prodmatch_core.evaluation.sums import OfSums, Term, ratios
from prodmatch_core.evaluation.thresholds import Thresholds, match_thresholds, mismatch_thresholds

ECE_BINS = 15
"Number of equal-width confidence bins of the calibration error (Guo et al. 2017)."

CLIP = float(np.finfo(np.float64).eps)
"The least probability `nll` takes the logarithm of (2.2e-16, as scikit-learn): a sure mistake costs 36 nats."


def nll(evaluated: Evaluated) -> Statistic:
    """Mean negative log-likelihood of the true class (log-loss) in nats, clipped to [CLIP, 1 - CLIP]."""
    return mean_of(-np.log(np.clip(_of_true_class(evaluated), CLIP, 1 - CLIP)))


def brier(evaluated: Evaluated) -> Statistic:
    """Squared distance of the probabilities from the truth, summed over classes.

    From 0 to 2 with three classes or more (Brier 1950); halved with two, where it is the usual binary score
    from 0 to 1. scikit-learn does the same.
    """
    truth = np.eye(len(evaluated.scheme.labels))[evaluated.labels]
    squared = ((evaluated.probabilities - truth) ** 2).sum(axis=1)
    return mean_of(squared / 2 if truth.shape[1] == 2 else squared)


@attrs.frozen(eq=False)
class Confidence:
    """Stated confidence of each row, whether it came true, and its equal-width bin."""

    stated: np.ndarray
    "(n,) float64 in [0, 1]."
    correct: np.ndarray
    "(n,) float64, 0 or 1."
    bin: np.ndarray
    "(n,) int64; bin b of B holds confidences in (b/B, (b+1)/B], and the first also 0."


def confidence_bins(stated: np.ndarray, correct: np.ndarray, bins: int = ECE_BINS) -> Confidence:
    """Bin rows by stated confidence into `bins` of equal width, closed on the right."""
    edges = np.linspace(0, 1, bins + 1)
    return Confidence(stated, correct.astype(np.float64), np.searchsorted(edges[1:-1], stated, side="left"))


def top_label(evaluated: Evaluated, bins: int = ECE_BINS) -> Confidence:
    """Bin rows by the highest probability, right where its class is true (of equals the best match).

    The most probable class, not the decided one: a calibrator's decision need not be the argmax, and no
    probability states how sure it is.
    """
    correct = evaluated.probabilities.argmax(axis=1) == evaluated.labels
    return confidence_bins(evaluated.probabilities.max(axis=1, initial=0.0), correct, bins)


def ece(evaluated: Evaluated) -> Statistic:
    """Expected calibration error of the top label: |accuracy - confidence| per bin, averaged by weight.

    15 bins of equal width, closed on the right (Guo et al. 2017, arXiv 1706.04599, equation 3).
    """
    top = top_label(evaluated)
    gaps = Term(top.stated - top.correct, top.bin, ECE_BINS)
    return OfSums(
        (gaps, Term(np.ones(len(top.bin)))),
        lambda sums: ratios(np.abs(sums[:, :ECE_BINS]).sum(axis=1), sums[:, ECE_BINS]),
    )


def average_precision(evaluated: Evaluated) -> Statistic:
    """Average precision of the match, ranked by P(match) over all queries together; NaN without a match.

    The step-wise area under precision-recall, without interpolation; rows that tie enter together.
    """
    return _average_precision(match_thresholds(evaluated))


def mismatch_average_precision(evaluated: Evaluated) -> Statistic:
    """Average precision of the mismatch, ranked by 1 - P(match); NaN without a mismatch."""
    return _average_precision(mismatch_thresholds(evaluated))


def roc_auc(evaluated: Evaluated) -> Statistic:
    """Chance that a match scores above a mismatch, ties counted half; NaN unless both occur."""
    thresholds = match_thresholds(evaluated)

    def statistic(weights: np.ndarray) -> float:
        positives, rows = thresholds.counts(weights)
        if not len(rows):
            return float("nan")
        negatives = rows - positives
        middle = (positives + np.append(0.0, positives[:-1])) / 2
        area = np.diff(negatives, prepend=0.0) @ middle
        return ratio(area, positives[-1] * negatives[-1])

    return statistic


def match_f1(evaluated: Evaluated) -> Statistic:
    """F1 of the match from the decisions; NaN where no match is true or decided."""
    return _binary_f1(evaluated.matches, evaluated.decided_matches)


def mismatch_f1(evaluated: Evaluated) -> Statistic:
    """F1 of the mismatch from the decisions; NaN where no mismatch is true or decided."""
    return _binary_f1(~evaluated.matches, ~evaluated.decided_matches)


def _of_true_class(evaluated: Evaluated) -> np.ndarray:
    return evaluated.probabilities[np.arange(len(evaluated.labels)), evaluated.labels]


def _average_precision(thresholds: Thresholds) -> Statistic:
    def statistic(weights: np.ndarray) -> float:
        positives, rows = thresholds.counts(weights)
        if not len(rows):
            return float("nan")
        precision = np.divide(positives, rows, out=np.zeros(len(rows)), where=rows > 0)
        return ratio(np.diff(positives, prepend=0.0) @ precision, positives[-1])

    return statistic


def _binary_f1(true: np.ndarray, decided: np.ndarray) -> Statistic:
    both = (true & decided).astype(np.float64)
    either = (true.astype(np.float64) + decided) / 2
    return OfSums((Term(both), Term(either)), lambda sums: ratios(sums[:, 0], sums[:, 1]))
