"""`prodmatch export RUN`: members in a form made for serving, with what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, data_root, print_json, read_context, skip_bad_rows
from prodmatch_core.cli.tables import print_table


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--int8", is_flag=True, help="ONNX files with 8-bit linear layers, for ONNX Runtime on a CPU.")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder to write [RUN/export/onnx-int8]."
)
@data_root
@skip_bad_rows
@click.option("--quiet", is_flag=True, help="No progress.")
@as_json
@click.pass_context
def export(
    ctx: click.Context,
    run: Path,
    int8: bool,
    out: Path | None,
    data_root: Path | None,
    skip_bad_rows: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a run's transformers in a smaller, faster form.

    The loss is measured on the run's validation pairs, which are read again (--data says where they are), printed,
    and written beside the files as quality.json. Members that cannot be exported stay as they are. Needs the extra
    prodmatch-core[onnx].
    """
    if not int8:
        raise click.UsageError("say what to export: --int8 is the one form there is.")
    from prodmatch_core.errors import RunError
    from prodmatch_core.progress import reporting
    from prodmatch_core.rundir import Run

    finished = Run.open(run)
    if finished.task.name != "match":
        raise RunError(
            f"{run}: a run of the task {finished.task.name} cannot be exported; only those of the task match can."
        )
    # What is missing is told before torch is imported and the data is read.
    from prodmatch_core.onnx_members import folder_of, require

    require("onnx", "onnxruntime")
    from prodmatch_core.rundata import dataset_of
    from prodmatch_core.serving.export import export_run

    registry = registry_of(ctx)
    with reporting(quiet or as_json) as reporter:
        reporter.message("read the run's data")
        context = read_context(data_root, Path.cwd(), skip_bad_rows=skip_bad_rows)
        dataset = dataset_of(finished, context, registry)
        folder = folder_of(run) if out is None else out
        figures = export_run(finished, dataset, folder, registry, reporter.message)
    if as_json:
        print_json({"run": str(run), "out": str(folder), **figures})
        return
    _print(figures)
    click.echo(f"export: {folder}")


def _print(figures: Mapping[str, Any]) -> None:
    click.echo(f"on {figures['pairs']} validation pairs:\n")
    rows = []
    for name, member in figures["members"].items():
        size, speed = member["bytes"], member["pairs_per_second"]
        rows.append(
            [
                name,
                f"{size['before'] / 1e6:.1f}",
                f"{size['after'] / 1e6:.1f}",
                f"{speed['before']:.0f}",
                f"{speed['after']:.0f}",
                f"{member['difference']['max']:.4f}",
                f"{member['difference']['mean']:.4f}",
            ]
        )
    print_table(
        ["member", "MB", "MB int8", "pairs/s", "pairs/s int8", "probabilities: most", "mean"],
        rows,
        right=range(1, 7),
    )
    whole = figures["pipeline"]
    click.echo()
    print_table(
        ["pipeline", "before", "int8", "change"],
        [
            [name, f"{found['before']:.4f}", f"{found['after']:.4f}", f"{found['change']:+.4f}"]
            for name, found in whole["measures"].items()
        ],
        right=range(1, 4),
    )
    moved = whole["difference"]
    click.echo(
        f"\nprobabilities move by {moved['max']:.4f} at the most, {moved['mean']:.4f} on average; "
        f"{whole['decided_otherwise']:.2%} of the pairs are decided otherwise"
    )
    if figures["left_as_they_are"]:
        click.echo(f"left as they are: {', '.join(figures['left_as_they_are'])}")
