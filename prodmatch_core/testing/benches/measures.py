"""Measures at work: on predictions of eight queries with eight products each, three of which match."""

from __future__ import annotations

from typing import Any

import numpy as np

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.retrieved import Retrieved, Space
from prodmatch_core.records import MeasureSpec
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import Bench, Subject
from prodmatch_core.testing.worlds import BINARY
from prodmatch_core.training import seeds

QUERIES, PRODUCTS, MATCHES = 8, 8, 3
K = MATCHES
"Cut-off that families are tried at: a fault-free ranking has a match at each of the first K places, and no other."


def measure_of(subject: Subject) -> Any:
    """Return the measure as a function of predictions; of a family, its member at K."""
    spec = subject.spec
    assert isinstance(spec, MeasureSpec)
    return (spec.at(K) if spec.family else spec).load()


def of_neighbours(subject: Subject) -> bool:
    """Return whether the measure reads the answer of a search among all candidates."""
    return "neighbours" in subject.part.needs


def found(subject: Subject, quality: str, scheme: LabelScheme = BINARY) -> Evaluated | Retrieved:
    """Return predictions without a fault (`perfect`), all wrong (`worst`), or by chance (`random`).

    Two classes, or neighbours; of `random` ones also the classes of any scheme.
    """
    rng = seeds.rng(0, "kit", "measures", quality)
    groups = np.repeat(np.arange(QUERIES), PRODUCTS)
    right = np.tile(np.arange(PRODUCTS) < MATCHES, QUERIES)
    score = {"perfect": right * 1.0, "worst": ~right * 1.0, "random": rng.random(len(right))}[quality]
    if of_neighbours(subject):
        order = np.argsort(-score.reshape(QUERIES, PRODUCTS), axis=1, kind="stable")
        hits = np.take_along_axis(right.reshape(QUERIES, PRODUCTS), order, axis=1)
        space = groups_of_two(quality, rng) if "group_labels" in subject.part.needs else None
        return Retrieved(hits, np.full(QUERIES, MATCHES), order, np.arange(QUERIES), space=space)
    if len(scheme.labels) == 2:
        probabilities, labels = np.stack([score, 1 - score], axis=1), np.where(right, 0, 1)
    else:
        labels = np.where(right, 0, 1 + np.arange(len(right)) % (len(scheme.labels) - 1))
        probabilities = rng.dirichlet(np.ones(len(scheme.labels)), size=len(right))
    return Evaluated(labels, probabilities, probabilities.argmax(axis=1), groups, scheme)


def groups_of_two(quality: str, rng: np.random.Generator) -> Space:
    """Return the similarities of eight items in groups of two: `perfect`, `worst` and `random` as in `found`."""
    labels = np.arange(QUERIES) // 2
    same = (labels[:, None] == labels).astype(np.float32)
    chance = rng.uniform(-0.9, 0.9, size=same.shape).astype(np.float32)
    similarity = {"perfect": same, "worst": -same, "random": (chance + chance.T) / 2}[quality]
    return Space(lambda rows: similarity[rows], np.arange(QUERIES), labels)


def value(subject: Subject, predictions: Evaluated | Retrieved, weights: np.ndarray | None = None) -> float:
    """Return the measure of `predictions`, under weights where they are given."""
    return measure_of(subject)(predictions)(predictions.example_weights if weights is None else weights)


class MeasureBench(Bench):
    """Asks a measure for figures."""

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the measure."""
        return measure_of(subject)

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the measure of predictions by chance, of two classes and of four."""
        return {
            scheme.name: np.array(value(subject, found(subject, "random", scheme)))
            for scheme in (BINARY, ESCI)
        }

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask for the measure of no row."""
        made(found(subject, "random").subset(np.arange(0)))(np.ones(0))
