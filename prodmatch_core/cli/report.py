"""`prodmatch report RUN`: the report again, e.g. after an upgrade or with another plugin's sections."""

from __future__ import annotations

from pathlib import Path

import click

from prodmatch_core.cli import registry_of


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.pass_context
def report(ctx: click.Context, run: Path) -> None:
    """Render the report of a finished run again and print its path."""
    from prodmatch_core.report.page import write_report
    from prodmatch_core.rundir import Run

    click.echo(write_report(Run.open(run), registry_of(ctx)))
