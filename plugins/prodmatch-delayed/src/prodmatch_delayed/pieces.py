"""Streams of logs of any length: events are read from Parquet in order of time, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.streams import CONVERTED, NEVER
from prodmatch_core.errors import DataError
from prodmatch_delayed.streams import Part, Rows, rows_of

PIECE = 1 << 17
"Events read at once."
_TIMES = ("shown_at", "converted_at", "engaged_at")


@attrs.frozen(eq=False)
class Piece:
    """Consecutive events of a file: their identifiers, if they have any, and what became of them."""

    identifiers: pl.Series | None
    part: Part


def pieces(path: Path, window: int, size: int = PIECE) -> Iterator[Piece]:
    """Yield the events of a Parquet file in the canonical columns; only those needed are read.

    Args:
        path: columns shown_at, ascending, and if there converted_at, engaged_at, event_id.
        window: microseconds in which a conversion counts; 0: whenever it comes.
        size: events a piece.

    Raises:
        DataError: the file cannot be read, lacks shown_at, or is not in order of time.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Name a Parquet file of events.")
    try:
        table = pl.scan_parquet(path, glob=False)
        schema = table.collect_schema()
        height = table.select(pl.len()).collect().item()
    except pl.exceptions.PolarsError as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: not a Parquet file, or damaged: {first}.") from None
    if "shown_at" not in schema:
        raise DataError(
            f"{path}: no column shown_at; it has {', '.join(schema.names())}. `prodmatch data convert core.events` "
            "writes a log under the canonical names."
        )
    last = np.iinfo(np.int64).min
    times = [name for name in _TIMES if name in schema]
    wanted = [*times, *(["event_id"] if "event_id" in schema else [])]
    for start in range(0, height, size):
        frame = table.select(wanted).slice(start, size).collect()
        shown = _moments(frame, "shown_at")
        early = np.diff(shown, prepend=last) < 0 if start else np.diff(shown, prepend=shown[:1]) < 0
        if early.any():
            raise DataError(
                f"{path}, row {start + int(early.argmax()) + 1}: shown_at is before that of the row above. Sort the "
                "events by shown_at."
            )
        last = shown[-1]
        converted = _moments(frame, "converted_at")
        if window:
            converted = np.where(converted - shown > window, NEVER, converted)
        number = np.arange(start, start + len(shown))
        part = Part(number, shown, converted, _moments(frame, "engaged_at"))
        yield Piece(frame["event_id"] if "event_id" in frame.columns else None, part)


def streamed(
    parts: Iterator[Part], method: str, wait: float, window: int, form: str = "direct"
) -> Iterator[Rows]:
    """Yield a method's rows in order of time; what is kept waiting is what is not known yet.

    Args:
        parts: events in order of time.
        method: one of `configs.METHODS`.
        wait: hours until the first label.
        window: microseconds in which a conversion counts; 0: whenever it comes.
        form: of `signals`, one of `configs.FORMS`.

    Raises:
        DataError: the method needs a window of attribution and there is none.
    """
    waiting: list[Rows] = []
    for part in parts:
        rows = Rows.joined([*waiting, rows_of(part, method, wait, window, 0, form)])
        # Rows of later events are known at the last of these or after it.
        due = rows.at < part.shown[-1]
        waiting = [rows.take(~due)]
        yield rows.take(due).in_order()
    for rows in waiting:
        yield rows.in_order()


def frame_of(rows: Rows) -> pl.DataFrame:
    """Return the rows as a table: event, at, converted, kind, elapsed, delay and signal (hours), trains."""
    return pl.DataFrame(
        {
            "event": rows.event,
            "at": pl.Series(rows.at).cast(pl.Datetime("us")),
            "converted": rows.label == CONVERTED,
            "kind": pl.Series(np.array(["fresh", "late", "settled", "engaged"])[rows.kind]),
            "elapsed": rows.elapsed,
            "delay": rows.delay,
            "signal": pl.Series(rows.signal).set(pl.Series(rows.signal < 0), None),
            "trains": rows.trains > 0,
        }
    )


def _moments(frame: pl.DataFrame, name: str) -> np.ndarray:
    if name not in frame.columns:
        return np.full(frame.height, NEVER)
    return frame[name].cast(pl.Datetime("us")).to_physical().fill_null(NEVER).to_numpy()
