"""The three measures of the paper on arrays, as quick as trying many sets of members needs them."""

from __future__ import annotations

import numpy as np


def confusion(labels: np.ndarray, decided: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """Return the weighted confusion matrix, (classes, classes) float64: row = true class, column = decided class."""
    return np.bincount(labels * classes + decided, weights, classes * classes).reshape(classes, classes)


def measured(matrix: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro F1 and weighted F1 of a confusion matrix, as the core's measures of these names.

    Macro F1 is over the classes that occur in the truth or the decisions.
    """
    hits, true = matrix.diagonal(), matrix.sum(axis=1)
    f1, _ = _f1(matrix)
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "macro_f1": float(macro_f1(matrix)),
        "weighted_f1": float((f1 * true).sum() / true.sum()),
    }


def macro_f1(matrices: np.ndarray) -> np.ndarray:
    """Return the macro F1 of confusion matrices, (..., classes, classes) -> (...) float64."""
    f1, there = _f1(matrices)
    mean: np.ndarray = f1.sum(axis=-1) / there.sum(axis=-1)
    return mean


def _f1(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the F1 of each class, and whether it occurs in the truth or the decisions; 0 where it does not."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    both = matrices.sum(axis=-1) + matrices.sum(axis=-2)
    there = both > 0
    return np.divide(2 * hits, both, out=np.zeros(hits.shape), where=there), there


def quality(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, measure: str = "macro_f1"
) -> float:
    """Return one measure of the likeliest classes; rows without a label or a weight are left out.

    Args:
        probabilities: (n, classes).
        labels: (n,) int64, -1 where unknown.
        weights: (n,).
        measure: accuracy, macro_f1 or weighted_f1.
    """
    used = (labels >= 0) & (weights > 0)
    decided = probabilities[used].argmax(axis=1)
    return measured(confusion(labels[used], decided, weights[used], probabilities.shape[1]))[measure]
