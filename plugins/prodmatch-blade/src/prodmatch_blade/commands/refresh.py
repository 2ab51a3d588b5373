"""`prodmatch refresh RUN`: the vectors of all products, brought up to date with the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli.options import as_json, data_root, print_json, read_context

if TYPE_CHECKING:
    from prodmatch_blade.refreshing import Refreshed


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the vectors [RUN-vectors]."
)
@click.option("--all", "anew", is_flag=True, help="Compute all vectors, whatever is there.")
@data_root
@as_json
def refresh(run: Path, out: Path | None, anew: bool, data_root: Path | None, as_json: bool) -> None:
    """Bring the vectors of all products up to date with the data.

    RUN is a finished run of the task relate whose encoder reads a graph. Its data is read as it is now, with products,
    texts and edges that came or went since. The first time all vectors are computed; then only those of products that
    changed and of those that read them, as far as the network looks. The result is what computing all gives. Printed is
    how much was computed.

    DIR/vectors.parquet has a row for each product: product_id, title, and the source and target vectors, whose cosine
    ranks. `prodmatch recommend RUN --vectors DIR` answers from it.
    """
    from prodmatch_blade.refreshing import VECTORS, refresh_vectors
    from prodmatch_core.rundir import Run

    folder = out or run.with_name(f"{run.name}-vectors")
    found = refresh_vectors(Run.open(run), folder, read_context(data_root, Path.cwd()), anew)
    if as_json:
        import attrs

        print_json({"run": str(run), "out": str(folder), **attrs.asdict(found)})
        return
    _print(found)
    click.echo(
        f"\n{folder / VECTORS}: source and target vectors of {found.products:,} products, {found.width} numbers each"
    )


def _print(found: Refreshed) -> None:
    """Print what changed and what was computed."""
    from prodmatch_core.cli.tables import print_table

    changes = (
        f"{found.new:,} new, {found.retold:,} with other texts, {found.moved:,} with other edges"
        if found.kept
        else "all vectors are computed"
    )
    click.echo(f"{found.products:,} products: {changes}\n")
    names = ["first vectors", *(f"layer {number}" for number in range(1, len(found.computed)))]
    print_table(
        ("", "computed", "of", "share"),
        [
            [name, f"{count:,}", f"{found.places:,}", f"{count / max(found.places, 1):.1%}"]
            for name, count in zip(names, found.computed, strict=True)
        ],
        right=(1, 2, 3),
    )
