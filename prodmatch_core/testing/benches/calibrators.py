"""Calibrators at work: on predictions that are too sure of themselves, of two classes or of four."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import SavedBench, Subject
from prodmatch_core.training import seeds


@attrs.frozen(eq=False)
class Rows:
    """Decisions with their true labels and weights."""

    decisions: Decisions
    labels: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray, weights: np.ndarray | None = None) -> Rows:
        """Return the rows at `rows`, in that order, under other weights where they are given."""
        return Rows(
            take(self.decisions, rows), self.labels[rows], self.weights[rows] if weights is None else weights
        )


def take(decisions: Decisions, rows: np.ndarray) -> Decisions:
    """Return some decisions, in the order of `rows`."""
    given: dict[str, Any] = attrs.asdict(decisions, recurse=False)
    taken = {name: values[rows] for name, values in given.items() if values is not None}
    return Decisions(**taken)


def rows_of(seed: int, scheme: LabelScheme = ESCI, rows: int = 400, sharpness: float = 2.0) -> Rows:
    """Return rows whose stated probabilities are the true ones to the power of `sharpness`, made to sum to 1."""
    rng = seeds.rng(seed, "kit", "calibration")
    truth = rng.dirichlet(np.ones(len(scheme.labels)), size=rows)
    labels = (rng.random((rows, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    stated = truth**sharpness
    stated /= stated.sum(axis=1, keepdims=True)
    decisions = Decisions.plain(stated, rng.random(rows), scheme)
    return Rows(decisions, np.minimum(labels, len(scheme.labels) - 1), 1.0 + rng.integers(3, size=rows))


def fitted(subject: Subject, rows: Rows, scheme: LabelScheme = ESCI) -> Any:
    """Return the calibrator after it has learnt from `rows`."""
    made = subject.factory.build(subject.config, scheme)
    made.fit(rows.decisions, rows.labels, rows.weights)
    return made


def applied(made: Any, decisions: Decisions) -> Answer:
    """Return the calibrator's answer, by name, without what it leaves open."""
    answer = attrs.asdict(made.apply(decisions), recurse=False)
    return {name: values for name, values in answer.items() if values is not None}


class CalibratorBench(SavedBench):
    """Builds a calibrator, lets it learn from validation rows, and applies it to others."""

    contract = (Calibrator,)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the calibrator, fitted."""
        return fitted(subject, rows_of(0))

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return what becomes of other rows."""
        return applied(made, rows_of(1).decisions)

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Apply it to no row."""
        assert len(made.apply(rows_of(1, rows=0).decisions).labels) == 0

    def reload(self, subject: Subject, made: Any, folder: Path) -> Any:
        """Save and load."""
        made.save(folder)
        return subject.factory.load(subject.config, ESCI, folder)
