"""What a reader is told beside its own configuration, and how it finds files. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from prodmatch_core.errors import DataError
from prodmatch_core.fields import between, non_negative


@attrs.frozen
class SplitConfig:
    """How a data set without splits of its own is divided, by whole queries (or groups)."""

    valid: float = attrs.field(default=0.1, validator=between(0, 0.5))
    "Share of queries used for early stopping and calibration."
    test: float = attrs.field(default=0.2, validator=between(0, 0.9))
    "Share of queries that only the measures see."
    seed: int = attrs.field(default=0, validator=non_negative)
    "Which queries go where."

    def __attrs_post_init__(self) -> None:
        if self.valid + self.test >= 1:
            raise ValueError("valid and test add up to 1 or more; nothing is left to train on")


@attrs.frozen
class ReadContext:
    """Where files are looked for, how to split, and whether bad rows end the reading."""

    root: Path | None = None
    "Folder given by `--data` or PRODMATCH_DATA."
    base: Path = attrs.field(factory=Path.cwd)
    "Folder of the pipeline file."
    split: SplitConfig = attrs.field(factory=SplitConfig)
    skip_bad_rows: bool = False
    "Leave bad rows out, count and list them, instead of stopping at the first."

    def find(self, path: str) -> Path:
        """Return the existing file or folder `path` names, looked for in `root`, then beside the pipeline file.

        Raises:
            DataError: it is in neither place; the message names both and the remedy.
        """
        places = [folder / path for folder in (self.root, self.base) if folder is not None]
        for place in places:
            if _exists(place):
                return place
        raise DataError(
            f"{path}: not found; looked for {' and '.join(str(p) for p in places)}. "
            "Name the folder that holds it with --data DIR or the environment variable PRODMATCH_DATA."
        )

    def find_files(self, folder: str, names: Sequence[str], remedy: str) -> list[Path]:
        """Return the existing files `names` in the folder that `find` finds for `folder`.

        Raises:
            DataError: the folder, or a file in it, is not there; all absent files are named, with `remedy`.
        """
        place = self.find(folder)
        if not place.is_dir():
            raise DataError(f"{place}: is a file where a folder is expected. {remedy}")
        absent = [name for name in names if not (_exists(place / name) and (place / name).is_file())]
        if absent:
            there = sorted(entry.name for entry in place.iterdir())
            rest = f" and {len(there) - 8} more" if len(there) > 8 else ""
            held = f"it holds {', '.join(there[:8])}{rest}" if there else "it is empty"
            raise DataError(f"{place}: {', '.join(absent)} not found in this folder; {held}. {remedy}")
        return [place / name for name in names]


def _exists(path: Path) -> bool:
    """Return whether there is such a path; a name no file can have is none."""
    try:
        return path.exists()
    except OSError:
        return False
