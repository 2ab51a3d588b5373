"""What an aggregator must do: one prediction out of the members'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import attrs
import numpy as np

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme


@attrs.frozen(eq=False)
class Pairs:
    """What predictions are about: `examples` that point into `corpus`.

    `dataset` is there in `fit` alone, without test labels: what a part may learn from beyond the pairs.
    """

    corpus: Corpus
    examples: Examples
    dataset: Dataset | None = None


@attrs.frozen
class Cost:
    """What one member's predictions cost, measured on this machine.

    Attributes:
        p50_ms, p95_ms: milliseconds a pair, median and 95th percentile over batches of validation pairs.
        memory_mb: megabytes that the member adds to a process that loads it and predicts.
    """

    p50_ms: float
    p95_ms: float
    memory_mb: float


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
        pairs: the pairs themselves, None where only predictions are known.
        costs: what each member costs, where the aggregator needs `costs`; empty otherwise.
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

    pairs: Pairs | None = None
    costs: tuple[Cost, ...] = ()

    def of(self, names: Sequence[str]) -> MemberPredictions:
        """Return the predictions of some of the members, in the order of `names`."""
        at = [self.names.index(name) for name in names]
        return attrs.evolve(
            self,
            names=tuple(names),
            probabilities=self.probabilities[:, at],
            uncertainty=self.uncertainty[:, at],
            costs=tuple(self.costs[place] for place in at) if self.costs else (),
        )

    def take(self, rows: np.ndarray) -> MemberPredictions:
        """Return the predictions at `rows`, (n,) int64 or a mask, in that order."""
        pairs = self.pairs
        return attrs.evolve(
            self,
            probabilities=self.probabilities[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            weights=self.weights[rows],
            uncertainty=self.uncertainty[rows],
            pairs=None if pairs is None else attrs.evolve(pairs, examples=pairs.examples.take(rows)),
        )


@attrs.frozen(eq=False)
class Combined:
    """An aggregator's answer: `probabilities` (n, classes) float64, `uncertainty` (n,) float64, NaN where none."""

    probabilities: np.ndarray
    uncertainty: np.ndarray


@attrs.frozen(eq=False)
class Contributions:
    """What adds up to an aggregator's score of every class, before it becomes a probability.

    `base + values.sum(axis=1)` is the score; the greater a value, the more its source speaks for the class.

    Attributes:
        sources: members, and whatever else the aggregator reads, in the order of `values`.
        values: (n, sources, classes) float64.
        base: (n, classes) float64, the score where nothing is known of a pair.
        unit: what a value is, in a few words.
    """

    sources: tuple[str, ...]
    values: np.ndarray
    base: np.ndarray
    unit: str


class Ask(Protocol):
    """Members that answer when they are asked, so that nobody predicts what nobody reads."""

    def __call__(self, names: Sequence[str], rows: np.ndarray | None = None) -> MemberPredictions:
        """Return what the members of those names say of the pairs at `rows`, (n,) int64, or of all of them."""
        ...


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

    def reads(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of the members are read; the default reads all. The others are not even loaded to score."""
        return tuple(names)

    def answer(self, ask: Ask, names: Sequence[str]) -> Combined:
        """Return what `combine` does, asking the members that are read; overridden by who need not ask for all rows."""
        return self.combine(ask(self.reads(names)))

    def contributions(self, members: MemberPredictions) -> Contributions | None:
        """Return what each member adds to the scores behind `combine`; None, the default, where it is not additive."""
        return None

    def save(self, folder: Path) -> None:
        """Write what was learnt; the default has learnt nothing."""

    @classmethod
    def load(cls, config: Any, scheme: LabelScheme, folder: Path) -> Self:
        """Make the aggregator from what `save` wrote."""
        return cls.build(config, scheme)
