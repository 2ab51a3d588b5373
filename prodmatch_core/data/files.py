"""Files of records: CSV, TSV, JSON lines and Parquet, plain or gzipped, to a table and its row numbers.

Polars parses CSV where it and Python's slow, exact parser agree. It fills short rows with nulls and reads
some misplaced quotes in its own way, so a file with any of that goes through the slow parser.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.errors import DataError

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"What Polars raises on a damaged Parquet file; some damage makes it panic, which is no Exception."


@attrs.frozen(eq=False)
class RawTable:
    """The records of a file before anything is made of them."""

    path: Path
    frame: pl.DataFrame
    "One row per record that could be parsed; CSV and JSON lines have only String columns."
    total: int
    "Records in the file, those left out included."
    row_numbers: Callable[[], Sequence[int]]
    "Returns the number of each record's first row as an editor shows it."


def read_table(
    path: Path,
    format: str,
    encoding: str,
    quote: str,
    bad: BadRows,
    header: Sequence[str] = (),
    rows: int = 0,
) -> RawTable:
    """Read the records of a file.

    Args:
        path: the file; gzip is recognised by its content, whatever the name.
        format: csv, tsv, jsonl or parquet; auto goes by the file's name, and by the header where a .csv file
            is separated by tabs.
        encoding: of CSV, TSV and JSON lines.
        quote: character around CSV and TSV fields that contain separators or line breaks; empty for none.
        bad: hears of rows that cannot be parsed.
        header: names of the columns of a CSV or TSV file that has none in its first row.
        rows: read only so many lines of a file with `header`; 0: all.

    Raises:
        DataError: the file cannot be read or has no records, or a row is bad and bad rows are not skipped.
    """
    data = read_content(path)
    if rows and header:
        data = b"\n".join(data.split(b"\n", rows)[:rows])
    if format == "auto":
        format = _guess_format(path, data)
    if format == "parquet":
        table = _parquet(path, data)
    elif format == "jsonl":
        table = _json_lines(path, decode_text(path, data, encoding), bad)
    else:
        table = _separated(path, data, format, encoding, quote, bad, header)
    if table.frame.width == 0 or table.total == 0:
        raise DataError(f"{path}: no rows, only a header. Check that the file was written completely.")
    return table


def as_text(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return every column as String: whole numbers without a decimal point, lists one element a line.

    Raises:
        DataError: a column holds something that is neither text, number nor a list of those.
    """
    return pl.DataFrame([_text_column(column, path) for column in frame.iter_columns()])


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def has_text(dtype: pl.DataType) -> bool:
    """Return whether values of a type can be written as text, lists left aside."""
    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration))


