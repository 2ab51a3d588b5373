"""Files that are there whole or not at all, and errors that say which could not be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodmatch_core.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        RunError: the disk is full or the folder cannot be written to; nothing half-written is left.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written: {error.strerror}. Free space or choose another --out."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys; not-a-number becomes null, because JSON has no word for it."""
    write_text(path, json.dumps(plain(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None
) -> None:
    """Write arrays, with notes in the header, as safetensors.

    The library writes an array as it lies in memory: one in another order than C's would be read back as another.
    """
    import numpy as np
    from safetensors.numpy import save_file

    save_file(
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        path,
        dict(notes or {}) or None,
    )


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table so that it is there whole or not at all.

    Raises:
        RunError: as `write_text`.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        frame.write_parquet(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written: {error}. Free space or choose another --out.") from error


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a part writes below `path` into an error that names it and the remedy.

    Raises:
        RunError: the disk is full, the folder cannot be written to, or a library could not write.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path}: cannot be written: {reason}. What is finished is kept; free space and run the same command again."
        ) from error


def plain(value: Any) -> Any:
    """Return a value in JSON's own types: arrays as lists, paths as text, not-a-number as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Path):
        return str(value)
    return value
