"""`prodmatch data`: make, convert and describe data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.negatives import negatives
from prodmatch_core.cli.options import (
    as_json,
    data_root,
    print_json,
    settings,
    skip_bad_rows,
)
from prodmatch_core.cli.sources import read_source

if TYPE_CHECKING:
    from prodmatch_core.data.dataset import Dataset

destination = click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the data set that is there.")


@click.group()
def data() -> None:
    """Make, convert and describe data sets."""


data.add_command(negatives)


@data.command()
@click.argument("use", metavar="USE")
@settings
@destination
@overwrite_option
@click.pass_context
def make(ctx: click.Context, use: str, settings: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Write the data set USE, e.g. shop.synthetic, as a folder of Parquet files.

    USE is the name of a data set in `prodmatch plugins`; --set gives its options, e.g. --set size=2000.
    """
    from prodmatch_core.config import load_data
    from prodmatch_core.records import DatasetSpec

    part = load_data(use, settings, registry_of(ctx)).part
    writer = part.spec.load_writer() if isinstance(part.spec, DatasetSpec) else None
    if writer is None:
        dataset, _ = read_source(use, settings, registry_of(ctx), None)
        _write(dataset, out, overwrite)
        return
    from prodmatch_core.data.folder import summary

    writer(part.config, out, overwrite)
    _announce(out, *summary(out))


@data.command()
@click.argument("source", metavar="FILE.toml|USE")
@settings
@data_root
@skip_bad_rows
@destination
@overwrite_option
@click.pass_context
def convert(
    ctx: click.Context,
    source: str,
    settings: tuple[str, ...],
    data_root: Path | None,
    skip_bad_rows: bool,
    out: Path,
    overwrite: bool,
) -> None:
    """Read files once and write them as a folder of Parquet files, which loads in a fraction of the time.

    FILE.toml holds the [data] table of a pipeline file, or is one; USE is the name of a reader, with its
    options given by --set, e.g. --set path=pairs.csv.
    """
    dataset, _ = read_source(source, settings, registry_of(ctx), data_root, skip_bad_rows)
    _write(dataset, out, overwrite)


@data.command()
@click.argument("source", metavar="FOLDER|FILE.toml|USE")
@settings
@data_root
@skip_bad_rows
@as_json
@click.option(
    "-o",
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page with pictures; it needs nothing but a browser.",
)
@click.option("--quick", is_flag=True, help="Leave out near-duplicates, degree laws and delay laws.")
@click.option(
    "--near",
    metavar="SHARE",
    type=click.FloatRange(0.3, 1.0),
    default=0.8,
    show_default=True,
    help="Likeness of two texts (Jaccard of character trigrams) from which they are near-duplicates.",
)
@click.option(
    "--limit",
    metavar="TEXTS",
    type=click.IntRange(min=1),
    default=300_000,
    show_default=True,
    help="Most texts compared for near-duplicates; of more, a sample.",
)
@click.option(
    "--window",
    "window_days",
    metavar="DAYS",
    type=click.FloatRange(min=0, min_open=True),
    help="Days after an event within which a conversion counts; otherwise until the end of the log.",
)
@click.pass_context
def describe(
    ctx: click.Context,
    source: str,
    settings: tuple[str, ...],
    data_root: Path | None,
    skip_bad_rows: bool,
    as_json: bool,
    page: Path | None,
    quick: bool,
    near: float,
    limit: int,
    window_days: float | None,
) -> None:
    """Print counts, label shares, lengths, leaks, near-duplicates, and the laws of degrees and delays.

    For an embedded shop also what the majority class, word overlap and the labelling rule reach on it.
    """
    from prodmatch_core.data.describe import Thorough, render
    from prodmatch_core.data.describe import describe as described

    if quick and page is not None:
        raise click.UsageError("--quick leaves out what --html draws; give one of them.")
    seed = 0
    if Path(source).is_dir():
        from prodmatch_core.data.folder import read_folder

        dataset = read_folder(Path(source))
    else:
        dataset, section = read_source(source, settings, registry_of(ctx), data_root, skip_bad_rows)
        seed = getattr(section.part.config, "seed", 0)
    thorough = None if quick else Thorough(similarity=near, limit=limit, window_days=window_days)
    description = described(dataset, thorough)
    figures = _reference_figures(dataset, seed)
    whole = {**description, "reference_figures": figures} if figures else description
    if page is not None:
        from prodmatch_core.report.data_page import write_data_page

        write_data_page(whole, page)
    if as_json:
        print_json(whole)
        return
    click.echo(render(description))
    if figures:
        from prodmatch_core.cli.tables import print_table

        measures = list(next(iter(figures.values())))
        rows = [[name, *(f"{values[m]:.3f}" for m in measures)] for name, values in figures.items()]
        click.echo()
        print_table(["reference", *measures], rows, right=range(1, len(measures) + 1))
    if page is not None:
        click.echo(f"\npage: {page}")


def _write(dataset: Dataset, out: Path, overwrite: bool) -> None:
    from prodmatch_core.data.folder import write_folder

    write_folder(dataset, out, overwrite=overwrite)
    heights = {name: table.height for name, table in dataset.tables()}
    _announce(out, dataset.name, heights, dataset.notes)


def _announce(out: Path, name: str, heights: Mapping[str, int], notes: Iterable[str]) -> None:
    click.echo(f"{out}: {name}: {', '.join(f'{table} {height}' for table, height in heights.items())}")
    for note in notes:
        click.echo(f"note: {note}")


def _reference_figures(dataset: Dataset, seed: int) -> dict[str, Any] | None:
    """Return what the references reach on an embedded shop, None for any other data set."""
    if "true_label" not in getattr(dataset.truth.get("judgements"), "columns", ()):
        return None
    from prodmatch_core.data.shop.reference import reference_figures

    return reference_figures(dataset, seed)
