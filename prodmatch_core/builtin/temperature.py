"""`core.temperature`: one number that makes probabilities as sure as they deserve."""

from __future__ import annotations

from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.records import NoConfig

SMALLEST = 1e-12
"Probabilities below this count as this: a class called impossible would make every NLL infinite."
BOUNDS = (0.05, 20.0)
"Temperatures considered; rows that are all right would otherwise ask for 0."


@attrs.define(eq=False)
class TemperatureCalibrator(Calibrator):
    """Temperature scaling by validation NLL (arXiv 1706.04599, section 4.2). Never changes a decision."""

    temperature: float = 1.0

    @classmethod
    def build(cls, config: NoConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator of temperature 1, which changes nothing."""
        return cls()

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Take the temperature of least weighted NLL; without a labelled row, 1."""
        used = (labels >= 0) & (weights > 0)
        if not used.any():
            self.temperature = 1.0
            return
        scores = _log(decisions.probabilities[used])
        weights = weights[used] / weights[used].sum()
        truth = weights @ scores[np.arange(len(scores)), labels[used]]

        def slope(sharpness: float) -> float:
            # Of the NLL along 1 / temperature, in which it is convex: expected score minus the true class's.
            return float(weights @ (_soften(scores, sharpness) * scores).sum(axis=1) - truth)

        low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
        for _ in range(60):
            middle = np.sqrt(low * high)
            if slope(middle) < 0:
                low = middle
            else:
                high = middle
        self.temperature = float(1 / np.sqrt(low * high))

    def apply(self, decisions: Decisions) -> Decisions:
        """Return the decisions with probabilities sharpened or softened; labels and acceptance stay."""
        probabilities = _soften(_log(decisions.probabilities), 1 / self.temperature)
        return attrs.evolve(decisions, probabilities=probabilities)

    def state(self) -> dict[str, Any]:
        """Return the temperature."""
        return {"temperature": self.temperature}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back a temperature."""
        self.temperature = state["temperature"]


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST))


def _soften(scores: np.ndarray, sharpness: float) -> np.ndarray:
    scaled = scores * sharpness
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)
