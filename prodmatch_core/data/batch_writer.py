"""A table of any length written a batch at a time, whole or not at all, and resumed after a stop."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.batches import SEPARATORS, format_of
from prodmatch_core.errors import DataError, ProdmatchError
from prodmatch_core.locking import exclusive


@attrs.define
class BatchWriter:
    """Writes tables one after the other into a file that is there whole or not at all.

    Use as a context manager: `with BatchWriter.open(path) as writer: writer.write(frame)`. The format follows the
    suffix. Each batch waits as a file of its own in a folder beside `path`; all are joined at the end.
    """

    path: Path
    suffix: str
    _folder: Path
    _batches: list[Path]
    _keep: bool
    "Whether a stop leaves the batches for the next writer."
    _full: bool = False

    @classmethod
    @contextmanager
    def open(cls, path: Path, key: str | None = None) -> Iterator[BatchWriter]:
        """Give a writer, and finish the file when the block ends well.

        Args:
            path: the file to write; one that is there is replaced at the end.
            key: says what is being written and from what. After a kill, an interrupt or a full disk, a writer with the
                same key goes on behind the `batches` that were already written. None never resumes.

        Raises:
            DataError: the format is unknown, or the folder is missing or cannot be written to.
            RunError: another process is writing the file.
        """
        suffix = format_of(path, "Name the output with one of these endings.")
        folder, mark = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.lock")
        if not path.parent.is_dir():
            raise _cannot(path, "No such file or directory", "Choose another output.")
        with exclusive(mark, str(path)):
            try:
                writer = cls(path, suffix, folder, _found(folder, key), key is not None)
            except OSError as error:
                raise _cannot(path, error.strerror or str(error), "Choose another output.") from None
            try:
                yield writer
                writer._finish()
            except BaseException as error:
                # A file that cannot be read will be another file once it is mended.
                if not writer._keep or (isinstance(error, ProdmatchError) and not writer._full):
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def batches(self) -> int:
        """Return the number of batches written so far, by an earlier writer too."""
        return len(self._batches)

    @property
    def rows(self) -> int:
        """Return the number of rows written so far, by an earlier writer too."""
        return sum(int(batch.name.split("-")[1]) for batch in self._batches)

    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of `frame`; all frames must have the same columns.

        Raises:
            DataError: the disk is full or cannot be written to.
        """
        batch = self._folder / f"{self.batches:08d}-{frame.height}"
        unfinished = self._folder / "unfinished"
        with self._writing():
            if self.suffix == ".parquet":
                frame.write_parquet(unfinished)
            else:
                self._write_text(frame, unfinished)
            unfinished.replace(batch)
        self._batches.append(batch)

    def _write_text(self, frame: pl.DataFrame, path: Path) -> None:
        if self.suffix in SEPARATORS:
            text = frame.write_csv(separator=SEPARATORS[self.suffix], include_header=not self._batches)
        else:
            text = frame.write_ndjson()
        # Gzip files one after the other are a gzip file. No time is noted: the same rows are the same bytes.
        packed = self.path.suffix.lower() == ".gz"
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())

    def _finish(self) -> None:
        whole = self._folder / "whole"
        with self._writing():
            if len(self._batches) == 1:
                whole = self._batches[0]
            elif self.suffix == ".parquet" and self._batches:
                pl.scan_parquet(self._batches, glob=False).sink_parquet(whole, maintain_order=True)
            else:
                with whole.open("wb") as stream:
                    for batch in self._batches:
                        with batch.open("rb") as part:
                            shutil.copyfileobj(part, stream)
            whole.replace(self.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            self._full = True
            remedy = "Free space or choose another output."
            raise _cannot(self.path, str(error), remedy) from None


def _cannot(path: Path, reason: str, remedy: str) -> DataError:
    return DataError(f"{path}: cannot be written: {reason}. {remedy}")


def _found(folder: Path, key: str | None) -> list[Path]:
    """Return the batches an earlier writer of the same key left in `folder`; clear it of all others."""
    mark = folder / "key"
    if key is None or not mark.is_file() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        mark.write_text(key or "", encoding="utf-8")
        return []
    return sorted(folder.glob("????????-*"))
