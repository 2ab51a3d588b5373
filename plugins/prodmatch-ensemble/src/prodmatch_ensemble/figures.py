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
    hits, true, decided = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    there = (true + decided) > 0
    f1 = np.divide(2 * hits, true + decided, out=np.zeros(len(hits)), where=there)
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "macro_f1": float(f1[there].mean()),
        "weighted_f1": float((f1 * true).sum() / true.sum()),
    }


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
