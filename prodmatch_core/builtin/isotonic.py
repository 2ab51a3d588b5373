"""`core.isotonic`: per class, any non-decreasing curve from stated to observed probability."""

from __future__ import annotations

from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import IsotonicConfig
from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.dataset import LabelScheme

Knots = tuple[np.ndarray, np.ndarray]
"Stated probabilities, ascending, and the observed share at each; between knots the curve is straight."


@attrs.define(eq=False)
class IsotonicCalibrator(Calibrator):
    """One-vs-rest isotonic regression, made to sum to 1 (Zadrozny and Elkan, KDD 2002, sections 3 and 4)."""

    floor: float
    scheme: LabelScheme
    curves: tuple[Knots | None, ...]
    "One per class; None, which changes nothing, for a class the validation rows do not have."

    @classmethod
    def build(cls, config: IsotonicConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that changes nothing but the floor."""
        return cls(config.floor, scheme, (None,) * len(scheme.labels))

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Fit one curve per class to the validation rows under their weights."""
        from sklearn.isotonic import IsotonicRegression

        used = (labels >= 0) & (weights > 0)
        stated, labels, weights = decisions.probabilities[used], labels[used], weights[used]
        curves: list[Knots | None] = []
        for index in range(len(self.scheme.labels)):
            observed = (labels == index).astype(np.float64)
            if not observed.any():
                curves.append(None)
                continue
            model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            model.fit(stated[:, index], observed, sample_weight=weights)
            curves.append((model.X_thresholds_, model.y_thresholds_))
        self.curves = tuple(curves)

    def apply(self, decisions: Decisions) -> Decisions:
        """Return the decisions with calibrated probabilities, decided anew for the likeliest class."""
        stated = decisions.probabilities
        columns = [
            stated[:, index] if curve is None else np.interp(stated[:, index], *curve)
            for index, curve in enumerate(self.curves)
        ]
        raised = np.maximum(np.column_stack(columns), self.floor)
        total = raised.sum(axis=1, keepdims=True)
        # Without a floor every curve may say 0; then what was stated stays.
        probabilities = np.where(total > 0, raised / np.where(total > 0, total, 1), stated)
        decided = Decisions.plain(probabilities, decisions.uncertainty, self.scheme)
        return attrs.evolve(decided, groups=decisions.groups)

    def state(self) -> dict[str, Any]:
        """Return the knots of each class's curve."""
        return {
            "curves": [
                None if curve is None else {"stated": curve[0].tolist(), "observed": curve[1].tolist()}
                for curve in self.curves
            ]
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the curves."""
        self.curves = tuple(
            None if curve is None else (np.array(curve["stated"]), np.array(curve["observed"]))
            for curve in state["curves"]
        )
