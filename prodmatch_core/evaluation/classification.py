"""Measures of the decided class. All but accuracy read one weighted confusion matrix, counted in one pass."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of, ratio


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
    return _confusion(evaluated)(evaluated.example_weights if weights is None else weights)


def per_class_f1(evaluated: Evaluated, weights: np.ndarray | None = None) -> tuple[ClassScores, ...]:
    """Return precision, recall, F1 and support of every class, in the order of the label scheme."""
    matrix = confusion_matrix(evaluated, weights)
    hits, true, decided = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = _divide(hits, decided), _divide(hits, true), _f1(matrix), true
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

    def macro(matrix: np.ndarray) -> float:
        scores = _f1(matrix)
        scores = scores[~np.isnan(scores)]
        return ratio(scores.sum(), len(scores))

    return _of_confusion(evaluated, macro)


def weighted_f1(evaluated: Evaluated) -> Statistic:
    """Mean of F1 over the classes, weighted by how often each is true."""

    def weighted(matrix: np.ndarray) -> float:
        support = matrix.sum(axis=1)
        there = support > 0
        return ratio(support[there] @ _f1(matrix)[there], support.sum())

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


def _kappa(cost: np.ndarray) -> Callable[[np.ndarray], float]:
    def kappa_of(matrix: np.ndarray) -> float:
        total = matrix.sum()
        by_chance = matrix.sum(axis=1) @ cost @ matrix.sum(axis=0)
        return 1.0 - ratio((matrix * cost).sum() * total, by_chance)

    return kappa_of


def _confusion(evaluated: Evaluated) -> Callable[[np.ndarray], np.ndarray]:
    classes = len(evaluated.scheme.labels)
    cells = evaluated.labels * classes + evaluated.decisions

    def count(weights: np.ndarray) -> np.ndarray:
        return np.bincount(cells, weights, minlength=classes * classes).reshape(classes, classes)

    return count


def _of_confusion(evaluated: Evaluated, figure: Callable[[np.ndarray], float]) -> Statistic:
    count = _confusion(evaluated)

    def statistic(weights: np.ndarray) -> float:
        return figure(count(weights))

    return statistic


def _f1(matrix: np.ndarray) -> np.ndarray:
    """Return F1 per class, (C,); NaN for a class that is neither true nor decided anywhere."""
    return _divide(2.0 * matrix.diagonal(), matrix.sum(axis=0) + matrix.sum(axis=1))


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
