"""`dataset.toml`, which makes a folder a data set: its names, its label scheme, and the digests of its tables."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.tables import SCHEMAS
from prodmatch_core.errors import DataError

FORMAT = 1
"Version of the layout; a reader refuses versions it does not know."
MANIFEST = "dataset.toml"
"The file that makes a folder a data set."


def read_manifest(path: Path) -> dict[str, Any]:
    """Return what the manifest of a folder says, checked.

    Raises:
        DataError: there is none, it cannot be read, or it is not as `manifest_text` writes it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: is not a folder. Name the folder that holds {MANIFEST}.")
    file = path / MANIFEST
    if not file.exists():
        raise DataError(
            f"{path}: no {MANIFEST}, so this is not a data set folder. "
            "Make one with `prodmatch data convert`."
        )
    try:
        manifest = tomllib.loads(file.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not valid TOML: {error}. Write the folder again.") from None
    version = manifest.get("format")
    if version != FORMAT:
        raise DataError(
            f"{file}: format {version} where this version of prodmatch reads format {FORMAT}. "
            "Write the folder again with this version, or install the version that wrote it."
        )
    expected: dict[str, Callable[[Any], bool]] = {
        "name": _is_text,
        "licence": _is_text,
        "source": _is_text,
        "notes": _is_texts,
        "fingerprint": _is_text,
        "files": lambda value: isinstance(value, dict) and _is_texts(list(value.values())),
    }
    if "scheme" in manifest:
        expected["scheme"] = _is_scheme
    wrong = [key for key, fits in expected.items() if not fits(manifest.get(key))]
    if not wrong:
        known = {f"{name}.parquet" for name in SCHEMAS}
        wrong = [f"files.{name}" for name in manifest["files"] if name not in known and not is_truth(name)]
    if wrong:
        raise DataError(f"{file}: {', '.join(wrong)} is missing or not as written. Write the folder again.")
    return manifest


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_scheme(value: Any) -> bool:
    """Return whether a value has the fields of a label scheme, each of its type."""
    return (
        isinstance(value, dict)
        and set(value) == {"name", "labels", "gains", "positive"}
        and _is_text(value["name"])
        and _is_texts(value["labels"])
        and _is_texts(value["positive"])
        and isinstance(value["gains"], list)
        and all(type(gain) is float for gain in value["gains"])
    )


def is_truth(name: str) -> bool:
    """Return whether a file of the manifest is a truth table."""
    folder, _, rest = name.partition("/")
    return folder == "truth" and rest.endswith(".parquet") and "/" not in rest and "\\" not in rest


def manifest_text(dataset: Dataset, files: Mapping[str, str], fingerprint: str) -> str:
    """Return the manifest of a data set whose tables were written.

    Args:
        dataset: what was written.
        files: name of each file -> SHA-256 of its bytes.
        fingerprint: of the data set.
    """
    head: dict[str, Any] = {
        "format": FORMAT,
        "name": dataset.name,
        "licence": dataset.licence,
        "source": dataset.source,
        "notes": list(dataset.notes),
        "fingerprint": fingerprint,
    }
    sections: dict[str, Mapping[str, Any]] = {}
    if dataset.scheme is not None:
        scheme = dataset.scheme
        sections["scheme"] = {
            "name": scheme.name,
            "labels": list(scheme.labels),
            "gains": [float(gain) for gain in scheme.gains],
            "positive": list(scheme.positive),
        }
    sections["files"] = files
    lines = _toml(head)
    for name, values in sections.items():
        lines += ["", f"[{name}]", *_toml(values)]
    return "\n".join(lines) + "\n"


def _toml(values: Mapping[str, Any]) -> list[str]:
    """Write keys with texts, numbers and lists of those: for these, JSON is TOML but for one character."""
    return [
        f"{json.dumps(key, ensure_ascii=False) if not key.isidentifier() else key} = "
        + json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        for key, value in values.items()
    ]