def read_content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where they are gzipped.

    Raises:
        DataError: it is a folder, is empty, or cannot be read or unpacked.
    """
    if path.is_dir():
        raise DataError(
            f"{path}: is a folder where a file is expected. Name a file in it, or read a folder that "
            'prodmatch wrote with use = "core.folder".'
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Check that it exists and its rights."
        ) from None
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path}: the gzip data is cut off or damaged ({error}). Fetch or compress the file again."
            ) from None
    if not data.strip():
        raise DataError(f"{path}: the file is empty. Check that it was written completely.")
    return data


def _guess_format(path: Path, data: bytes) -> str:
    if data[:4] == b"PAR1":
        return "parquet"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".gzip")]
    found = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise DataError(
            f"{path}: cannot tell the format from the name (known endings: {', '.join(_SUFFIXES)}). "
            'Set format = "csv", "tsv", "jsonl" or "parquet".'
        )
    header = data.split(b"\n", 1)[0]
    return "tsv" if found == "csv" and b"\t" in header and b"," not in header else found


def decode_text(path: Path, data: bytes, encoding: str) -> str:
    """Return the text of a file without a byte order mark.

    Raises:
        DataError: a byte is not of the encoding; the message says which and in which row.
    """
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        other = "ISO-8859-1" if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii") else "utf-8"
        raise DataError(
            f"{path}, row {row}: byte 0x{data[error.start]:02x} at offset {error.start} is not {encoding}. "
            f'Name the encoding of the file, e.g. encoding = "{other}", or save it as UTF-8.'
        ) from None


def _separated(
    path: Path, data: bytes, format: str, encoding: str, quote: str, bad: BadRows, header: Sequence[str]
) -> RawTable:
    separator = "\t" if format == "tsv" else ","
    text = decode_text(path, data, encoding)
    above = 1 if header else 0
    if header:
        text = separator.join(header) + "\n" + text
    names = _header(path, text, separator, quote)
    frame = _parse_fast(text.encode(), len(names), separator, quote)
    if frame is not None:
        frame.columns = names
        return RawTable(path, frame, frame.height, partial(_line_numbers, frame, above))
    rows: list[int] = []
    columns: list[list[str]] = [[] for _ in names]
    skipped: list[BadRow] = []
    for line, record in _records(_lines(text), len(names), separator, quote):
        number = line - above
        if isinstance(record, str):
            remedy = "Quote fields that contain the separator, a quote or a line break"
            skipped.append(BadRow(number, "", record, remedy))
            continue
        rows.append(number)
        for cells, cell in zip(columns, record, strict=True):
            cells.append(cell)
    bad.report(skipped)
    frame = pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String))
    return RawTable(path, frame, len(rows) + len(skipped), lambda: rows)


def _header(path: Path, text: str, separator: str, quote: str) -> list[str]:
    names = [name.strip() for name in next(_csv(_lines(text[: 1 << 20]), separator, quote, strict=False))]
    if not any(names):
        raise DataError(
            f"{path}, row 1: blank where the header is expected. Remove the rows above the header."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, row 1: column {', '.join(twice)} is there more than once. "
            "Rename one of them in the header."
        )
    return names


def _parse_fast(data: bytes, width: int, separator: str, quote: str) -> pl.DataFrame | None:
    """Return Polars' reading of a CSV file, or None where it could differ from the exact one."""
    if re.search(b"\r(?!\n)", data) or (quote and _unusual_quoting(data, separator, quote)):
        return None
    if not data.endswith(b"\n"):
        data += b"\n"  # without it Polars lets surplus fields of the last row pass
    try:
        frame = pl.read_csv(data, separator=separator, quote_char=quote or None, infer_schema=False)
    except pl.exceptions.PolarsError:
        return None
    if frame.width != width:
        return None
    # Polars fills short rows and blank lines with nulls. A last cell that was empty follows a separator, but
    # where quoted fields hold line breaks, the bytes alone do not tell one from the other.
    empty = frame.to_series(width - 1).null_count()
    sep = separator.encode()
    plain = data.count(b"\n") == frame.height + 1
    sure = empty == 0 or (plain and empty == data.count(sep + b"\n") + data.count(sep + b"\r\n"))
    return frame if sure else None


def _line_numbers(frame: pl.DataFrame, above: int) -> list[int]:
    """Return the line each record starts on, given all records of a file without blank lines.

    `above` is how many lines were put above those of the file.
    """
    breaks = sum(name.count("\n") for name in frame.columns)
    lines = 1 + frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0)))
    return (lines.to_series().cum_sum().shift(1, fill_value=0) + 2 + breaks - above).to_list()


def _unusual_quoting(data: bytes, separator: str, quote: str) -> bool:
    """Tell whether a field looks like `""a` or has a lone quote within: parsers differ on those."""
    end, mark = re.escape(separator.encode()), re.escape(quote.encode())
    # A pattern that begins with the quote itself lets the search jump from quote to quote.
    start = b"%b%b(?<=[%b\n]%b%b)[^%b\r\n%b]" % (mark, mark, end, mark, mark, end, mark)
    within = b"%b(?<=[^%b\n%b]%b)(?:%b%b)*[^%b\r\n%b]" % (mark, end, mark, mark, mark, mark, end, mark)
    return any(re.search(pattern, data) for pattern in (start, within))


