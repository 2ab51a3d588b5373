"""A course: training that follows time. What comes next is predicted first, then learnt as it becomes known."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.corpus import Examples
from prodmatch_core.data.streams import EventLog, Stream
from prodmatch_core.errors import RunError

RAMP = 100
"Steps in which the step size rises at the beginning of the stream, while the optimiser's moments form."


@attrs.frozen(eq=False)
class Course:
    """Which rows each step of time reads and predicts.

    Attributes:
        learnt: (steps + 1,) int64 positions in the training rows: those before `learnt[0]` are what the phases read,
            step s then reads `learnt[s]` to `learnt[s + 1]`.
        asked: (steps + 1,) int64 positions in `ahead`: those that step s predicts before it learns.
        ahead: all events that are predicted, in order of time.
        valid: how many of them are of the validation split.
    """

    learnt: np.ndarray
    asked: np.ndarray
    ahead: Examples
    valid: int

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return len(self.learnt) - 1

    def rows(self, step: int) -> np.ndarray:
        """Return the training rows that step `step` reads, (k,) int64, maybe none."""
        return np.arange(self.learnt[step], self.learnt[step + 1])

    def batches(self, size: int, steps: int) -> int:
        """Return how many batches of `size` rows the first `steps` steps have."""
        return int(np.ceil(np.diff(self.learnt[: steps + 1]) / size).sum())

    def events(self, step: int) -> Examples:
        """Return the events that step `step` predicts."""
        return self.ahead.take(slice(int(self.asked[step]), int(self.asked[step + 1])))

    def by_split(self, probabilities: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return what was predicted, (n, classes), by split."""
        return {"valid": probabilities[: self.valid], "test": probabilities[self.valid :]}


def along(stream: Stream, log: EventLog, data: FitData, name: str) -> tuple[FitData, Course | None]:
    """Return the data with the stream's rows for training, and the course, where there are steps after training.

    Args:
        stream: what a loss wants to learn from.
        log: the log it was made of.
        data: examples of the splits; the training rows are replaced.
        name: of the member, for errors.

    Raises:
        RunError: the stream has nothing that was known by the end of training.
    """
    stream.check(log)
    begins = log.begins
    rows = np.arange(int(np.searchsorted(stream.at, begins[-1], side="left")))
    if len(begins) == 1:
        # Folds leave out events of the training split.
        rows = rows[np.isin(stream.event[rows], data.train.query)]
    train = stream.examples(log).take(rows)
    learnt = np.searchsorted(stream.at[rows], begins, side="left")
    if not learnt[0]:
        raise RunError(
            f"member {name}: no label was known by the end of training. Give training more time with [data.split], "
            "or wait less."
        )
    if len(begins) == 1:
        return attrs.evolve(data, train=train), None
    split = log.begins[0]
    ahead = np.flatnonzero(log.shown >= split)
    events = Examples(ahead, log.product[ahead], np.full(len(ahead), -1), np.ones(len(ahead)))
    asked = np.searchsorted(log.shown[ahead], begins, side="left")
    return attrs.evolve(data, train=train), Course(learnt, asked, events, len(data.valid))
