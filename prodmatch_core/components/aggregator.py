"""What an aggregator must do: one prediction out of the members'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.data.dataset import LabelScheme


@attrs.frozen(eq=False)
class MemberPredictions:
    """The members' class probabilities on the same rows.

    Attributes:
        names: the members.
        probabilities: (n, members, classes) float64.
        labels: (n,) int64 class index; -1 where unknown.
        groups: (n,) int64 number of the query, or of the hour; rows of a group are not independent.
        weights: (n,) float64.
        uncertainty: (n, members) float64, how unsure each member says it is, NaN where it cannot say.
    """

    names: tuple[str, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    uncertainty: np.ndarray = attrs.field()

    @uncertainty.default
    def _silent(self) -> np.ndarray:
        return np.full(self.probabilities.shape[:2], np.nan)


@attrs.frozen(eq=False)
class Combined:
    """An aggregator's answer: `probabilities` (n, classes) float64, `uncertainty` (n,) float64, NaN where none."""

    probabilities: np.ndarray
    uncertainty: np.ndarray


class Aggregator(ABC):
    """Combines members. One that learns declares `needs={"out_of_fold"}` and has a field `folds`."""

    @classmethod
    @abstractmethod
    def build(cls, config: Any, scheme: LabelScheme) -> Self:
        """Make an aggregator that has learnt nothing yet."""

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        """Learn from out-of-fold predictions on the training split; the default learns nothing."""

    @abstractmethod
    def combine(self, members: MemberPredictions) -> Combined:
        """Return one prediction per row; labels are not looked at."""

    def save(self, folder: Path) -> None:
        """Write what was learnt; the default has learnt nothing."""

    @classmethod
    def load(cls, config: Any, scheme: LabelScheme, folder: Path) -> Self:
        """Make the aggregator from what `save` wrote."""
        return cls.build(config, scheme)
