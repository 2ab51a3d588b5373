"""`prodmatch plugins check`: does what is installed keep the laws of its kind?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, print_json

if TYPE_CHECKING:
    from prodmatch_core.plugins import PluginState
    from prodmatch_core.registry import Registry
    from prodmatch_core.testing import Outcome

STATUSES = ("passed", "skipped", "failed")


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@as_json
@click.pass_context
def check(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Try the conformance kit on installed parts, one line a check.

    NAME is a distribution, a plugin's entry point or a part; without it, everything installed is tried. The exit
    code is 1 when a check fails or a plugin is broken.
    """
    from prodmatch_core.testing import run_checks

    registry = registry_of(ctx)
    problems = _problems(registry, name)
    outcomes: list[Outcome] = []
    if not (name and (problems or _without_parts(registry, name))):
        outcomes = run_checks(registry, name, heard=lambda outcome: None if as_json else _tell(outcome))
    counts = Counter(outcome.status for outcome in outcomes)
    if as_json:
        print_json(
            {
                "checks": [
                    {
                        "part": outcome.part,
                        "check": outcome.check,
                        "status": outcome.status,
                        "message": outcome.message,
                        "seconds": outcome.seconds,
                    }
                    for outcome in outcomes
                ],
                "problems": problems,
                **{status: counts[status] for status in STATUSES},
            }
        )
    else:
        for problem in problems:
            click.echo(f"broken   {problem}")
        parts = len({outcome.part for outcome in outcomes})
        told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
        click.echo(
            f"{len(outcomes)} checks of {parts} part{'s' if parts != 1 else ''}: {told or 'none tried'} "
            f"({sum(outcome.seconds for outcome in outcomes):.1f} s)"
        )
    if counts["failed"] or problems:
        ctx.exit(1)


def _problems(registry: Registry, name: str | None) -> list[str]:
    """Return what is wrong with the plugins asked for, beside what checks can find."""
    if name is None:
        return registry.problems()
    asked = _asked(registry, name)
    return list(dict.fromkeys(line for plugin in asked for line in registry.problems(plugin)))


def _asked(registry: Registry, name: str) -> list[PluginState]:
    return [p for p in registry.plugins if name in (p.distribution, p.entry_point, p.key)]


def _without_parts(registry: Registry, name: str) -> bool:
    """Whether `name` is a plugin's that only listens to runs."""
    asked = _asked(registry, name)
    return bool(asked) and not any(plugin.records for plugin in asked)


def _tell(outcome: Outcome) -> None:
    message = f": {' '.join(outcome.message.split())}" if outcome.message else ""
    click.echo(f"{outcome.status:<8} {outcome.part}  {outcome.check}{message}")
