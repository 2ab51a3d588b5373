"""Stages: work whose result is kept under a key of everything it depends on, and reused only if all of it is the same.

A stage's folder counts as done once its `stage.json` is there, which is written last; whatever a killed process left
without one is thrown away and made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core.writing import write_json

STAMP = "stage.json"


def content_key(**ingredients: Any) -> str:
    """Return a SHA-256 over JSON values by name."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each distribution; `absent` for one that is not installed."""
    found = {}
    for name in sorted(set(distributions)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@attrs.frozen
class Stage:
    """One stage's folder and the key its content must have been made under."""

    folder: Path
    key: str

    def done(self) -> bool:
        """Return whether the folder holds the finished result of exactly this key."""
        try:
            return json.loads((self.folder / STAMP).read_text(encoding="utf-8")).get("key") == self.key
        except (OSError, ValueError):  # never finished, or damaged: the remedy is the same, make it again
            return False

    def begin(self) -> Path:
        """Empty the folder and return it."""
        # The stamp goes first: a folder that is half emptied must not look finished.
        (self.folder / STAMP).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self.folder

    def finish(self, **facts: Any) -> None:
        """Stamp the folder as done."""
        write_json(self.folder / STAMP, {"key": self.key, **facts})

    def facts(self) -> dict[str, Any]:
        """Return what `finish` was told."""
        return json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
