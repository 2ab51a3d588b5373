"""Commands at work: asked for their help."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from click.testing import CliRunner, Result

from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.outcomes import Skipped
from prodmatch_core.testing.subject import Bench, Subject


def invoke(subject: Subject, *arguments: str) -> Result:
    """Run the command and return what came of it."""
    return CliRunner().invoke(
        subject.factory, list(arguments), obj=subject.registry, prog_name=f"prodmatch {subject.spec.name}"
    )


class CommandBench(Bench):
    """Asks a command for its help."""

    contract = (click.Command,)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the command."""
        return subject.factory

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the text of `--help`, as bytes."""
        return {"help": np.frombuffer(invoke(subject, "--help").output.encode(), dtype=np.uint8)}

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Say that a command reads no rows."""
        raise Skipped("a command reads no rows")
