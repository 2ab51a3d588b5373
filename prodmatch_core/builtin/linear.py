"""Multinomial logistic regression on standardised features, kept as plain numbers."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import numpy as np


@attrs.frozen(eq=False)
class Linear:
    """A fitted regression.

    Attributes:
        mean, scale: (features,) float64, how features are standardised.
        coefficients: (classes, features) float64.
        intercepts: (classes,) float64; a class that training lacked has a probability of practically 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities of (n, features) rows, (n, classes) float64."""
        logits = ((features - self.mean) / self.scale) @ self.coefficients.T + self.intercepts
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)

    def state(self) -> dict[str, Any]:
        """Return the numbers as plain lists."""
        return {field.name: getattr(self, field.name).tolist() for field in attrs.fields(Linear)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Linear:
        """Make the regression from what `state` returned."""
        return cls(**{name: np.array(values, dtype=np.float64) for name, values in state.items()})


def fit_linear(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, strength: float
) -> Linear:
    """Fit by maximum penalised likelihood.

    Args:
        features: (n, features).
        labels: (n,) int64 class index.
        weights: (n,) of each example.
        classes: number of classes, whether or not training has all of them.
        strength: inverse of the L2 penalty on standardised features.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    features = np.asarray(features, dtype=np.float64)
    mean = np.average(features, axis=0, weights=weights)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    scale[scale < 1e-12] = 1.0  # a constant feature says nothing; it must not divide by 0
    coefficients = np.zeros((classes, features.shape[1]))
    intercepts = np.full(classes, -30.0)
    present = np.unique(labels)
    if len(present) == 1:
        intercepts[present] = 0.0
        return Linear(mean, scale, coefficients, intercepts)
    model = LogisticRegression(C=strength, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 500 steps on a convex problem are near enough
        model.fit((features - mean) / scale, labels, sample_weight=weights)
    if len(present) == 2:  # scikit-learn keeps one row for two classes: half of it each way is the same model
        coefficients[present] = np.vstack([-model.coef_, model.coef_]) / 2
        intercepts[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        coefficients[present] = model.coef_
        intercepts[present] = model.intercept_
    return Linear(mean, scale, coefficients, intercepts)
