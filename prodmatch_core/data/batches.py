"""Tables of any length read a batch at a time: CSV, TSV, JSON lines and Parquet.

For work that must not hold a whole catalogue in memory, such as scoring. Text formats may be gzipped. CSV is
read by the standard library: it knows quoted line breaks and row numbers, and is never slower than a model.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from prodmatch_core.data.text_files import open_text, readable
from prodmatch_core.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TEXT_SUFFIXES = (*SEPARATORS, ".jsonl", ".ndjson")
FORMATS = "CSV, TSV, JSON lines and Parquet (.csv .tsv .jsonl .parquet; text also .gz)"


def format_of(path: Path, remedy: str) -> str:
    """Return the suffix that says how `path` is written, without `.gz`.

    Raises:
        DataError: the suffix is none that is known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    suffix = (suffixes[:-1] if packed else suffixes)[-1:] or [""]
    if suffix[0] in TEXT_SUFFIXES or (suffix[0] == ".parquet" and not packed):
        return suffix[0]
    raise DataError(f"{path}: cannot tell the format from the name; known are {FORMATS}. {remedy}")


def columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns; of JSON lines, the keys of the first.

    Raises:
        DataError: as `read_batches`.
    """
    for frame in read_batches(path, 1):
        return frame.columns
    return []


def read_batches(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in order, at most `rows` at a time.

    Columns of CSV and TSV files are texts, empty cells null; those of the other formats have their own types.

    Raises:
        DataError: the file is missing, of unknown format, not UTF-8, damaged, or a row has another number of
            fields than the header; the message names the line.
    """
    suffix = format_of(path, "Rename or convert the file.")
    with readable(path, "a file of pairs"):
        if suffix == ".parquet":
            yield from _read_parquet(path, rows)
        elif suffix in SEPARATORS:
            yield from _read_separated(path, SEPARATORS[suffix], rows)
        else:
            yield from _read_json_lines(path, rows)


def _read_separated(path: Path, separator: str, rows: int) -> Iterator[pl.DataFrame]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a description may be longer than the default 128 kB
    with open_text(path, newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        try:
            names = next(reader, None)
            if names is None:
                raise DataError(f"{path}: is empty. A header line with the columns' names is expected.")
            if repeated := {name for name in names if names.count(name) > 1}:
                raise DataError(f"{path}: column {min(repeated)} occurs more than once. Rename one of them.")
            batch: list[list[str | None]] = []
            for row in reader:
                if not row:  # a blank line, as many editors leave at the end
                    continue
                if len(row) != len(names):
                    raise DataError(
                        f"{path}: line {reader.line_num}: {len(row)} fields where the header has "
                        f"{len(names)}. Quote fields that hold the separator."
                    )
                batch.append([cell or None for cell in row])
                if len(batch) == rows:
                    yield _texts(batch, names)
                    batch = []
            if batch:
                yield _texts(batch, names)
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: {error}. Mend the quotes.") from None


def _texts(batch: list[list[str | None]], names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(batch, schema=dict.fromkeys(names, pl.String()), orient="row")


def _read_json_lines(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    schema: pl.Schema | None = None
    batch: list[dict[str, Any]] = []

    def frame() -> pl.DataFrame:
        try:
            table = pl.DataFrame(batch, schema=schema, infer_schema_length=None)
            return table.cast({pl.Null(): pl.String()})  # a key that is null so far may hold texts later
        except (pl.exceptions.PolarsError, TypeError) as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(
                f"{path}: up to line {number}: the values of a key differ in type: {first}."
            ) from None

    number = 0
    with open_text(path, newline="") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{path}: line {number}: not JSON: {error}. One object a line is expected."
                ) from None
            if not isinstance(value, dict):
                raise DataError(
                    f"{path}: line {number}: one JSON object a line is expected, got {str(value)[:40]}."
                )
            if schema is not None and (new := sorted(value.keys() - schema.keys())):
                raise DataError(
                    f"{path}: line {number}: key {new[0]} is in none of the first {rows} lines. "
                    "Give the first line every key, null where there is no value."
                )
            batch.append(value)
            if len(batch) == rows:
                part = frame()
                schema = schema or part.schema
                yield part
                batch = []
    if batch:
        yield frame()


def _read_parquet(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    if not path.is_file():
        path.stat()  # says whether it is missing
        raise IsADirectoryError(path)
    try:
        table = pl.scan_parquet(path, glob=False)
        height = table.select(pl.len()).collect().item()
        for start in range(0, height, rows):
            yield table.slice(start, rows).collect()
    except pl.exceptions.PolarsError as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: not a Parquet file, or damaged: {first}.") from None


def ahead(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield `batches` while a thread makes the next one: reading goes on while a model computes."""
    iterator = iter(batches)
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, iterator, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, iterator, None)
            yield batch
