"""The plain calibrators: temperature, isotonic regression, and one threshold on the match score."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from prodmatch_core.builtin.configs import IsotonicConfig, TemperatureConfig, ThresholdConfig
from prodmatch_core.components.calibrator import Calibrator, Decisions, match_score, positive_classes
from prodmatch_core.data.dataset import LabelScheme

SMALLEST = 1e-12
"Probabilities are not taken below this before their logarithm."


class Temperature(Calibrator):
    """One number that all logits are divided by (arXiv 1706.04599, section 4.2); the decided class never changes."""

    def __init__(self, scheme: LabelScheme) -> None:
        """Start from temperature 1, which changes nothing."""
        self.scheme = scheme
        self.temperature = 1.0

    @classmethod
    def build(cls, config: TemperatureConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that has learnt nothing yet."""
        return cls(scheme)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Choose the temperature with the lowest weighted log-loss, between 1/20 and 20."""
        from scipy.optimize import minimize_scalar

        logits = np.log(np.maximum(decisions.probabilities, SMALLEST))
        rows = np.arange(len(labels))

        def loss(log_temperature: float) -> float:
            scaled = logits / np.exp(log_temperature)
            top = scaled.max(axis=1)
            log_total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
            return float(np.average(log_total - scaled[rows, labels], weights=weights))

        bound = np.log(20.0)
        best = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
        self.temperature = float(np.exp(best.x))

    def apply(self, decisions: Decisions) -> Decisions:
        """Return softened or sharpened probabilities."""
        scaled = np.log(np.maximum(decisions.probabilities, SMALLEST)) / self.temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        return Decisions(probabilities, decisions.uncertainty, decisions.labels, decisions.accepted)

    def state(self) -> dict[str, Any]:
        """Return the temperature."""
        return {"temperature": self.temperature}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the temperature."""
        self.temperature = state["temperature"]


class Isotonic(Calibrator):
    """One rising step function per class against the rest, then normalised (Zadrozny & Elkan, KDD 2002)."""

    def __init__(self, scheme: LabelScheme) -> None:
        """Start with no knots, which changes nothing."""
        self.scheme = scheme
        self.knots: list[tuple[list[float], list[float]]] = []

    @classmethod
    def build(cls, config: IsotonicConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that has learnt nothing yet."""
        return cls(scheme)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Fit one regression per class."""
        from sklearn.isotonic import IsotonicRegression

        self.knots = []
        for number in range(len(self.scheme.labels)):
            regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
            regression.fit(decisions.probabilities[:, number], labels == number, sample_weight=weights)
            self.knots.append((regression.X_thresholds_.tolist(), regression.y_thresholds_.tolist()))

    def apply(self, decisions: Decisions) -> Decisions:
        """Return calibrated probabilities; a row in which every class fell to 0 keeps what it had."""
        columns = [
            np.interp(decisions.probabilities[:, number], x, y) for number, (x, y) in enumerate(self.knots)
        ]
        raw = np.stack(columns, axis=1)
        total = raw.sum(axis=1, keepdims=True)
        probabilities = np.where(total > 0, raw / np.where(total > 0, total, 1.0), decisions.probabilities)
        return Decisions.plain(probabilities, decisions.uncertainty, self.scheme)

    def state(self) -> dict[str, Any]:
        """Return the knots of each class."""
        return {"knots": self.knots}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the knots."""
        self.knots = [(x, y) for x, y in state["knots"]]


class Threshold(Calibrator):
    """Accept a pair as a match when its match score reaches one threshold, chosen on the validation split."""

    def __init__(self, config: ThresholdConfig, scheme: LabelScheme) -> None:
        """Start with a threshold of one half."""
        self.config = config
        self.scheme = scheme
        self.threshold = 0.5
        self.reachable = True
        self.precision = float("nan")
        self.recall = float("nan")

    @classmethod
    def build(cls, config: ThresholdConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that has learnt nothing yet."""
        return cls(config, scheme)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Choose the threshold: the best F1 of the polarity asked for, or most recall at the target precision.

        Where no threshold reaches the precision, nothing is accepted and the state says so, with the best there is.
        """
        score = match_score(decisions.probabilities, self.scheme)
        match = np.isin(labels, positive_classes(self.scheme))
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # ties are accepted together
        hit = np.cumsum(weights[order] * match[order])[ends]
        taken = np.cumsum(weights[order])[ends]
        cuts = score[order][ends]
        precision = hit / np.maximum(taken, SMALLEST)
        recall = hit / max(hit[-1], SMALLEST)
        if self.config.objective == "precision":
            allowed = precision >= self.config.target
            self.reachable = bool(allowed.any())
            best = (
                int(np.argmax(np.where(allowed, recall, -1.0))) if self.reachable else int(precision.argmax())
            )
        elif self.config.objective == "mismatch_f1":
            wrong = (
                weights.sum() - hit[-1]
            )  # mismatches there are; those rejected are what is called mismatch
            rejected = weights.sum() - taken
            caught = wrong - (taken - hit)
            best = int(np.argmax(2 * caught / np.maximum(wrong + rejected, SMALLEST)))
        else:
            best = int(np.argmax(2 * hit / np.maximum(taken + hit[-1], SMALLEST)))
        self.threshold = float(cuts[best]) if self.reachable else float("inf")
        self.precision, self.recall = float(precision[best]), float(recall[best])

    def apply(self, decisions: Decisions) -> Decisions:
        """Return new acceptance; where there are two labels, acceptance is the decision."""
        accepted = match_score(decisions.probabilities, self.scheme) >= self.threshold
        labels = decisions.labels
        if len(self.scheme.labels) == 2:
            positive = int(positive_classes(self.scheme)[0])
            labels = np.where(accepted, positive, 1 - positive)
        return Decisions(decisions.probabilities, decisions.uncertainty, labels, accepted)

    def state(self) -> dict[str, Any]:
        """Return the threshold and what it gave on the validation split; null for a threshold nothing reaches."""
        return {
            "threshold": self.threshold if self.reachable else None,
            "reachable": self.reachable,
            "precision": self.precision,
            "recall": self.recall,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.reachable, self.precision, self.recall = state["reachable"], state["precision"], state["recall"]
        self.threshold = state["threshold"] if self.reachable else float("inf")
