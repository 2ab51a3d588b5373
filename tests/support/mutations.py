"""Strategies that break what is valid: a file's bytes, encoding, cells, columns and types; a tree's keys and values."""

from __future__ import annotations

import copy
import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl
from hypothesis import strategies as st

NASTY = (
    "", " ", "NaN", "inf", "-1", "0", "1", "1e400", "9" * 40, "1.5", "null", "true", "\x00", "é", "\u202e", '"', "a\nb",
    "a\tb", "\ud7ff", "2024-01-01", "x" * 3000, "train", "test", "E", "match",
)  # fmt: skip
"Cells that a reader may stumble over."
DTYPES: tuple[Callable[[pl.Series], pl.Series], ...] = (
    lambda s: s.cast(pl.Int64, strict=False),
    lambda s: s.cast(pl.Float64, strict=False).fill_null(float("nan")),
    lambda s: s.cast(pl.Float32, strict=False).fill_null(1e38),
    lambda s: s.cast(pl.String, strict=False).cast(pl.Categorical),
    lambda s: s.cast(pl.String, strict=False).cast(pl.Binary),
    lambda s: s.cast(pl.String, strict=False).reshape((len(s), 1)).cast(pl.List(pl.String)),
    lambda s: pl.DataFrame({"a": s}).to_struct(s.name),
    lambda s: s.is_not_null(),
    lambda s: pl.Series(s.name, [None] * len(s), dtype=pl.Null),
    lambda s: pl.Series(s.name, [datetime.date(2024, 1, 1)] * len(s)),
    lambda s: pl.Series(s.name, [datetime.timedelta(days=1)] * len(s)),
    lambda s: pl.Series(s.name, [2**64 - 1] * len(s), dtype=pl.UInt64),
    lambda s: pl.Series(s.name, [-(2**63)] * len(s), dtype=pl.Int64),
    lambda s: pl.Series(s.name, [b"\xff\x00"] * len(s), dtype=pl.Binary),
    lambda s: pl.Series(s.name, ["1.50"] * len(s)).cast(pl.Decimal(10, 2)),
)
"Casts of a column to types no one asked for."


@st.composite
def broken_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Return bytes that are not `data`, but may be near it."""
    how = draw(st.sampled_from(["any", "cut", "flip", "insert", "encoding", "gzip", "twice"]))
    if how == "any":
        return draw(st.binary(max_size=60))
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if how == "insert":
        at = draw(st.integers(0, len(data)))
        return data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[at:]
    if how == "encoding":
        text = data.decode("utf-8", errors="replace")
        return text.encode(
            draw(st.sampled_from(["utf-16", "utf-32", "cp1252", "utf-8-sig"])), errors="replace"
        )
    if how == "gzip":
        zipped = gzip.compress(data, mtime=0)
        return zipped[: draw(st.integers(2, len(zipped)))]
    if how == "twice":
        return data + data
    changed = bytearray(data)
    for at in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=5)):
        changed[at] = draw(st.integers(0, 255))
    return bytes(changed)


@st.composite
def broken_cells(draw: st.DrawFn, data: bytes, separator: str) -> bytes:
    """Return a CSV file with cells replaced, or columns dropped, renamed or doubled."""
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=separator))
    width = len(rows[0])
    how = draw(st.sampled_from(["cells", "drop", "rename", "double", "column", "shuffle", "none"]))
    column = draw(st.integers(0, width - 1))
    if how == "cells":
        for _ in range(draw(st.integers(1, 4))):
            row, at = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, width - 1))
            rows[row][at] = draw(st.sampled_from(NASTY) | st.text(max_size=5))
    elif how == "drop":
        rows = [row[:column] + row[column + 1 :] for row in rows]
    elif how == "rename":
        rows[0][column] = draw(st.sampled_from(NASTY) | st.text(max_size=5))
    elif how == "double":
        rows = [[*row, row[column]] for row in rows]
    elif how == "column":
        cell = draw(st.sampled_from(NASTY))
        rows = [rows[0], *([*row[:column], cell, *row[column + 1 :]] for row in rows[1:])]
    elif how == "shuffle":
        rows = [rows[0], *draw(st.permutations(rows[1:]))]
    else:
        rows = rows[: draw(st.integers(0, 2))]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", errors="surrogatepass")


@st.composite
def broken_frame(draw: st.DrawFn, data: bytes) -> bytes:
    """Return a Parquet file with a column of another type, with nulls, dropped or renamed."""
    frame = pl.read_parquet(io.BytesIO(data))
    name = draw(st.sampled_from(frame.columns))
    how = draw(st.sampled_from(["type", "type", "null", "drop", "rename", "empty", "double", "cell"]))
    if how == "type":
        frame = frame.with_columns(draw(st.sampled_from(DTYPES))(frame[name]).alias(name))
    elif how == "null":
        rows = draw(st.lists(st.booleans(), min_size=frame.height, max_size=frame.height))
        keep = pl.Series(rows, dtype=pl.Boolean)
        frame = frame.with_columns(pl.when(keep).then(pl.col(name)).alias(name))
    elif how == "drop":
        frame = frame.drop(name)
    elif how == "rename":
        other = draw(st.text(min_size=1, max_size=5).filter(lambda text: text not in frame.columns))
        frame = frame.rename({name: other})
    elif how == "empty":
        frame = frame.clear()
    elif how == "double":
        frame = pl.concat([frame, frame])
    else:
        cell = draw(st.sampled_from(NASTY))
        frame = frame.with_columns(pl.lit(cell).alias(name))
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def broken(name: str, data: bytes) -> st.SearchStrategy[bytes]:
    """Return broken versions of the file `name`, by what its name says it is."""
    if name.endswith(".parquet"):
        return broken_bytes(data) | broken_frame(data)
    if name.endswith((".csv", ".tsv")):
        header = data.split(b"\n", 1)[0]
        return broken_bytes(data) | broken_cells(data, "\t" if b"\t" in header else ",")
    return broken_bytes(data)


leaves = (
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(NASTY)
    | st.text(max_size=8)
    | st.sampled_from([datetime.date(2024, 1, 1), datetime.time(1, 2), datetime.datetime(2024, 1, 1, 1, 1)])
)
"Values that TOML has."
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
"Nested values that TOML has."


@st.composite
def broken_tree(draw: st.DrawFn, tree: Any, words: Sequence[str] = ("use", "path")) -> Any:
    """Return plain tables with values replaced, keys dropped, renamed or added, or lists doubled."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            return draw(trees)
        node, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["value", "value", "drop", "add", "wrap"]))
        if how == "value":
            node[key] = draw(trees)
        elif how == "drop":
            del node[key]
        elif how == "wrap":
            node[key] = [node[key]] * draw(st.integers(0, 3))
        elif isinstance(node, dict):
            node[draw(st.sampled_from(list(words)) | st.text(max_size=6))] = draw(trees)
        else:
            node.append(draw(trees))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def toml(tree: Any) -> bytes:
    """Return plain tables as a TOML file, every nested one in one line."""
    if not isinstance(tree, dict):
        return f"value = {_inline(tree)}\n".encode("utf-8", errors="replace")
    return "".join(f"{_inline(key)} = {_inline(value)}\n" for key, value in tree.items()).encode(
        errors="replace"
    )


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
