"""The canonical folder: one Parquet file per table, `truth/*.parquet`, and `dataset.toml`.

A data set read once and written as a folder loads in a fraction of the time, with its types, splits and
label scheme; the fingerprint in `dataset.toml` tells when a table was changed behind its back.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.dataset import Dataset, LabelScheme, fingerprint_of
from prodmatch_core.data.files import UNREADABLE, first_line
from prodmatch_core.data.folder_config import FolderConfig
from prodmatch_core.data.manifest import MANIFEST, is_truth, manifest_text, read_manifest
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.data.tables import SCHEMAS, arranged
from prodmatch_core.errors import DataError

ROW_GROUP = 1 << 16
"Rows of a Parquet row group, whatever the number of threads: it decides the bytes of a file."
PART_ROWS = 1 << 17
"Rows of a table that `write_parts` gathers before it puts them on disk."


def read(config: FolderConfig, context: ReadContext) -> Dataset:
    """Return the data set of a folder, with its own splits.

    Raises:
        DataError: the folder is no data set, was changed by hand, or its tables do not fit each other.
    """
    dataset = read_folder(context.find(config.path))
    check_references(dataset)
    return dataset


def read_folder(path: Path) -> Dataset:
    """Return the data set that `write_folder` wrote to `path`; all its values are the same.

    Truth tables stay on disk, and are read whenever one is asked for: they are as large as the rest, and only
    reports look at them.

    Raises:
        DataError: `dataset.toml` or a table is missing, unreadable or changed since it was written.
    """
    manifest = read_manifest(path)
    files = manifest["files"]
    tables = [name for name in files if not is_truth(name)]
    truth = TruthFolder(path, tuple(Path(name).stem for name in files if is_truth(name)))
    scheme = manifest.get("scheme")
    dataset = Dataset(
        name=manifest["name"],
        scheme=LabelScheme(**scheme) if scheme else None,
        truth=truth if truth else {},
        licence=manifest["licence"],
        source=manifest["source"],
        notes=tuple(manifest["notes"]),
        **{Path(name).stem: _table(path, name) for name in tables},
    )
    changed = [name for name, digest in files.items() if _digest(path, name) != digest]
    for name in changed:
        _table(path, name)  # says what is wrong with a file that is no table any more
    same = dataset.fingerprint() == manifest["fingerprint"] and not any(
        n.startswith("truth/") for n in changed
    )
    if not same:
        raise DataError(
            f"{path}: {', '.join(changed) or 'the label scheme'} is not what {MANIFEST} was written for "
            "(another fingerprint). Write the folder again from its source, or write the changed data set "
            "to a new folder."
        )
    return dataset


def summary(path: Path) -> tuple[str, dict[str, int], tuple[str, ...]]:
    """Return name, rows of each table without truth, and notes of a folder, without reading its tables.

    Raises:
        DataError: `path` is no data set folder.
    """
    manifest = read_manifest(path)
    tables = [name for name in SCHEMAS if f"{name}.parquet" in manifest["files"]]
    heights = {
        name: pl.scan_parquet(path / f"{name}.parquet").select(pl.len()).collect().item() for name in tables
    }
    return manifest["name"], heights, tuple(manifest["notes"])


def write_folder(dataset: Dataset, path: Path, overwrite: bool = False) -> None:
    """Write a data set as a folder, complete or not at all.

    The folder is written under a temporary name beside `path` and renamed. With `overwrite` a data set that
    is there is replaced. A folder with anything else in it never is: whoever wrote it would lose it.

    Raises:
        DataError: `path` is a file, holds other files, or holds a data set and `overwrite` is false.
    """
    with _whole(path, overwrite) as temporary:
        files = {}
        truth = ((f"truth/{name}", table) for name, table in dataset.truth.items())
        for name, table in itertools.chain(dataset.tables(), truth):
            file = temporary / f"{name}.parquet"
            file.parent.mkdir(exist_ok=True)
            table.write_parquet(file, row_group_size=ROW_GROUP)
            files[f"{name}.parquet"] = _digest(temporary, f"{name}.parquet")
        text = manifest_text(dataset, files, dataset.fingerprint())
        (temporary / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def write_parts(
    head: Dataset,
    parts: Iterable[tuple[str, pl.DataFrame]],
    path: Path,
    overwrite: bool = False,
    part_rows: int = PART_ROWS,
) -> None:
    """Write a data set that comes in parts as a folder, complete or not at all, without ever holding a table.

    The files are, byte for byte, those of `write_folder`, however the rows are cut into parts.

    Args:
        head: name, label scheme, licence, source and notes; its tables are not looked at.
        parts: (table, rows) in any order of tables; `truth.<table>` for truth. The rows of one table come in
            order, with the same columns in each part. They are taken to be right: keys and references are
            checked where the folder is read.
        path: the folder.
        overwrite: replace the data set that is there.
        part_rows: rows of one table gathered before they are put on disk.

    Raises:
        DataError: as `write_folder`, or a part lacks a column.
    """
    with _whole(path, overwrite) as temporary:
        store = _Parts(temporary / ".parts", part_rows)
        for name, frame in parts:
            schema = SCHEMAS.get(name)
            store.add(name.replace(".", "/"), arranged(frame, schema, head.source) if schema else frame)
        files = {}
        # Tables first, in the order of the schemas, then truth in the order it came: as `write_folder` does.
        names = [name for name in SCHEMAS if name in store.names]
        for name in (*names, *(name for name in store.names if name not in SCHEMAS)):
            store.join(name, temporary / f"{name}.parquet")
            files[f"{name}.parquet"] = _digest(temporary, f"{name}.parquet")
        store.folder.rmdir()
        tables = ((name, pl.scan_parquet(temporary / f"{name}.parquet")) for name in names)
        text = manifest_text(head, files, fingerprint_of(head.scheme, tables))
        (temporary / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


class _Parts:
    """Tables on their way to disk: rows wait in memory until there are enough for a file."""

    def __init__(self, folder: Path, part_rows: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.part_rows = part_rows
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._files: dict[str, list[Path]] = {}

    @property
    def names(self) -> list[str]:
        """Return the tables that have come, in order of their first part."""
        return list(self._waiting)

    def add(self, name: str, frame: pl.DataFrame) -> None:
        """Take the next rows of a table."""
        waiting = self._waiting.setdefault(name, [])
        waiting.append(frame)
        if sum(part.height for part in waiting) >= self.part_rows:
            self._flush(name)

    def join(self, name: str, file: Path) -> None:
        """Write all rows of a table to `file`, and forget them."""
        if self._waiting[name]:
            self._flush(name)
        parts = self._files.pop(name)
        file.parent.mkdir(exist_ok=True)
        pl.scan_parquet(parts).sink_parquet(file, row_group_size=ROW_GROUP, maintain_order=True)
        for part in parts:
            part.unlink()

    def _flush(self, name: str) -> None:
        files = self._files.setdefault(name, [])
        files.append(self.folder / f"{name.replace('/', '.')}-{len(files):05d}.parquet")
        # Parts are read once and thrown away, so speed counts more than size.
        pl.concat(self._waiting[name]).write_parquet(files[-1], compression="lz4", statistics=False)
        self._waiting[name] = []


@attrs.frozen
class TruthFolder(Mapping[str, pl.DataFrame]):
    """The truth tables of a folder by name, read anew whenever one is asked for."""

    path: Path
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self.names:
            raise KeyError(name)
        return _table(self.path, f"truth/{name}.parquet")

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@contextlib.contextmanager
def _whole(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `path` if all goes well, and vanishes if not."""
    _check_target(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renaming is atomic only within a file system, so the temporary folder is a neighbour.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        temporary.mkdir()
        yield temporary
        _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_target(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file where a folder is to be written. Name another place.")
    entries = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    if not entries:
        return
    ours = {MANIFEST, "truth", *(f"{name}.parquet" for name in SCHEMAS)}
    foreign = [name for name in entries if name not in ours]
    if MANIFEST not in entries or foreign:
        raise DataError(
            f"{path}: the folder holds files that are not a data set's "
            f"({', '.join((foreign or entries)[:5])}). Name a new or empty folder."
        )
    if not overwrite:
        raise DataError(
            f"{path}: a data set is there already. Pass --overwrite to replace it, or name another folder."
        )


def _put(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
        return
    old = path.with_name(f"{temporary.name}.old")
    path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _table(path: Path, name: str) -> pl.DataFrame:
    file = path / name
    try:
        return pl.read_parquet(file, glob=False)
    except FileNotFoundError:
        raise _missing(path, name) from None
    except UNREADABLE as error:
        raise DataError(
            f"{file}: not a Parquet file, or damaged: {first_line(error)}. Write the folder again."
        ) from None


def _digest(path: Path, name: str) -> str:
    try:
        with (path / name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise _missing(path, name) from None


def _missing(path: Path, name: str) -> DataError:
    return DataError(f"{path}: {name} is missing, {MANIFEST} lists it. Restore it or write the folder again.")
