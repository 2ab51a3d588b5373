"""`prodmatch compare`: finished runs, or one pipeline with settings swapped; which is better, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodmatch_core.cli import compared, registry_of
from prodmatch_core.cli.options import (
    as_json,
    data_root,
    draws_seed,
    level,
    print_json,
    read_context,
    replicates,
    settings,
    skip_bad_rows,
)
from prodmatch_core.cli.run import leading_measures

if TYPE_CHECKING:
    from prodmatch_core.comparison.pairing import Sheet
    from prodmatch_core.records import MeasureSpec
    from prodmatch_core.registry import Registry

OF_GRIDS = ("swaps", "seeds", "split_seeds", "out", "data_root", "settings", "skip_bad_rows")
"Parameters that only one pipeline with swaps has."
DEPTHS = ("*/provenance.json", "*/*/provenance.json")
"Where runs lie in a folder of runs."


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help="What is compared; the first leads. May be given several times. [those of the run's own table]",
)
@click.option("--against", metavar="ARM", help="Arm that all others are compared with. [the first]")
@click.option("--all-pairs", is_flag=True, help="Compare every arm with every other.")
@click.option(
    "--common", is_flag=True, help="Compare on the test rows that all have, where test sets differ."
)
@click.option(
    "--swap",
    "swaps",
    metavar="PATH=A,B",
    multiple=True,
    help="Run the pipeline file with each value, e.g. member.0.loss.0.use=core.focal,core.bce; none takes the setting "
    "out. May be given several times: all combinations.",
)
@click.option(
    "--seeds", metavar="N", type=click.IntRange(min=1), help="Runs an arm, from the file's seed upwards. [1]"
)
@click.option("--split-seeds", is_flag=True, help="Divide the data anew for each seed, too.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the swaps' runs. [runs/NAME-arms]",
)
@data_root
@settings
@skip_bad_rows
@click.option(
    "-o",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the comparison as one HTML page. [with --swap: compare.html in the folder of the runs]",
)
@replicates
@level
@draws_seed
@click.option("--quiet", is_flag=True, help="No progress; only the results.")
@as_json
@click.pass_context
def compare(
    ctx: click.Context,
    runs: tuple[Path, ...],
    measures: tuple[str, ...],
    against: str | None,
    all_pairs: bool,
    common: bool,
    swaps: tuple[str, ...],
    seeds: int | None,
    split_seeds: bool,
    out: Path | None,
    data_root: Path | None,
    settings: tuple[str, ...],
    skip_bad_rows: bool,
    page: Path | None,
    replicates: int,
    level: float,
    seed: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare finished runs, or one pipeline with settings swapped.

    RUN is a run directory or a folder of them. Runs that differ only in their seeds are one arm: its figure is the mean
    over its runs, and a difference is the mean over pairs of runs of the same seed, tested on the same rows. Intervals
    resample whole queries; p-values are of a randomisation test that swaps two arms query by query, corrected for all
    comparisons by Holm's method.

    With --swap or --seeds RUN is one pipeline file. Every arm is checked before any work; runs go to DIR/ARM/seed-N,
    and the same command goes on where it was stopped. An arm that fails is told of, and the others go on.
    """
    from prodmatch_core.errors import ConfigError

    if all_pairs and against is not None:
        raise click.UsageError("--all-pairs compares every arm with every other; leave --against out.")
    registry = registry_of(ctx)
    _check_measures(measures, registry)
    failed: Mapping[str, str] = {}
    if swaps or seeds is not None:
        if len(runs) > 1:
            raise click.UsageError("--swap and --seeds take one pipeline file.")
        from prodmatch_core.grid.plan import plan

        cells = plan(
            runs[0],
            swaps,
            out=out,
            settings=settings,
            seeds=seeds or 1,
            split_seeds=split_seeds,
            registry=registry,
        )
        _check_task(measures, cells[0].pipeline.task, registry)
        names = list(dict.fromkeys(cell.arm for cell in cells))
        if against is not None and against not in names:
            from prodmatch_core.errors import did_you_mean

            raise ConfigError(f'--against: no arm "{against}"{did_you_mean(against, names)}')
        context = read_context(data_root, runs[0].parent, cells[0].pipeline.data.split, skip_bad_rows)
        # The checks above need milliseconds; torch is imported only for pipelines that passed them.
        from prodmatch_core.grid.running import run_grid
        from prodmatch_core.progress import reporting
        from prodmatch_core.training import processes

        main = processes.is_main()
        with reporting(quiet or as_json or not main) as reporter:
            outcome = run_grid(cells, context, registry, reporter)
        if not main:
            return
        failed, paths = outcome.failed, [cell.out for cell in outcome.finished]
        page = page or cells[0].out.parent.parent / "compare.html"
    else:
        given = [
            name for name in OF_GRIDS if ctx.get_parameter_source(name) != click.core.ParameterSource.DEFAULT
        ]
        options = [_option(ctx, name) for name in given]
        if options:
            raise click.UsageError(f"{', '.join(options)} belong to a pipeline file with --swap or --seeds.")
        paths = [path for argument in runs for path in _runs_in(argument)]
    figures = _figures(
        paths,
        measures,
        against=against,
        all_pairs=all_pairs,
        common=common,
        registry=registry,
        settings={"replicates": replicates, "level": level, "seed": seed},
        quiet=quiet or as_json,
        failed=failed,
    )
    if page is not None and figures["arms"]:
        from prodmatch_core.report.compare_page import write_compare_page

        write_compare_page(figures, page)
    if as_json:
        print_json(figures)
    else:
        compared.show(figures)
        if page is not None and figures["arms"]:
            click.echo(f"page: {page}")
    for arm, reason in failed.items():
        click.echo(f"{arm} failed: {reason}", err=True)
    if failed:
        ctx.exit(1)


