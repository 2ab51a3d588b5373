"""Aggregators at work: three members, one of which knows, over four classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Aggregator, MemberPredictions
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import SavedBench, Subject
from prodmatch_core.training import seeds

MEMBERS = ("knows", "guesses", "doubts")


def predictions(seed: int, rows: int = 400) -> MemberPredictions:
    """Return a member that knows, one that guesses and one between, with labels, queries and weights."""
    rng = seeds.rng(seed, "kit", "members")
    labels = rng.integers(4, size=rows)
    chance = rng.dirichlet(np.ones(4), size=(rows, 3))
    sure = np.array([0.6, 0.0, 0.2])[None, :, None]
    probabilities = sure * np.eye(4)[labels][:, None, :] + (1 - sure) * chance
    return MemberPredictions(
        MEMBERS, probabilities, labels, np.arange(rows) // 4, rng.integers(1, 4, size=rows).astype(np.float64)
    )


def take(
    members: MemberPredictions, rows: np.ndarray, weights: np.ndarray | None = None
) -> MemberPredictions:
    """Return the rows at `rows`, in that order, under other weights where they are given."""
    chosen = {name: getattr(members, name)[rows] for name in ("probabilities", "labels", "groups", "weights")}
    if weights is not None:
        chosen["weights"] = weights
    return MemberPredictions(members.names, **chosen)


def learns(subject: Subject) -> bool:
    """Return whether the aggregator has a `fit` of its own."""
    return subject.factory.fit is not Aggregator.fit


def fitted(subject: Subject, members: MemberPredictions, seed: int = 0) -> Any:
    """Return the aggregator after it has learnt from `members`."""
    made = subject.factory.build(subject.config, ESCI)
    made.fit(members, seeds.rng(seed, "kit", "fit"))
    return made


def combined(made: Any, members: MemberPredictions) -> Answer:
    """Return the aggregator's answer, by name."""
    return attrs.asdict(made.combine(members), recurse=False)


class AggregatorBench(SavedBench):
    """Builds an aggregator, lets it learn from out-of-fold predictions, and asks it to combine others."""

    contract = (Aggregator,)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the aggregator, fitted."""
        return fitted(subject, predictions(0), seed)

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return what is made of other rows."""
        return combined(made, predictions(1))

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask to combine no row."""
        assert len(made.combine(predictions(1, rows=0)).probabilities) == 0

    def reload(self, subject: Subject, made: Any, folder: Path) -> Any:
        """Save and load."""
        made.save(folder)
        return subject.factory.load(subject.config, ESCI, folder)
