"""`prodmatch validate FILE`: is the pipeline sound? Loads no part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, pipeline_file, print_json, settings

if TYPE_CHECKING:
    from prodmatch_core.sections import PipelineFile


@click.command()
@pipeline_file
@settings
@as_json
@click.pass_context
def validate(ctx: click.Context, file: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Check a pipeline file without running anything.

    Every problem is told, each with its path in the file; the exit code is then 2.
    """
    from prodmatch_core.config import load_pipeline

    pipeline = load_pipeline(file, settings, registry_of(ctx))
    if as_json:
        print_json({"file": str(file), "valid": True, **_content(pipeline)})
    else:
        click.echo(f"{file}: valid: {_sentence(pipeline)}")


def _content(pipeline: PipelineFile) -> dict[str, object]:
    return {
        "name": pipeline.pipeline.name,
        "task": pipeline.pipeline.task,
        "data": pipeline.data.part.name,
        "members": [member.name for member in pipeline.member],
        "aggregator": pipeline.aggregator.part.name if pipeline.aggregator else None,
        "calibrators": [section.part.name for section in pipeline.calibrator],
    }


def _sentence(pipeline: PipelineFile) -> str:
    count = len(pipeline.member)
    clauses = [
        f"{count} member{'s' if count > 1 else ''} ({', '.join(member.name for member in pipeline.member)})",
        f"data {pipeline.data.part.name}",
    ]
    if pipeline.aggregator:
        clauses.append(f"aggregator {pipeline.aggregator.part.name}")
    if steps := [section.part.name for section in pipeline.calibrator]:
        clauses.append(f"calibrator{'s' if len(steps) > 1 else ''} {', '.join(steps)}")
    return ", ".join(clauses)
