"""`prodmatch show FILE`: the pipeline as it will run."""

from __future__ import annotations

from pathlib import Path

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, pipeline_file, print_json, settings


@click.command()
@pipeline_file
@settings
@as_json
@click.pass_context
def show(ctx: click.Context, file: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Print a pipeline with every default, and draw it.

    The TOML part, up to the drawing, is a pipeline file again; the drawing's lines are comments in it.
    """
    from prodmatch_core.config import load_pipeline, resolved, to_toml

    pipeline = load_pipeline(file, settings, registry_of(ctx))
    tree = resolved(pipeline)
    if as_json:
        print_json(tree)
        return
    from prodmatch_core.report.drawing import draw_text

    click.echo(to_toml(tree))
    for line in draw_text(pipeline).rstrip().splitlines():
        click.echo(f"# {line}".rstrip())
