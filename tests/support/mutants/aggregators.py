from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np

from mutants.configs import Folds
from mutants.mutant import Mutant, mutant
from prodmatch_core.components.aggregator import Aggregator, Ask, Combined, Contributions, MemberPredictions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.records import AggregatorSpec


class Healthy(Aggregator):
    """The mean, with the members' spread as uncertainty."""

    def __init__(self) -> None:
        self.shift = 0.0

    @classmethod
    def build(cls, config: Any, scheme: LabelScheme) -> Self:
        return cls()

    def combine(self, members: MemberPredictions) -> Combined:
        p = members.probabilities
        return Combined(p.mean(axis=1), p.std(axis=1).mean(axis=1) + self.shift)


class Learns(Healthy):
    """The same; the uncertainty is shifted by what was learnt."""

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        self.shift = float(np.average(members.labels == 0, weights=members.weights))

    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text(json.dumps(self.shift))

    @classmethod
    def load(cls, config: Any, scheme: LabelScheme, folder: Path) -> Self:
        made = cls.build(config, scheme)
        made.shift = json.loads((folder / "shift.json").read_text())
        return made


class Short(Healthy):
    """a row of probabilities does not sum to 1, or is below 0. Normalise every row."""

    def combine(self, members: MemberPredictions) -> Combined:
        combined = super().combine(members)
        return Combined(0.9 * combined.probabilities, combined.uncertainty)


class Otherwise(Healthy):
    """asked, the aggregator answers otherwise than it combines, by #. A run is evaluated by `combine` and scores by
    `answer`; make them agree."""

    def answer(self, ask: Ask, names: Sequence[str]) -> Combined:
        combined = self.combine(ask(names))
        return Combined(combined.probabilities, combined.uncertainty + 0.125)


class Mixed(Healthy):
    """contributions have shapes ((400, 4, 3), (400, 4)), expected ((400, 3, 4), (400, 4)), all finite. Return what each
    source adds to the score of each class, and what is there without any."""

    def contributions(self, members: MemberPredictions) -> Contributions:
        values = np.log(members.probabilities).transpose(0, 2, 1)
        return Contributions(
            members.names, values, np.zeros((len(values), values.shape[1])), "log-probability"
        )


class Narrow(Healthy):
    """probabilities have shape (400, 3), expected (400, 4). Return (n, classes)."""

    def combine(self, members: MemberPredictions) -> Combined:
        combined = super().combine(members)
        return Combined(combined.probabilities[:, :3], combined.uncertainty)


class Unsaid(Healthy):
    """the record gives uncertainty, and some rows have none. Give a finite number for every row."""

    def combine(self, members: MemberPredictions) -> Combined:
        combined = super().combine(members)
        return Combined(combined.probabilities, np.full(len(combined.uncertainty), np.nan))


class Undeclared(Healthy):
    """rows have an uncertainty the record does not give. Add gives={"uncertainty"}."""


class Relative(Healthy):
    """a row's answer depends on the rows beside it, or on their order. Learn in `fit`, and combine row by row."""

    def combine(self, members: MemberPredictions) -> Combined:
        combined = super().combine(members)
        return Combined(combined.probabilities, combined.uncertainty - combined.uncertainty.sum())


class Peeks(Healthy):
    """what is combined depends on the labels. Read labels in `fit` alone."""

    def combine(self, members: MemberPredictions) -> Combined:
        combined = super().combine(members)
        return Combined(combined.probabilities, combined.uncertainty + (members.labels == 0))


class LearnsInFold(Healthy):
    """the aggregator learns, and would learn from predictions on rows the members were fitted to. Declare
    needs={"out_of_fold"}, and add a field `folds` of at least 2.
    """

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        """Learn nothing of use."""


class NeedlesslyOutOfFold(Healthy):
    """the record needs out_of_fold, for which every member is fitted several times, and nothing is learnt. Remove it."""


class CountsRows(Learns):
    """learnt from weighted rows, the answers differ by # from those learnt from the rows so many times. Weigh every row
    in `fit` by `members.weights`.
    """

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        super().fit(attrs.evolve(members, weights=np.ones(len(members.labels))), rng)


class Writes(Healthy):
    """combining changes the members' weights. Work on a copy."""

    def combine(self, members: MemberPredictions) -> Combined:
        members.weights[:] = 1
        return super().combine(members)


class Forgets(Learns):
    """loaded from its files, the part answers otherwise, by #. Save everything that was learnt."""

    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text("0")


def aggregator(check: str, factory: Any, gives: str = "uncertainty", **fields: Any) -> Mutant:
    return mutant(check, AggregatorSpec, factory, gives=set(filter(None, [gives])), **fields)


OUT_OF_FOLD = {"needs": {"out_of_fold"}, "config": Folds}
HEALTHY = [aggregator("healthy", Healthy), aggregator("learns", Learns, **OUT_OF_FOLD)]
MUTANTS = [
    aggregator("rows_sum_to_one", Short),
    aggregator("rows_sum_to_one", Narrow),
    aggregator("uncertainty_is_as_declared", Unsaid),
    aggregator("uncertainty_is_as_declared", Undeclared, gives=""),
    aggregator("row_order_does_not_matter", Relative),
    aggregator("labels_are_not_looked_at", Peeks),
    aggregator("asked_it_answers_as_it_combines", Otherwise),
    aggregator("contributions_have_a_row_for_every_pair", Mixed),
    aggregator("learning_is_out_of_fold", LearnsInFold),
    aggregator("learning_is_out_of_fold", NeedlesslyOutOfFold, **OUT_OF_FOLD),
    aggregator("weight_two_is_a_row_twice", CountsRows, **OUT_OF_FOLD),
    aggregator("predictions_are_not_written_to", Writes),
    aggregator("saved_and_loaded_is_the_same", Forgets, **OUT_OF_FOLD),
]
