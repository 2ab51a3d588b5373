"""An embedded store of answers by key: segments that are written whole, found by binary search, bounded.

A folder of safetensors files. A segment is written to a temporary name, synced and renamed, and never changed after:
a process killed at any moment leaves the segments that were there. Readers need no lock; writers take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from prodmatch_core.errors import RunError
from prodmatch_core.locking import HeldError, exclusive

MOST = 8
"Segments before they are made one."
SPARED = 0.75
"Share of the bound that is kept when it is reached: the newest rows."


@attrs.frozen(eq=False)
class _Segment:
    """Rows as they came, and the order in which their keys are sorted."""

    path: Path
    keys: np.ndarray
    values: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, path: Path, keys: np.ndarray, values: np.ndarray) -> _Segment:
        return cls(path, keys, values, np.argsort(keys[:, 0], kind="stable"))

    @classmethod
    def load(cls, path: Path) -> _Segment:
        try:
            saved = load_file(path)
            return cls.of(path, saved["keys"], saved["values"])
        except (OSError, SafetensorError, KeyError) as error:
            raise RunError(
                f"{path}: cannot be read: {error}. Remove the file; its answers are made anew."
            ) from None


@attrs.define(eq=False)
class LabelStore:
    """Values by 128-bit key.

    Attributes:
        folder: where the segments are.
        width: numbers a value holds; a store of another width is refused.
        limit: rows at the most; the oldest make room.
    """

    folder: Path
    width: int
    limit: int
    _segments: list[_Segment] = attrs.field(factory=list)

    @classmethod
    def open(cls, folder: Path, width: int, limit: int) -> LabelStore:
        """Open a store, which is made where there is none.

        Raises:
            RunError: the folder cannot be made, or a segment cannot be read or is of another width.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: cannot be made: {error.strerror}. Choose another --cache.") from None
        store = cls(folder, width, limit)
        store._look()
        return store

    def __len__(self) -> int:
        """Return the rows that are stored, a key that was stored twice counted twice."""
        return sum(len(segment.keys) for segment in self._segments)

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which keys are there, (n,) bool, and the newest value of each, (n, width) float64, NaN elsewhere.

        Args:
            keys: (n, 2) uint64.
        """
        values = np.full((len(keys), self.width), np.nan)
        there = np.zeros(len(keys), dtype=bool)
        for segment in reversed(self._segments):
            left = np.flatnonzero(~there)
            if not len(left):
                break
            ordered = segment.keys[segment.order, 0]
            # after equal keys, so that of a key that stands twice the later row is found
            place = np.searchsorted(ordered, keys[left, 0], side="right") - 1
            row = segment.order[np.maximum(place, 0)]
            same = (place >= 0) & (segment.keys[row] == keys[left]).all(axis=1)
            there[left[same]] = True
            values[left[same]] = segment.values[row[same]]
        return there, values

    def add(self, keys: np.ndarray, values: np.ndarray) -> bool:
        """Store values, and return whether that was done: not while another process is writing.

        Args:
            keys: (n, 2) uint64.
            values: (n, width) float64.

        Raises:
            RunError: the disk is full or the folder cannot be written to; what was there is still there.
        """
        if not len(keys):
            return True
        try:
            with exclusive(self.folder / ".lock", str(self.folder)):
                self._look()
                self._write(np.asarray(keys, dtype=np.uint64), np.asarray(values, dtype=np.float64))
        except HeldError:
            return False
        return True

    def _write(self, keys: np.ndarray, values: np.ndarray) -> None:
        old: list[_Segment] = []
        if len(self._segments) >= MOST or len(self) + len(keys) > self.limit:
            old = self._segments
            keys = np.concatenate([*(segment.keys for segment in old), keys])
            values = np.concatenate([*(segment.values for segment in old), values])
            newest = len(keys) - 1 - np.unique(keys[::-1], axis=0, return_index=True)[1]
            newest = np.sort(newest)
            if len(newest) > self.limit:
                newest = newest[-max(int(SPARED * self.limit), 1) :]
            keys, values = keys[newest], values[newest]
        number = 1 + max((int(path.stem) for path in self._files()), default=0)
        path = self.folder / f"{number:012d}.safetensors"
        _write_whole(path, save({"keys": keys, "values": values}))
        for segment in old:  # only now: until the new one is there, a killed process leaves the old ones
            segment.path.unlink(missing_ok=True)
        kept = [segment for segment in self._segments if segment not in old]
        self._segments = [*kept, _Segment.of(path, keys, values)]

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem.isdecimal())

    def _look(self) -> None:
        """Read the segments that other processes have written since, and forget those they have merged."""
        known = {segment.path: segment for segment in self._segments}
        self._segments = list(self._read(known))
        for segment in self._segments:
            if segment.values.shape[1] != self.width:
                raise RunError(
                    f"{segment.path}: holds {segment.values.shape[1]} numbers an answer, not {self.width}: it belongs "
                    "to runs of other labels. Name another folder by --cache."
                )

    def _read(self, known: dict[Path, _Segment]) -> Iterator[_Segment]:
        for path in self._files():
            if path in known:
                yield known[path]
            else:
                try:
                    yield _Segment.load(path)
                except RunError:
                    if path.exists():
                        raise
                    continue  # merged by another process a moment ago


def _write_whole(path: Path, content: bytes) -> None:
    import os

    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written: {error}. Free space or choose another --cache."
        ) from error