def _lines(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def _csv(lines: Sequence[str], separator: str, quote: str, strict: bool, start: int = 0) -> Any:
    return csv.reader(
        map(lines.__getitem__, range(start, len(lines))),
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=strict,
    )


def _records(
    lines: Sequence[str], width: int, separator: str, quote: str
) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (row number, fields) of every record after the header, or (row number, what is wrong with it)."""
    reader, offset = _csv(lines, separator, quote, strict=True), 0
    next(reader)
    while True:
        first = offset + reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Whatever an open quote swallowed is read again from the next line, so one bad row stays one.
            yield first + 1, _quoting_fault(str(error))
            offset = first + 1
            reader = _csv(lines, separator, quote, strict=True, start=offset)
            continue
        if not fields:  # a blank line
            continue
        if len(fields) != width:
            yield first + 1, f"{len(fields)} fields where the header has {width}"
        else:
            yield first + 1, fields


def _quoting_fault(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quoted field is opened and never closed"
    if "field larger" in message:
        return f"a field exceeds {csv.field_size_limit():,} characters; a quote is probably never closed"
    return "a quote inside a quoted field is not doubled"


def _json_lines(path: Path, text: str, bad: BadRows) -> RawTable:
    if text.lstrip()[:1] == "[":
        raise DataError(
            f"{path}: a JSON array where one object a line is expected. Convert it, e.g. with jq -c '.[]'."
        )
    rows: list[int] = []
    columns: dict[str, list[str | None]] = {}
    skipped: list[BadRow] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _json_record(line)
        except ValueError as error:
            skipped.append(BadRow(number, "", str(error)))
            continue
        for name in record:
            columns.setdefault(name, [None] * len(rows))
        for name, cells in columns.items():
            cells.append(record.get(name))
        rows.append(number)
    bad.report(skipped)
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return RawTable(path, frame, len(rows) + len(skipped), lambda: rows)


def _json_record(line: str) -> dict[str, str | None]:
    """Return the texts of a JSON object.

    Raises:
        ValueError: the line is none, or holds what has no text; the message says what.
    """
    try:
        record = json.loads(line)
        texts = {name: _text(value) for name, value in record.items()} if isinstance(record, dict) else None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at character {error.colno}: {error.msg}") from None
    except ValueError:  # Python reads whole numbers up to a length only
        raise ValueError("a whole number of too many digits; write it as a text") from None
    except RecursionError:
        raise ValueError("lists or objects within each other, too deep to read") from None
    if texts is None:
        raise ValueError(f"{line.strip()[:40]} where a JSON object is expected")
    try:
        "".join(text for pair in texts.items() for text in pair if text).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"\\u{ord(half):04x} is half of a character; write both halves") from None
    return texts


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, list):
        return "\n".join(text for text in map(_text, value) if text is not None)
    return json.dumps(value, ensure_ascii=False)


def _parquet(path: Path, data: bytes) -> RawTable:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except UNREADABLE as error:
        raise DataError(
            f"{path}: not a Parquet file, or damaged: {first_line(error)}. Write or fetch the file again."
        ) from None
    return RawTable(path, frame, frame.height, lambda: range(1, frame.height + 1))


def _text_column(column: pl.Series, path: Path) -> pl.Series:
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if dtype.is_float():
        whole = column.is_finite() & (column == column.floor()) & (column.abs() < 2**53)
        digits = column.cast(pl.Int64, strict=False).cast(pl.String)
        return digits.zip_with(whole.fill_null(False), column.cast(pl.String))
    texts: pl.Series | None = None
    with contextlib.suppress(pl.exceptions.PolarsError):  # some types, such as durations, have no text
        if isinstance(dtype, pl.List) and not isinstance(dtype.inner, (pl.List, pl.Struct)):
            texts = column.cast(pl.List(pl.String)).list.join("\n", ignore_nulls=True)
        elif not (dtype.is_nested() or dtype in (pl.Binary, pl.Object)):
            texts = column.cast(pl.String)
    if texts is None:
        raise DataError(f"{path}, column {column.name}: holds {dtype}. Convert it to text or numbers.")
    return texts
