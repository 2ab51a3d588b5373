"""`prodmatch stream EVENTS -o FILE`: what a method would learn from a log, in the order in which it was known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_delayed.configs import FORMS, METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prodmatch_delayed.pieces import Piece
    from prodmatch_delayed.streams import Part


@click.command()
@click.argument("events", metavar="EVENTS", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to write: Parquet, CSV or JSON lines, by its ending.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="exact",
    show_default=True,
    metavar="NAME",
    help=f"One of {', '.join(METHODS)}.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="HOURS",
    help="Between an event and its first label.",
)
@click.option(
    "--window",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="In which a conversion counts. [default: whenever it comes]",
)
@click.option(
    "--form",
    type=click.Choice(FORMS),
    default="direct",
    show_default=True,
    metavar="NAME",
    help=f"Of signals: one of {', '.join(FORMS)}.",
)
def stream(events: Path, out: Path, method: str, wait: float, window: float, form: str) -> None:
    """Write what a method would learn from an event log, in the order in which it was known.

    EVENTS is a Parquet file with the column shown_at, in order of time, and converted_at, engaged_at and event_id where
    they are there, as `prodmatch data convert core.events` writes. FILE is Parquet, CSV or JSON lines: a row for every
    label, with the moment it was known (at), its kind (fresh, late, settled or engaged), hours watched, to the
    conversion and to the first signal, and whether it trains the served model or weight models alone. Memory holds a
    piece of the log and the labels that are not known yet.
    """
    from prodmatch_core.data.batch_writer import BatchWriter
    from prodmatch_core.data.streams import HOUR
    from prodmatch_delayed.pieces import frame_of, pieces, streamed

    microseconds = round(window * 24 * HOUR)

    def parts(found: Iterator[Piece]) -> Iterator[Part]:
        for piece in found:
            yield piece.part

    count = 0
    with BatchWriter.open(out) as writer:
        for rows in streamed(parts(pieces(events, microseconds)), method, wait, microseconds, form):
            writer.write(frame_of(rows))
            count += len(rows)
    click.echo(f"{out}: {count:,} rows of {method}, in order of the moment they were known")
