"""How long work tells of itself: bars on a terminal, plain lines elsewhere, nothing for machines.

Progress goes to stderr, so that results on stdout can be piped.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

STEPS = 4
"How many lines a plain reporter writes for one progress, whatever its total."


class Reporter(Protocol):
    """Hears what a run is doing."""

    def stage(self, name: str) -> None:
        """Hear that a stage of the run begins, e.g. `read data`."""
        ...

    def progress(self, name: str, done: int, total: int) -> None:
        """Hear that `done` of `total` steps of `name` are behind; called often, so it must be cheap."""
        ...

    def message(self, text: str) -> None:
        """Hear one line that a person should read."""
        ...

    def epoch(self, member: str, epoch: int, figures: Mapping[str, float]) -> None:
        """Hear the figures of a member's finished epoch; epochs count from 1."""
        ...


def epoch_text(member: str, epoch: int, figures: Mapping[str, float]) -> str:
    """Return one line on a finished epoch: `ngram: epoch 2: loss 0.412, macro_f1 0.613`."""
    return f"{member}: epoch {epoch}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


class Silent:
    """Tells nothing."""

    def stage(self, name: str) -> None:
        """Ignore a stage."""

    def progress(self, name: str, done: int, total: int) -> None:
        """Ignore progress."""

    def message(self, text: str) -> None:
        """Ignore a message."""

    def epoch(self, member: str, epoch: int, figures: Mapping[str, float]) -> None:
        """Ignore an epoch."""


class Plain:
    """Writes a line per stage, per quarter of a progress and per epoch; for logs and pipes."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to `stream`."""
        self.stream = stream
        self._told: dict[str, int] = {}

    def stage(self, name: str) -> None:
        """Write the stage's name."""
        self._told.clear()
        self.message(name)

    def progress(self, name: str, done: int, total: int) -> None:
        """Write `name: done/total` when another quarter is behind."""
        share = STEPS * done // max(total, 1)
        told = self._told.get(name, 0)
        # A smaller share than last time: the same name began anew, with the next epoch.
        if share != told:
            self._told[name] = share
            if share:
                self.message(f"{name}: {done}/{total}")

    def message(self, text: str) -> None:
        """Write the line."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def epoch(self, member: str, epoch: int, figures: Mapping[str, float]) -> None:
        """Write the figures."""
        self.message(epoch_text(member, epoch, figures))


class Bars:
    """Keeps a bar for each progress under the lines of stages and epochs; for terminals."""

    def __init__(self, bars: Progress) -> None:
        """Draw on `bars`, which the caller starts and stops."""
        self.bars = bars
        self._tasks: dict[str, TaskID] = {}

    def stage(self, name: str) -> None:
        """Print the stage's name and take the last stage's bars away."""
        for task in self._tasks.values():
            self.bars.remove_task(task)
        self._tasks.clear()
        self.bars.print(name, style="bold", markup=False, highlight=False)

    def progress(self, name: str, done: int, total: int) -> None:
        """Move the bar of `name`, which is made at the first call."""
        if name not in self._tasks:
            self._tasks[name] = self.bars.add_task(name, total=total)
        self.bars.update(self._tasks[name], completed=done, total=total)

    def message(self, text: str) -> None:
        """Print the line above the bars."""
        self.bars.print(text, markup=False, highlight=False)

    def epoch(self, member: str, epoch: int, figures: Mapping[str, float]) -> None:
        """Print the figures above the bars."""
        self.message(epoch_text(member, epoch, figures))


@contextlib.contextmanager
def reporting(quiet: bool = False) -> Iterator[Reporter]:
    """Yield the reporter that fits stderr: silent when `quiet`, bars on a terminal, plain lines elsewhere."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            yield Bars(bars)
    else:
        yield Plain(sys.stderr)
