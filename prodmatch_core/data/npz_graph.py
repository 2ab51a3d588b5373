"""Graphs in npz files: compressed sparse rows as plain arrays, read without pickle and checked before use.

The arrays are adj_data, adj_indices, adj_indptr and adj_shape for the edges; attr_* in the same form for the
nodes' features, labels and class_names for their classes, and node_names, where they are there.
"""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.files import read_content
from prodmatch_core.errors import DataError

_DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    OverflowError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"What zipfile and numpy raise on bytes that are no npz file; each is told as one DataError."
_AGAIN = "Write the file again with numpy.savez."


@attrs.frozen(eq=False)
class NpzGraph:
    """The graph of an npz file."""

    edges: pl.DataFrame
    "Columns src, dst (String) and count (Float64, above 0)."
    nodes: pl.Series
    "Identifier of every node, in order: its name in the file, or its number."
    words: pl.Series | None
    "Features of every node as words, `w12 w873`; null where it has none; None where the file has no features."
    truth: dict[str, pl.DataFrame]
    "`classes` (product_id, class) where the file has labels."
    notes: list[str]
    "What a person should know."


@attrs.frozen(eq=False)
class _Rows:
    """Compressed sparse rows that have been checked: entries by row and column."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    shape: tuple[int, int]


def read_npz_graph(path: Path) -> NpzGraph:
    """Return the graph of an npz file.

    Raises:
        DataError: the file is no npz file, holds Python objects, lacks an array, or an array does not fit the
            others or is out of range.
    """
    arrays = _arrays(path)
    adjacency = _sparse(path, arrays, "adj")
    count = adjacency.shape[0]
    if adjacency.shape[0] != adjacency.shape[1]:
        raise DataError(
            f"{path}: adj_shape is {adjacency.shape[0]} x {adjacency.shape[1]} where a graph has as many rows as "
            f"columns. {_AGAIN}"
        )
    names = _names(path, arrays, count)
    notes = []
    there = adjacency.value != 0
    if zeros := int((~there).sum()):
        notes.append(f"entries of adj_data that are 0, so no edges: {zeros}")
    weights = adjacency.value[there]
    if len(weights) and not (np.isfinite(weights).all() and weights.min() > 0):
        place = int(np.flatnonzero(~(np.isfinite(adjacency.value) & (adjacency.value >= 0)))[0])
        raise DataError(
            f"{path}: adj_data[{place}] is {adjacency.value[place]:g} where a number above 0 is expected. {_AGAIN}"
        )
    edges = pl.DataFrame(
        {
            "src": names.gather(adjacency.row[there]),
            "dst": names.gather(adjacency.column[there]),
            "count": pl.Series(weights, dtype=pl.Float64),
        }
    )
    words = None
    if any(name.startswith("attr_") for name in arrays):
        features = _sparse(path, arrays, "attr")
        if features.shape[0] != count:
            raise DataError(
                f"{path}: attr_shape has {features.shape[0]} rows where the graph has {count} nodes. {_AGAIN}"
            )
        words = _words(features)
        if not np.isin(features.value, (0, 1)).all():
            notes.append("node features are not all 0 or 1; each that is not 0 is written as its word, once")
    return NpzGraph(edges, names, words, _classes(path, arrays, names), notes)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    data = read_content(path)
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                arrays[entry.filename.removesuffix(".npy")] = _array(path, archive, entry)
    except _DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"{path}: not an npz file, or damaged: {reason}. {_AGAIN}") from None
    return arrays


def _array(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return one array, after its header was checked: nothing is unpickled, nor more allocated than is there."""
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{entry.filename} is of format {version}, known are 1.0 and 2.0")
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise DataError(
                f"{path}: {entry.filename} holds Python objects (a pickle), which are never loaded. Save it as an "
                "array of numbers or texts, e.g. with .astype(str)."
            )
        if dtype.kind not in "biufU" or len(shape) != 1:
            raise DataError(
                f"{path}: {entry.filename} is {dtype} of shape {shape} where one row of numbers or texts is "
                f"expected. {_AGAIN}"
            )
        content = stream.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{entry.filename} has {len(content)} bytes where its header says {shape} of {dtype}"
        )
    return np.frombuffer(content, dtype) if dtype.itemsize else np.zeros(shape, dtype)


