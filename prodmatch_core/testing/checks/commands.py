"""What a command must do. A command's work is its own: it is asked for help, and used wrongly, and no more."""

from __future__ import annotations

import click

from prodmatch_core.testing.benches.commands import invoke
from prodmatch_core.testing.outcomes import Nonconformance
from prodmatch_core.testing.subject import Subject


def check_help_says_what_it_does(subject: Subject) -> None:
    """`--help` works and says in a sentence what the command does."""
    result = invoke(subject, "--help")
    if result.exit_code != 0:
        raise Nonconformance(
            f"--help ends with exit code {result.exit_code}: {result.output.strip()[-200:]}. Mend it."
        )
    if len((subject.factory.help or "").split()) < 3:
        raise Nonconformance("--help does not say what the command does. Give the function a docstring.")


def check_options_are_documented(subject: Subject) -> None:
    """Every option says what it means."""
    for command in _commands(subject.factory):
        silent = [
            p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.help and not p.hidden
        ]
        if silent:
            raise Nonconformance(f"{command.name}: the option {silent[0]} says nothing. Give it help=...")


def check_wrong_usage_exits_with_2(subject: Subject) -> None:
    """An option that does not exist ends the command with exit code 2, before any work."""
    result = invoke(subject, "--no-such-option")
    if result.exit_code != 2:
        raise Nonconformance(
            f"an unknown option ends with exit code {result.exit_code}. Let click refuse options that are not declared."
        )


def _commands(command: click.Command) -> list[click.Command]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(deeper for one in inner for deeper in _commands(one))]
