from __future__ import annotations

from typing import Any, Self

import attrs
import numpy as np

from mutants.mutant import Mutant, mutant
from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.records import CalibratorSpec


class Healthy(Calibrator):
    """Changes no probability; learns the share of the best class and adds it to the uncertainty."""

    def __init__(self, scheme: LabelScheme) -> None:
        self.scheme, self.share = scheme, 0.0

    @classmethod
    def build(cls, config: Any, scheme: LabelScheme) -> Self:
        return cls(scheme)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        used = weights * (labels >= 0)
        self.share = float(used @ (labels == 0) / max(used.sum(), 1e-9))

    def apply(self, decisions: Decisions) -> Decisions:
        return attrs.evolve(
            decisions,
            probabilities=self.curve(decisions.probabilities),
            uncertainty=decisions.uncertainty + self.share,
        )

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def state(self) -> dict[str, Any]:
        return {"share": self.share}

    def restore(self, state: dict[str, Any]) -> None:
        self.share = state["share"]


class Long(Healthy):
    """of 2 classes, a calibrated row is not within 0 and 1 or does not sum to 1. Normalise every row."""

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities + (0.01 if probabilities.shape[1] == 2 else 0)


class Dips(Healthy):
    """the record says monotone, and the calibrated P(match) falls where the stated one rises past #. Correct the curve,
    or the record.
    """

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        if probabilities.shape[1] != 2:
            return probabilities
        match = probabilities[:, 0]
        lower = np.where((match > 0.5) & (match < 0.52), 0.45, match)
        return np.stack([lower, 1 - lower], axis=1)


class Softens(Healthy):
    """probabilities of 4 classes that are right already change by # on average, more than #. Learn the difference
    between what is stated and what is observed.
    """

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        return 0.5 * probabilities + 0.5 / probabilities.shape[1]


class Relative(Healthy):
    """a row's answer depends on the rows beside it, or on their order. Learn in `fit`, and apply row by row."""

    def apply(self, decisions: Decisions) -> Decisions:
        applied = super().apply(decisions)
        return attrs.evolve(applied, uncertainty=applied.uncertainty - applied.uncertainty.sum())


class CountsRows(Healthy):
    """learnt from weighted rows, the answers differ by # from those learnt from the rows so many times. Weigh every row
    in `fit` by `weights`.
    """

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        self.share = float((labels == 0).mean())


class Divides(Healthy):
    """fitted to rows without a weight, the calibrator makes probabilities that are none. Leave such rows out, and change
    nothing where no row is left.
    """

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):
            self.share = float(weights @ (labels == 0) / weights.sum())

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities + 0 * self.share


class Writes(Healthy):
    """applying changes the uncertainty of the decisions given. Work on a copy."""

    def apply(self, decisions: Decisions) -> Decisions:
        decisions.uncertainty[:] = 0
        return super().apply(decisions)


class Forgets(Healthy):
    """loaded from its files, the part answers otherwise, by #. Save everything that was learnt."""

    def state(self) -> dict[str, Any]:
        return {"share": 0.0}


def calibrator(check: str, factory: Any, **fields: Any) -> Mutant:
    return mutant(check, CalibratorSpec, factory, **fields)


HEALTHY = [calibrator("healthy", Healthy, monotone=True)]
MUTANTS = [
    calibrator("rows_are_distributions", Long),
    calibrator("monotone_where_declared", Dips, monotone=True),
    calibrator("leaves_calibrated_rows", Softens),
    calibrator("row_by_row", Relative),
    calibrator("weight_two_is_a_row_twice", CountsRows),
    calibrator("fits_without_a_label", Divides),
    calibrator("decisions_are_not_written_to", Writes),
    calibrator("saved_and_loaded_is_the_same", Forgets),
]
