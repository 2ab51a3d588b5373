"""`core.threshold`: from which P(match) a pair is accepted."""

from __future__ import annotations

from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import ThresholdConfig
from prodmatch_core.components.calibrator import Calibrator, Decisions, match_score, positive_classes
from prodmatch_core.data.dataset import LabelScheme


@attrs.define(eq=False)
class ThresholdCalibrator(Calibrator):
    """One threshold on the probability of a match, for the best F1 or for recall at a precision.

    Attributes:
        threshold: least P(match) that is accepted; None accepts nothing: the objective is out of reach.
        precision, recall: of what is accepted among the validation rows.
        best_precision: the highest precision any threshold reaches there.
    """

    config: ThresholdConfig
    scheme: LabelScheme
    threshold: float | None = None
    precision: float | None = None
    recall: float | None = None
    best_precision: float | None = None

    @classmethod
    def build(cls, config: ThresholdConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that accepts nothing yet."""
        return cls(config, scheme)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Try every score of a validation row as threshold; among equally good ones take the highest."""
        self.threshold = self.precision = self.recall = self.best_precision = None
        used = (labels >= 0) & (weights > 0)
        score = match_score(decisions.probabilities[used], self.scheme)
        matches = np.isin(labels[used], positive_classes(self.scheme))
        if not matches.any():
            return
        order = np.argsort(-score, kind="stable")
        score = score[order]
        last = np.append(score[1:] != score[:-1], True)  # rows of one score are accepted together
        accepted = np.cumsum(weights[used][order])[last]
        right = np.cumsum((weights[used] * matches)[order])[last]
        precision, recall = right / accepted, right / right[-1]
        self.best_precision = float(precision.max())
        f1 = 2 * right / (accepted + right[-1])
        if self.config.objective == "f1":
            best = int(np.argmax(f1))
        elif self.config.objective == "macro_f1":
            total, mismatches = accepted[-1], accepted[-1] - right[-1]
            rejected = total - accepted
            rejected_right = mismatches - (accepted - right)
            best = int(np.argmax(f1 + 2 * rejected_right / np.maximum(rejected + mismatches, 1e-12)))
        else:
            reached = precision >= self.config.target
            if not reached.any():
                return
            best = int(np.argmax(np.where(reached, recall, -1.0)))
        self.threshold = float(score[last][best])
        self.precision, self.recall = float(precision[best]), float(recall[best])

    def apply(self, decisions: Decisions) -> Decisions:
        """Return the decisions with acceptance by the threshold, and labels too where there are just two."""
        score = match_score(decisions.probabilities, self.scheme)
        accepted = np.zeros(len(score), dtype=bool) if self.threshold is None else score >= self.threshold
        labels = decisions.labels
        if len(self.scheme.labels) == 2:
            match = int(positive_classes(self.scheme)[0])
            labels = np.where(accepted, match, 1 - match)
        return attrs.evolve(decisions, accepted=accepted, labels=labels)

    def state(self) -> dict[str, Any]:
        """Return the threshold and what it reaches on the validation rows."""
        return {
            "reachable": self.threshold is not None,
            "threshold": self.threshold,
            "precision": self.precision,
            "recall": self.recall,
            "best_precision": self.best_precision,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.threshold = state["threshold"]
        self.precision, self.recall = state["precision"], state["recall"]
        self.best_precision = state["best_precision"]
