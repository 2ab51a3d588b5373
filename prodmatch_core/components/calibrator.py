"""What a calibrator must do: probabilities that mean what they say, decisions with known precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.data.dataset import LabelScheme


@attrs.frozen(eq=False)
class Decisions:
    """Predictions on their way through the calibrators.

    Attributes:
        probabilities: (n, classes) float64, rows summing to 1.
        uncertainty: (n,) float64, NaN where no part gives one.
        labels: (n,) int64 decided class.
        accepted: (n,) bool, whether the pair is taken as a match.
        for_review: (n,) bool, whether a person is to decide; None where no part asks for that.
        groups: (n,) int64, number of the query, or of the hour, of each row while fitting; rows of a group are not
            independent. None where it is not known.
    """

    probabilities: np.ndarray
    uncertainty: np.ndarray
    labels: np.ndarray
    accepted: np.ndarray
    for_review: np.ndarray | None = None
    groups: np.ndarray | None = None

    @classmethod
    def plain(cls, probabilities: np.ndarray, uncertainty: np.ndarray, scheme: LabelScheme) -> Decisions:
        """Decide for the likeliest class; accept what is decided to be a positive label."""
        labels = probabilities.argmax(axis=1)
        return cls(probabilities, uncertainty, labels, np.isin(labels, positive_classes(scheme)))


def positive_classes(scheme: LabelScheme) -> np.ndarray:
    """Return the class indices that count as a match, int64."""
    return np.array([scheme.index(label) for label in scheme.positive], dtype=np.int64)


def match_score(probabilities: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """Return P(match), (n,) float64: the sum over the labels that count as a match."""
    return probabilities[:, positive_classes(scheme)].sum(axis=1)


class Calibrator(ABC):
    """One step between the aggregator and the decisions, fitted on the validation split's natural class shares."""

    @classmethod
    @abstractmethod
    def build(cls, config: Any, scheme: LabelScheme) -> Self:
        """Make a calibrator that has learnt nothing yet."""

    @abstractmethod
    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Learn from validation rows; `labels` (n,) int64 true classes, `weights` (n,) float64."""

    @abstractmethod
    def apply(self, decisions: Decisions) -> Decisions:
        """Return the decisions with probabilities, labels or acceptance renewed."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what was learnt as plain JSON values."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""

    def save(self, folder: Path) -> None:
        """Write the state as JSON; parts with large states override this and `load`."""
        import json

        (folder / "state.json").write_text(json.dumps(self.state()))

    @classmethod
    def load(cls, config: Any, scheme: LabelScheme, folder: Path) -> Self:
        """Make the calibrator from what `save` wrote."""
        import json

        calibrator = cls.build(config, scheme)
        calibrator.restore(json.loads((folder / "state.json").read_text()))
        return calibrator
