"""`prodmatch threshold RUN`: one threshold, and what each class will get from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli.options import as_json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prodmatch_tcm.segments import Served

TITLE = 48
"Columns of a title in the table."
HEADS = ("segment", "classes", "items", "own accepted", "others accepted", "utility", "poor")


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--far", metavar="RATE", type=float, help="Share of negative pairs to accept at most. [default: 0.01]"
)
@click.option("--frr", metavar="RATE", type=float, help="Share of positive pairs to reject at most, instead.")
@click.option(
    "--beta",
    metavar="NUMBER",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much more accepting right pairs counts than rejecting wrong ones.",
)
@click.option(
    "--segments",
    "segment_file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV or Parquet with the columns group and segment; otherwise classes are told apart by size.",
)
@click.option(
    "--worst",
    "count",
    metavar="N",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Classes of the lowest utility to list.",
)
@as_json
def threshold(
    run: Path,
    far: float | None,
    frr: float | None,
    beta: float,
    segment_file: Path | None,
    count: int,
    as_json: bool,
) -> None:
    """Choose one similarity threshold, and tell what each class will get.

    The threshold is chosen on the validation split of a finished run of the task embed: the cosine similarity at
    which the given share of all pairs of different classes is accepted, or of all pairs of one class rejected. What it
    gives is told on the test split, whose classes were seen neither in training nor in choosing: over all, by segment,
    and for the classes it serves worst. Utility is the harmonic mean of the share of a class's own pairs that are
    accepted and the share of its pairs with others that are rejected; below 0.5 a class counts as poor.
    """
    import attrs

    from prodmatch_core.errors import ConfigError
    from prodmatch_core.rundir import Run
    from prodmatch_tcm import segments
    from prodmatch_tcm.utility import threshold_at
    from prodmatch_tcm.vectors import pairs_of

    if far is not None and frr is not None:
        raise ConfigError("--far and --frr: give one of them; each fixes the threshold.")
    by, rate = ("frr", frr) if frr is not None else ("far", 0.01 if far is None else far)
    if not 0 < rate < 1:
        raise ConfigError(f"--{by} {rate:g}: expected a share above 0 and below 1, such as 0.01.")

    opened = Run.open(run)
    valid, test = pairs_of(opened, "valid"), pairs_of(opened, "test")
    chosen = threshold_at(valid.histograms, rate, by)
    at = segments.served(test.histograms, chosen, beta)
    everyone = segments.Served.of("all classes", at, at.items > 0)
    parts = (
        segments.by_name(at, _segments(segment_file, test.classes)) if segment_file else segments.by_size(at)
    )
    suffering = segments.worst(at, test.classes, test.examples, count)
    validation, told = segments.rates(valid.histograms, chosen), segments.rates(test.histograms, chosen)
    if as_json:
        print_json(
            {
                "threshold": chosen,
                "chosen": {"by": by, "rate": rate, "split": "valid", **validation},
                "test": {**told, "singles": at.singles, **attrs.asdict(everyone)},
                "segments": [attrs.asdict(part) for part in parts],
                "worst": [attrs.asdict(each) for each in suffering],
            }
        )
        return
    what = "negative pairs accepted" if by == "far" else "positive pairs rejected"
    click.echo(f"threshold {chosen:.4f} (cosine similarity; as a distance {1 - chosen:.4f})")
    click.echo(f"chosen on validation: {rate:.2%} of the {what}, {len(valid.histograms.classes)} classes")
    click.echo(
        f"on test: {told['false_accepts']:.2%} of the negative pairs accepted, "
        f"{told['false_rejects']:.1%} of the positive pairs rejected"
    )
    if at.singles:
        click.echo(f"left out: {at.singles} classes of one item, which have no pair of their own")
    click.echo()
    _print([everyone, *parts])
    if suffering:
        click.echo("\nwho suffers most:")
        _print(suffering, classes=True)


def _print(rows: Sequence[Served], *, classes: bool = False) -> None:
    """Print a table of segments, or of single classes, of which there is nothing to count."""
    from prodmatch_core.cli.tables import print_table
    from prodmatch_core.report.svg import shorten

    heads: tuple[str, ...] = ("class", *HEADS[2:-1], "one of its items") if classes else HEADS
    cells = []
    for row in rows:
        told = [str(row.items), f"{row.accepted:.1%}", f"{row.false_accepts:.2%}", f"{row.utility:.3f}"]
        ends = [*told, shorten(row.example, TITLE)] if classes else [str(row.classes), *told, str(row.poor)]
        cells.append([row.name, *ends])
    print_table(heads, cells, right=range(1, len(heads) - classes))


def _segments(path: Path, classes: Sequence[str]) -> list[str]:
    """Return the segment of every class, `(none)` where the file names none.

    Raises:
        DataError: the file cannot be read, lacks a column, or names no class of the run.
    """
    import polars as pl

    from prodmatch_core.errors import DataError

    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Give a CSV or Parquet file.") from None
    missing = [name for name in ("group", "segment") if name not in table.columns]
    if missing:
        raise DataError(
            f"{path}: no column {' and no column '.join(missing)}. The file has {', '.join(table.columns)}."
        )
    named = dict(table.select(pl.col("group", "segment").cast(pl.String)).drop_nulls().iter_rows())
    if not named.keys() & set(classes):
        raise DataError(
            f"{path}: none of its {len(named)} groups is a class of the run's test split, such as {classes[0]}. "
            "Check the column group."
        )
    return [named.get(name, "(none)") for name in classes]
