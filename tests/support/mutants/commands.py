from __future__ import annotations

from typing import Any

import click

from mutants.mutant import Mutant
from prodmatch_core.records import CommandSpec


@click.command()
@click.option("--loud", is_flag=True, help="In capitals.")
def healthy(loud: bool) -> None:
    """Say hello to whoever asks."""
    click.echo("HELLO" if loud else "hello")


@click.command(help="")
def silent() -> None:
    click.echo("hello")


@click.command()
@click.option("--loud", is_flag=True)
def undocumented(loud: bool) -> None:
    """Say hello to whoever asks."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def lenient() -> None:
    """Say hello to whoever asks."""


class Told:
    """The messages, which a command's docstring, its help, cannot be."""

    class silent:
        """--help does not say what the command does. Give the function a docstring."""

    class undocumented:
        """undocumented: the option --loud says nothing. Give it help=..."""

    class lenient:
        """an unknown option ends with exit code 0. Let click refuse options that are not declared."""


def command(check: str, made: click.Command, told: Any = None) -> Mutant:
    record = CommandSpec(name="mutant", summary="Broken.", factory=f"mutants.commands:{made.name}")
    return Mutant(check, record, told or made)


HEALTHY = [command("healthy", healthy)]
MUTANTS = [
    command("help_says_what_it_does", silent, Told.silent),
    command("options_are_documented", undocumented, Told.undocumented),
    command("wrong_usage_exits_with_2", lenient, Told.lenient),
]