def _option(ctx: click.Context, name: str) -> str:
    return next(param.opts[-1] for param in ctx.command.params if param.name == name)


def _check_measures(names: Sequence[str], registry: Registry) -> None:
    """Refuse measures that do not exist, all at once."""
    from prodmatch_core.errors import ConfigError, Problem

    problems = []
    for name in dict.fromkeys(names):
        try:
            registry.measure(name)
        except ConfigError as error:
            problems.append(Problem("--measure", str(error)))
    if problems:
        raise ConfigError(problems)


def _check_task(names: Sequence[str], task: Any, registry: Registry) -> None:
    """Refuse measures that the task's answers cannot be measured by, all at once."""
    from prodmatch_core.errors import ConfigError
    from prodmatch_core.fit import measure_problems

    problems = [problem for name in names for problem in measure_problems(name, "--measure", task, registry)]
    if problems:
        raise ConfigError(problems)


def _runs_in(path: Path) -> list[Path]:
    """Return the run at `path`, or those in the folder.

    Raises:
        ConfigError: it is a file.
        RunError: there is no finished run.
    """
    from prodmatch_core.errors import ConfigError, RunError

    if path.is_file():
        raise ConfigError(f"{path}: is a file; to run it, say what to swap: --swap member.0.loss.0.use=A,B")
    if (path / "provenance.json").is_file():
        return [path]
    found = [
        file.parent
        for pattern in DEPTHS
        for file in path.glob(pattern)
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise RunError(f"{path}: holds no finished run. Name run directories, or a folder of them.")
    return sorted(found)


def _figures(
    paths: Sequence[Path],
    measures: Sequence[str],
    *,
    against: str | None,
    all_pairs: bool,
    common: bool,
    registry: Registry,
    settings: Mapping[str, Any],
    quiet: bool,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """Return the comparison of the runs as plain values, with verdicts, notes, and the arms that failed."""
    from prodmatch_core.comparison import arms as arms_room
    from prodmatch_core.comparison import comparing
    from prodmatch_core.comparison.pairing import Sheet, paired
    from prodmatch_core.grid.running import made_by
    from prodmatch_core.progress import reporting

    if not paths:
        return {"arms": [], "differences": [], "failed": dict(failed), "notes": []}
    sheets = paired([Sheet.read(path) for path in dict.fromkeys(paths)], common)
    versions = {sheet.path: made_by(sheet.run, sheet.settings, registry) for sheet in sheets}
    arms = arms_room.arms_of(sheets, versions)
    specs = _specs(measures, sheets[0], registry)
    first = 0 if against is None or against in failed else arms_room.find(arms, against)
    count = len(arms)
    pairs = (
        [(later, earlier) for earlier in range(count) for later in range(earlier + 1, count)]
        if all_pairs
        else [(number, first) for number in range(count) if number != first]
    )
    plan = comparing.Settings(**settings)
    with reporting(quiet) as reporter:
        figures = comparing.compare(arms, pairs, specs, plan, reporter)
    for difference in figures["differences"]:
        direction = figures["directions"][difference["measure"]]
        difference["standing"] = comparing.standing(difference, direction, plan.level)
    return {**figures, "failed": dict(failed), "notes": list(_notes(figures, common, failed))}


def _specs(names: Sequence[str], sheet: Sheet, registry: Registry) -> list[MeasureSpec]:
    _check_task(names, sheet.run.task, registry)
    wanted = names or leading_measures(sheet.run.metrics)
    return [registry.measure(name) for name in dict.fromkeys(wanted)]


def _notes(figures: Mapping[str, Any], common: bool, failed: Mapping[str, str]) -> Iterator[str]:
    """Yield what a reader must know of the figures."""
    grouped, unit, comparisons = figures["grouped"], figures["unit"], figures["comparisons"]
    sets = figures["test_sets"]
    sizes = {f"{found['rows']:,} {unit} of {found['queries']:,} {grouped}" for found in sets}
    where = next(iter(sizes)) if len(sizes) == 1 else f"{len(sets)} test sets of different size"
    several = f" ({len(sets)} test sets)" if len(sets) > 1 and len(sizes) == 1 else ""
    rows = ", those that all have" if common and not all(found["whole"] for found in sets) else ""
    yield f"measured on {where}{several}{rows}"
    yield (
        f"intervals: {figures['level']:.0%}, {figures['replicates']:,} resamples of whole {grouped}, seed "
        f"{figures['seed']}"
    )
    if not figures["differences"]:
        yield "one arm: nothing to compare"
        return
    yield (
        f"p: randomisation test, {figures['replicates']:,} swaps of the two arms by {grouped}; Holm: corrected for "
        f"{comparisons} comparison{'s' if comparisons != 1 else ''}"
    )
    if comparisons / (figures["replicates"] + 1) > 1 - figures["level"]:
        needed = int(comparisons / (1 - figures["level"])) + 1
        yield f"with {comparisons} comparisons nothing can be clear at these replicates: give --replicates {needed}"
    for difference in figures["differences"]:
        if difference["measure"] != figures["headline"]:
            continue
        arms = {arm["name"]: len(arm["runs"]) for arm in figures["arms"]}
        pairs, both = len(difference["by_seed"]), (difference["arm"], difference["against"])
        if any(arms[name] != pairs for name in both):
            yield (
                f"{both[0]} and {both[1]} are compared on {pairs} pair{'s' if pairs != 1 else ''} of the same seed; "
                f"they have {arms[both[0]]} and {arms[both[1]]} runs"
            )
    if len(sets) > 1:
        yield f"several test sets are resampled apart; where they share {grouped}, intervals are too narrow"
