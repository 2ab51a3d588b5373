"""`Sample`, labelled rows with score and uncertainty; `Goal`, what a boundary is to reach; `Outcome`, what it does."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

TOLERANCE = 1e-9
"Relative slack of comparisons: 11 of 20 rows reach a precision of 0.55, though 0.55 x 20 rounds to above 11."


@attrs.frozen(eq=False)
class Sample:
    """Labelled rows. All arrays have length n.

    Attributes:
        score: (n,) float64, the greater the likelier positive.
        uncertainty: (n,) float64, of any sign and scale.
        positive: (n,) bool, the truth.
        weights: (n,) float64, above 0.
        groups: (n,) int64, rows of a group are not independent; None: all are.
    """

    score: np.ndarray
    uncertainty: np.ndarray
    positive: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, score: Any, uncertainty: Any, positive: Any, groups: Any = None) -> Sample:
        """Return rows of weight 1."""
        score = np.asarray(score, dtype=np.float64)
        return cls(
            score,
            np.asarray(uncertainty, dtype=np.float64),
            np.asarray(positive, dtype=bool),
            np.ones(len(score)),
            None if groups is None else np.asarray(groups, dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Sample:
        """Return some rows, by mask or position."""
        groups = None if self.groups is None else self.groups[rows]
        return Sample(
            self.score[rows], self.uncertainty[rows], self.positive[rows], self.weights[rows], groups
        )


@attrs.frozen
class Goal:
    """What is asked of a boundary: most recall at a precision, or most precision at a recall.

    Attributes:
        objective: `recall` or `precision`, whichever is to be greatest.
        target: least value of the other.
    """

    objective: str
    target: float

    def met(self, outcome: Outcome) -> bool:
        """Return whether an outcome reaches the target; accepting nothing reaches no precision."""
        if self.objective == "recall":
            return outcome.rows > 0 and holds(outcome.positives, outcome.rows, self.target)
        return holds(outcome.positives, outcome.total, self.target)

    def value(self, outcome: Outcome) -> float:
        """Return what is to be greatest; 0 where the target is missed."""
        if not self.met(outcome):
            return 0.0
        found = outcome.recall if self.objective == "recall" else outcome.precision
        return 0.0 if np.isnan(found) else float(found)

    def better(self, left: Outcome, right: Outcome) -> bool:
        """Return whether `left` is better than `right`: reaches the target, then by value, then by the other figure."""
        second = (
            (-left.rows, -right.rows) if self.objective == "recall" else (left.positives, right.positives)
        )
        return (self.met(left), self.value(left), second[0]) > (self.met(right), self.value(right), second[1])


def holds(part: float, whole: float, target: float) -> bool:
    """Return whether `part / whole >= target`, up to rounding."""
    return part >= target * whole - TOLERANCE * max(whole, 1.0)


@attrs.frozen
class Outcome:
    """What accepting some rows gives: their weight, that of the positives among them, that of all positives."""

    rows: float
    positives: float
    total: float

    @property
    def precision(self) -> float:
        """Return the share of positives among the accepted, NaN where nothing is."""
        return self.positives / self.rows if self.rows > 0 else float("nan")

    @property
    def recall(self) -> float:
        """Return the share of the positives that are accepted, NaN where there are none."""
        return self.positives / self.total if self.total > 0 else float("nan")


def outcome(sample: Sample, accepted: np.ndarray) -> Outcome:
    """Return what accepting the rows `accepted`, (n,) bool, gives."""
    weights = sample.weights
    return Outcome(
        float(weights[accepted].sum()),
        float(weights[accepted & sample.positive].sum()),
        float(weights[sample.positive].sum()),
    )
