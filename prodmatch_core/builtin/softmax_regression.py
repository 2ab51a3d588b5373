"""Multinomial logistic regression that is saved as JSON and copes with classes it never saw."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from prodmatch_core.errors import DataError


@attrs.frozen(eq=False)
class SoftmaxRegression:
    """Linear scores of standardised features, made into probabilities by softmax.

    Attributes:
        classes: number of classes of the label scheme.
        present: classes seen while fitting; the others get probability 0.
        mean, scale: (features,) float64, for standardising.
        coefficients: (features, len(present)) float64.
        intercepts: (len(present),) float64.
    """

    classes: int
    present: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fit(
        cls, features: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, l2: float
    ) -> SoftmaxRegression:
        """Fit to weighted rows: weight 2 is a row twice; rows of weight 0 or label -1 are left out.

        Args:
            features: (n, features), finite.
            labels: (n,) int64 class index, -1 where unknown.
            weights: (n,) at least 0.
            classes: number of classes of the label scheme.
            l2: factor of half the squared coefficients, beside the weighted sum of the rows' losses.

        Raises:
            DataError: no row has a label and a weight.
        """
        from sklearn.linear_model import LogisticRegression

        used = (labels >= 0) & (weights > 0)
        features, labels = np.asarray(features[used], dtype=np.float64), labels[used]
        weights = np.asarray(weights[used], dtype=np.float64)
        if not len(labels):
            raise DataError("logistic regression: no training row has a label and a weight above 0")
        mean = np.average(features, axis=0, weights=weights)
        scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
        scale[scale < 1e-12] = 1.0  # a constant feature says nothing, in whatever unit
        present = np.unique(labels)
        coefficients = np.zeros((features.shape[1], len(present)))
        intercepts = np.zeros(len(present))
        if len(present) > 1:
            model = LogisticRegression(C=1 / l2, max_iter=1000, tol=1e-6)
            model.fit((features - mean) / scale, labels, sample_weight=weights)
            # Of two classes scikit-learn keeps the second's score alone; the first's is 0.
            coefficients[:, -len(model.coef_) :] = model.coef_.T
            intercepts[-len(model.coef_) :] = model.intercept_
        return cls(classes, tuple(present.tolist()), mean, scale, coefficients, intercepts)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, classes) float64 for features (n, features)."""
        scores = (features - self.mean) / self.scale @ self.coefficients + self.intercepts
        exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = np.zeros((len(features), self.classes))
        probabilities[:, self.present] = exponents / exponents.sum(axis=1, keepdims=True)
        return probabilities

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "classes": self.classes,
            "present": list(self.present),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SoftmaxRegression:
        """Make the regression that `state` describes."""
        present = tuple(state["present"])
        return cls(
            state["classes"],
            present,
            np.array(state["mean"], dtype=np.float64),
            np.array(state["scale"], dtype=np.float64),
            np.array(state["coefficients"], dtype=np.float64).reshape(-1, len(present)),
            np.array(state["intercepts"], dtype=np.float64),
        )