def _sparse(path: Path, arrays: Mapping[str, np.ndarray], prefix: str) -> _Rows:
    wanted = [f"{prefix}_{name}" for name in ("data", "indices", "indptr", "shape")]
    if missing := [name for name in wanted if name not in arrays]:
        raise DataError(
            f"{path}: no array {', '.join(missing)}. The file has {', '.join(sorted(arrays)) or 'none'}. Store the "
            "matrix as data, indices, indptr and shape of scipy's csr_matrix."
        )
    data, indices, indptr, shape = (arrays[name] for name in wanted)
    for name, array, kinds in zip(
        wanted, (data, indices, indptr, shape), ("biuf", "iu", "iu", "iu"), strict=True
    ):
        if array.dtype.kind not in kinds:
            raise DataError(f"{path}: {name} holds {array.dtype} where numbers are expected. {_AGAIN}")
    if len(shape) != 2 or (shape < 0).any() or (shape.astype(np.float64) > 2**31).any():
        raise DataError(
            f"{path}: {prefix}_shape is {shape[:4].tolist()} where two sizes from 0 to 2^31 are expected. {_AGAIN}"
        )
    rows, columns = int(shape[0]), int(shape[1])
    offsets = indptr.astype(np.float64)
    fits = len(indptr) == rows + 1 and offsets[0] == 0 and offsets[-1] == len(indices) == len(data)
    if not fits or (np.diff(offsets) < 0).any():
        raise DataError(
            f"{path}: {prefix}_indptr does not rise from 0 to the {len(indices)} entries over {rows} rows "
            f"({prefix}_data has {len(data)}). {_AGAIN}"
        )
    wrong = (indices < 0) | (indices.astype(np.float64) >= columns)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{path}: {prefix}_indices[{place}] is {indices[place]} where 0 to {columns - 1} is expected "
            f"(entries like this: {wrong.sum()}). {_AGAIN}"
        )
    starts = indptr.astype(np.int64)
    row = np.repeat(np.arange(rows), starts[1:] - starts[:-1])
    return _Rows(row, indices.astype(np.int64), data.astype(np.float64), (rows, columns))


def _names(path: Path, arrays: Mapping[str, np.ndarray], count: int) -> pl.Series:
    names = arrays.get("node_names")
    if names is None:
        return pl.Series("product_id", range(count), dtype=pl.Int64).cast(pl.String)
    series = _texts(path, "node_names", names)
    if len(series) != count or series.n_unique() != count or (series.str.strip_chars() == "").any():
        raise DataError(
            f"{path}: node_names has {len(series)} names, {series.n_unique()} of them different, where the graph "
            f"has {count} nodes, each with a name of its own. {_AGAIN}"
        )
    return series.alias("product_id")


def _texts(path: Path, name: str, array: np.ndarray) -> pl.Series:
    try:
        return pl.Series([str(value) for value in array.tolist()], dtype=pl.String)
    except (UnicodeError, ValueError, SystemError):
        raise DataError(f"{path}: {name} holds texts that are not Unicode. {_AGAIN}") from None


def _classes(path: Path, arrays: Mapping[str, np.ndarray], names: pl.Series) -> dict[str, pl.DataFrame]:
    labels = arrays.get("labels")
    if labels is None:
        return {}
    if len(labels) != len(names):
        raise DataError(
            f"{path}: labels has {len(labels)} values where the graph has {len(names)} nodes. {_AGAIN}"
        )
    classes = arrays.get("class_names")
    if classes is not None and labels.dtype.kind in "iu":
        if len(labels) and (labels.min() < 0 or labels.max() >= len(classes)):
            raise DataError(
                f"{path}: labels go from {labels.min()} to {labels.max()} where class_names has {len(classes)}. "
                f"{_AGAIN}"
            )
        labels = classes[labels.astype(np.int64)]
    return {"classes": pl.DataFrame({"product_id": names, "class": _texts(path, "labels", labels)})}


def _words(features: _Rows) -> pl.Series:
    """Return the columns that are not 0 of every row as words, null for a row without any."""
    there = features.value != 0
    entries = pl.DataFrame({"row": features.row[there], "column": features.column[there]}).unique()
    joined = (
        entries.sort("row", "column")
        .select("row", word="w" + pl.col("column").cast(pl.String))
        .group_by("row", maintain_order=True)
        .agg(pl.col("word").str.join(" "))
    )
    rows = pl.DataFrame({"row": np.arange(features.shape[0])})
    return rows.join(joined, on="row", how="left", maintain_order="left")["word"].alias("description")
