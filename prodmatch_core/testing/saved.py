"""Parts that are saved: the same when loaded, and no file of theirs a pickle, alone, in an archive or in an array."""

from __future__ import annotations

import io
import pickletools
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from prodmatch_core.testing.answers import difference
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import SavedBench, Subject


def saved_and_loaded(subject: Subject) -> None:
    """Raise Nonconformance unless the part, saved and loaded, answers the same, and no saved file could run code."""
    bench, made = subject.bench, subject.made
    assert isinstance(bench, SavedBench)
    before = bench.ask(subject, made)
    if difference(before, bench.ask(subject, made)):
        raise Skipped("the part answers differently every time it is asked")
    with tempfile.TemporaryDirectory() as folder:
        loaded = bench.reload(subject, made, Path(folder))
        if found := next(what_executes(Path(folder)), None):
            raise Nonconformance(
                f"the saved file {found[0]} {found[1]}. Save JSON, safetensors, Parquet or LightGBM text."
            )
    if apart := difference(before, bench.ask(subject, loaded)):
        raise Nonconformance(
            f"loaded from its files, the part answers otherwise, by {apart:.3g}. Save everything that was learnt."
        )


def what_executes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, what it is) of every file under `folder` that could run code when it is read."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (found := _danger(path.read_bytes())):
            yield str(path.relative_to(folder)), found


def _danger(content: bytes) -> str:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return next(
                (
                    f"holds {name}, which {bad}"
                    for name in archive.namelist()
                    if (bad := _danger(archive.read(name)))
                ),
                "",
            )
    if content.startswith(b"\x93NUMPY") and b"'|O'" in content[:256]:
        return "is an array of Python objects, which is a pickle"
    return "is a pickle" if _is_pickle(content) else ""


def _is_pickle(content: bytes) -> bool:
    """Return whether the whole content parses as a pickle: one that begins in another way is none of ours."""
    if len(content) < 4 or not content.endswith(b"."):
        return False
    try:
        *_, last = pickletools.genops(content)
    except Exception:  # whatever cannot be parsed is no pickle
        return False
    return last[0].name == "STOP" and last[2] == len(content) - 1
