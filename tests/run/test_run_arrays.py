"""Arrays on disk: what is read is what was written, whatever its order in memory."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from prodmatch_core.writing import write_arrays
from source_trees import product_trees

TABLE = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array",
    [TABLE, TABLE.T, np.asfortranarray(TABLE), TABLE[:, ::2], TABLE[::-1], np.array(7.0), TABLE[:0]],
    ids=["plain", "transposed", "by column", "strided", "reversed", "a number", "empty"],
)
def test_an_array_of_any_order_is_read_as_it_was(array: np.ndarray, tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.safetensors", {"a": array})
    read = load_file(tmp_path / "a.safetensors")["a"]
    assert read.shape == array.shape
    assert read.tolist() == array.tolist()


def test_notes_stand_in_the_header(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.safetensors", {"a": TABLE}, {"made": "today"})
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"made": "today"}


def test_arrays_are_written_by_this_function_alone() -> None:
    elsewhere = [
        path
        for path, tree in product_trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "safetensors.numpy"
        and any(alias.name == "save_file" for alias in node.names)
    ]
    assert [path.name for path in elsewhere] == ["writing.py"]
