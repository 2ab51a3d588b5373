"""`prodmatch extend RUN MEMBER.toml`: another member for a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import (
    as_json,
    data_root,
    jobs,
    print_json,
    read_context,
    settings,
    skip_bad_rows,
)
from prodmatch_core.cli.run import print_results
from prodmatch_core.cli.tables import Bar, print_table


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("file", metavar="MEMBER.toml", type=click.Path(path_type=Path))
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Run directory to make [RUN-extended]."
)
@data_root
@settings
@skip_bad_rows
@jobs
@click.option("--quiet", is_flag=True, help="No progress; only the results.")
@as_json
@click.pass_context
def extend(
    ctx: click.Context,
    run: Path,
    file: Path,
    out: Path | None,
    data_root: Path | None,
    settings: tuple[str, ...],
    skip_bad_rows: bool,
    jobs: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Add the members of MEMBER.toml to a finished run.

    Only what is new is fitted; the aggregator and the calibrators learn anew, and RUN stays as it is. The file holds
    [[member]] sections, and [aggregator] where another one is wanted. Printed are the results, and of every member
    its share of the Shapley values and whether anything is lost without it.
    """
    from prodmatch_core.progress import reporting
    from prodmatch_core.rundata import dataset_of
    from prodmatch_core.rundir import Run, free_name
    from prodmatch_core.runner import run_pipeline
    from prodmatch_ensemble.extending import extended, standing, take_over

    registry, old = registry_of(ctx), Run.open(run)
    pipeline = extended(old, file, settings, registry)
    context = read_context(data_root, Path.cwd(), pipeline.data.split, skip_bad_rows)
    dataset = dataset_of(old, context, registry)
    out = out or free_name(run.with_name(f"{run.name}-extended"))
    with reporting(quiet or as_json) as reporter:
        take_over(old, out)
        finished = run_pipeline(
            pipeline, out=out, context=context, registry=registry, reporter=reporter, jobs=jobs
        )
        reporter.stage("what each member is worth")
        members = standing(finished, dataset)
    if as_json:
        print_json({"run": str(out), "metrics": finished.metrics, "members": members})
        return
    print_results(finished, as_json=False)
    if members:
        click.echo(
            "\nmembers: share of all Shapley values; log loss each saves on held-out training queries, a pair"
        )
        before = {folder.name for folder in (run / "members").iterdir()}
        print_table(
            ["member", "", "share", "saves", "+-", "verdict", ""],
            [
                [
                    one["name"],
                    "" if one["name"] in before else "new",
                    f"{one['share']:.1%}",
                    f"{one['gain']:+.4f}",
                    f"{one['error']:.4f}",
                    one["verdict"],
                    Bar(one["share"], members[0]["share"], 20),
                ]
                for one in members
            ],
            right=range(2, 5),
        )
