"""Files of records that other files refer to by identifier: queries, products, the tables of a matching task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.data.files import as_text, read_table
from prodmatch_core.data.rows import require_columns


def read_records(
    path: Path,
    names: Mapping[str, str],
    required: Sequence[str],
    *,
    key: str,
    format: str,
    encoding: str,
    quote: str,
    skip_bad_rows: bool,
    remedy: str,
) -> tuple[pl.DataFrame, list[str]]:
    """Return the records of a file, one a key, and notes about rows skipped.

    Args:
        path: the file.
        names: our name -> the file's name of each column wanted.
        required: names of ours that the file cannot lack.
        key: our name of the column that identifies a record.
        format: as `files.read_table`.
        encoding: of the file.
        quote: character around fields.
        skip_bad_rows: leave out rows without a key and rows whose key was there before.
        remedy: what to do where a column is missing.

    Returns:
        Columns of `names` that are there, all String, cells of white space null.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a bad row and none is skipped.
    """
    bad = BadRows(path, skip_bad_rows)
    raw = read_table(path, format, encoding, quote, bad)
    require_columns(path, raw.frame.columns, [names[name] for name in required], remedy)
    chosen = raw.frame.select(pl.col(s).alias(n) for n, s in names.items() if s in raw.frame.columns)
    blank = pl.when(pl.all().str.strip_chars() != "").then(pl.all())
    frame = as_text(chosen, path).select(blank)
    numbers: Sequence[int] | None = None
    keys = frame[key]
    wrong = keys.is_null() | ~keys.is_first_distinct()
    if wrong.any():
        numbers = raw.row_numbers()
        first = {value: row for row, value in reversed(list(enumerate(keys)))}
        bad.report(
            BadRow(
                numbers[row],
                names[key],
                "the identifier is empty"
                if keys[row] is None
                else f"{keys[row]} is there already, in row {numbers[first[keys[row]]]}",
                "Fill it" if keys[row] is None else "Keep one row for each",
            )
            for row in wrong.arg_true()
        )
        frame = frame.filter(~wrong)
    return frame, bad.notes(raw.total)
