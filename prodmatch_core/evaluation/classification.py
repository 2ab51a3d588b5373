"""Measures of the decided class. All but accuracy read one weighted confusion matrix, counted in one pass."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of
from prodmatch_core.evaluation.sums import OfSums, Term, ratios


@attrs.frozen
class ClassScores:
    """Precision, recall, F1 and weighted support of one class; NaN where undefined."""

    label: str
    precision: float
    recall: float
    f1: float
    support: float


def confusion_matrix(evaluated: Evaluated, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the weighted confusion matrix, (C, C) float64: row = true class, column = decided class."""
    counted = _confusions(evaluated).total(evaluated.example_weights if weights is None else weights)
    classes = len(evaluated.scheme.labels)
    return counted.reshape(classes, classes)


def per_class_f1(evaluated: Evaluated, weights: np.ndarray | None = None) -> tuple[ClassScores, ...]:
    """Return precision, recall, F1 and support of every class, in the order of the label scheme."""
    matrix = confusion_matrix(evaluated, weights)
    hits, true, decided = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = ratios(hits, decided), ratios(hits, true), _f1(matrix), true
    rows = zip(evaluated.scheme.labels, *(column.tolist() for column in columns), strict=True)
    return tuple(ClassScores(*row) for row in rows)


def accuracy(evaluated: Evaluated) -> Statistic:
    """Share of rows whose decided class is the true one."""
    return mean_of(evaluated.labels == evaluated.decisions)


def micro_f1(evaluated: Evaluated) -> Statistic:
    """F1 of all classes pooled; equals accuracy, as every row has one label and one decision."""
    return accuracy(evaluated)


def macro_f1(evaluated: Evaluated) -> Statistic:
    """Unweighted mean of F1 over the classes that occur in the truth or the decisions (as scikit-learn)."""

    def macro(matrices: np.ndarray) -> np.ndarray:
        scores = _f1(matrices)
        return ratios(np.nansum(scores, axis=-1), (~np.isnan(scores)).sum(axis=-1))

    return _of_confusion(evaluated, macro)


def weighted_f1(evaluated: Evaluated) -> Statistic:
    """Mean of F1 over the classes, weighted by how often each is true."""

    def weighted(matrices: np.ndarray) -> np.ndarray:
        support = matrices.sum(axis=-1)
        return ratios((support * np.nan_to_num(_f1(matrices))).sum(axis=-1), support.sum(axis=-1))

    return _of_confusion(evaluated, weighted)


def kappa(evaluated: Evaluated) -> Statistic:
    """Cohen's kappa: agreement beyond chance, every confusion equally bad (Cohen 1960)."""
    classes = len(evaluated.scheme.labels)
    return _of_confusion(evaluated, _kappa(1.0 - np.eye(classes)))


def quadratic_kappa(evaluated: Evaluated) -> Statistic:
    """Cohen's kappa with squared class distance as the cost of a confusion (Cohen 1968).

    The distance is counted in places of the label scheme, so the scheme must be ordered and evenly spaced.
    """
    place = np.arange(len(evaluated.scheme.labels), dtype=np.float64)
    return _of_confusion(evaluated, _kappa((place[:, None] - place) ** 2))


def _kappa(cost: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def kappa_of(matrices: np.ndarray) -> np.ndarray:
        total = matrices.sum(axis=(1, 2))
        by_chance = ((matrices.sum(axis=2) @ cost) * matrices.sum(axis=1)).sum(axis=1)
        return 1.0 - ratios((matrices * cost).sum(axis=(1, 2)) * total, by_chance)

    return kappa_of


def _confusions(evaluated: Evaluated) -> Term:
    classes = len(evaluated.scheme.labels)
    cells = evaluated.labels * classes + evaluated.decisions
    return Term(np.ones(len(cells)), cells, classes * classes)


def _of_confusion(evaluated: Evaluated, figure: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """Return the statistic that `figure` makes of confusion matrices, (r, C, C) to (r,)."""
    classes = len(evaluated.scheme.labels)
    return OfSums((_confusions(evaluated),), lambda sums: figure(sums.reshape(-1, classes, classes)))


def _f1(matrices: np.ndarray) -> np.ndarray:
    """Return F1 per class, (..., C); NaN for a class that is neither true nor decided anywhere."""
    hits = matrices.diagonal(axis1=-2, axis2=-1)
    return ratios(2.0 * hits, matrices.sum(axis=-2) + matrices.sum(axis=-1))
