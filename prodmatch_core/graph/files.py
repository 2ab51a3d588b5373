"""Graphs on disk: one safetensors file whose arrays are mapped into memory, not read."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np

from prodmatch_core.graph.csr import Graph
from prodmatch_core.writing import write_arrays

FILE = "graph.safetensors"
_DTYPES = {"I64": np.int64, "I32": np.int32, "I16": np.int16, "F32": np.float32, "F64": np.float64}


def save_graph(graph: Graph, folder: Path) -> None:
    """Write a graph to `folder`."""
    arrays = {
        field.name: value
        for field in attrs.fields(Graph)
        if isinstance(value := getattr(graph, field.name), np.ndarray)
    }
    write_arrays(folder / FILE, arrays, {"relations": json.dumps(graph.relations)})


def load_graph(folder: Path) -> Graph:
    """Return the graph that `save_graph` wrote; its arrays are read where they are touched.

    Raises:
        OSError: the file is not there.
        ValueError: it is no such file.
    """
    arrays, notes = map_arrays(folder / FILE)
    return Graph(**arrays, relations=tuple(json.loads(notes["relations"])))


def map_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a safetensors file, mapped read-only, and its metadata.

    Raises:
        OSError: the file is not there.
        ValueError: its header is damaged, or it holds other than whole numbers and floats.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, 1 << 26)))
    notes = header.pop("__metadata__", {})
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{path}: array {name} has the type {entry['dtype']}; write the file again")
        start, end = entry["data_offsets"]
        arrays[name] = (
            np.memmap(path, _DTYPES[entry["dtype"]], "r", 8 + length + start, tuple(entry["shape"]))
            if end > start
            else np.empty(entry["shape"], _DTYPES[entry["dtype"]])
        )
    return arrays, notes
