"""`prodmatch run FILE`: the whole pipeline, from data to report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import (
    as_json,
    data_root,
    jobs,
    pipeline_file,
    print_json,
    read_context,
    settings,
    skip_bad_rows,
)
from prodmatch_core.cli.tables import print_table

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

RUNS = Path("runs")
"Where runs go that are given no --out."
LEADING = (
    "macro_f1",
    "accuracy",
    "roc_auc",
    "average_precision",
    "ndcg",
    "nll",
    "ece",
    "hit_rate@1",
    "mrr@10",
    "map_at_r",
)
"Measures the closing table shows beside the headline, where the run has them."
COLUMNS = 4
"Measures that fit a terminal."


@click.command()
@pipeline_file
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Run directory [runs/NAME].")
@data_root
@settings
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
@skip_bad_rows
@jobs
@click.option("--quiet", is_flag=True, help="No progress; only the results.")
@as_json
@click.pass_context
def run(
    ctx: click.Context,
    file: Path,
    out: Path | None,
    data_root: Path | None,
    settings: tuple[str, ...],
    overwrite: bool,
    skip_bad_rows: bool,
    jobs: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and save the pipeline of FILE.

    Without --out the run directory is runs/NAME, or runs/NAME-2 and so on where that is taken. Progress
    goes to stderr; the table of results, or with --json the content of metrics.json, to stdout.
    """
    from prodmatch_core.config import load_pipeline

    registry = registry_of(ctx)
    pipeline = load_pipeline(file, settings, registry)
    context = read_context(data_root, file.parent, pipeline.data.split, skip_bad_rows)
    # The checks above need milliseconds; torch is imported only for a pipeline that passed them.
    from prodmatch_core.progress import reporting
    from prodmatch_core.rundir import free_name
    from prodmatch_core.runner import run_pipeline
    from prodmatch_core.training import processes

    if out is None:
        out = RUNS / pipeline.pipeline.name
        out = out if overwrite else free_name(out)
    main = processes.is_main()
    with reporting(quiet or as_json or not main) as reporter:
        finished = run_pipeline(
            pipeline,
            out=out,
            context=context,
            overwrite=overwrite,
            registry=registry,
            reporter=reporter,
            jobs=jobs,
        )
    if main:
        print_results(finished, as_json)


def print_results(finished: Run, as_json: bool) -> None:
    """Print what a finished run is worth: a table, or with `as_json` the content of metrics.json."""
    if as_json:
        print_json(finished.metrics)
        return
    shown = leading_measures(finished.metrics)
    print_table(["", *shown], list(result_rows(finished.metrics, shown)), right=range(1, len(shown) + 1))
    for line in ranking_notes(finished.metrics):
        click.echo(line)
    for name, reason in finished.metrics.get("left_out", {}).items():
        click.echo(f"left out: member {name}: {reason}")
    click.echo(f"report: {finished.path / 'report.html'}")


def ranking_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield what nDCG rests on: the gains by name, and how many scores tie. Nothing for tasks without either."""
    if profile := metrics.get("gain_profile"):
        name = "the label scheme's own" if profile["name"] == "scheme" else profile["name"]
        yield f"gains: {name}: {', '.join(f'{label} {gain:g}' for label, gain in profile['gains'].items())}"
    if ties := metrics.get("ties"):
        yield (
            f"ties: {ties['rows']} rows in {ties['queries']} queries; the rule ({ties['rule']}) decides values of "
            f"{ties['decided_by_rule']}"
        )


def leading_measures(metrics: Mapping[str, Any]) -> list[str]:
    """Return the measures a table leads with: the headline, then those of LEADING that some line has."""
    there = {name for line in metrics["lines"] for name in line["measures"]}
    names = dict.fromkeys([metrics["headline"], *LEADING])
    return [name for name in names if name in there][:COLUMNS]


def result_rows(metrics: Mapping[str, Any], measures: Sequence[str]) -> Iterator[list[str]]:
    """Yield one row per line of the results: its name, then `value [low, high]` per measure."""
    for line in metrics["lines"]:
        yield [line["name"], *(_figure(line["measures"].get(name)) for name in measures)]


def _figure(figure: Mapping[str, float | None] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    value, low, high = figure["value"], figure.get("low"), figure.get("high")
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
