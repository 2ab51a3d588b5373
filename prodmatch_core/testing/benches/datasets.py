"""Readers at work: on the tiny files that their record's `sample` writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext, SplitConfig
from prodmatch_core.records import DatasetSpec
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import Bench, Subject

SPLIT = SplitConfig(valid=0.2, test=0.2)


def write_sample(subject: Subject, folder: Path) -> bool:
    """Write the record's tiny files to `folder`; return whether the part reads any."""
    spec = subject.spec
    assert isinstance(spec, DatasetSpec)
    write = spec.load_sample()
    if write is not None:
        write(folder)
    return write is not None


def read(subject: Subject, folder: Path) -> Dataset:
    """Return what the part reads with `folder` as its data folder."""
    return subject.factory(subject.config, ReadContext(root=folder, base=folder, split=SPLIT))


class DatasetBench(Bench):
    """Reads the sample. Nothing is built: the factory is the reader."""

    def build(self, subject: Subject, seed: int = 0) -> Dataset:
        """Return the data set, read from the same folder however often."""
        folder = Path(tempfile.gettempdir()) / f"prodmatch-kit-{os.getpid()}"
        folder.mkdir()
        try:
            write_sample(subject, folder)
            return read(subject, folder)
        finally:
            shutil.rmtree(folder)

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the fingerprint as bytes."""
        return {"fingerprint": np.frombuffer(made.fingerprint().encode(), dtype=np.uint8)}

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Read files that hold nothing."""
        with tempfile.TemporaryDirectory() as folder:
            write_sample(subject, Path(folder))
            for path in Path(folder).rglob("*"):
                if path.is_file():
                    path.write_bytes(b"")
            read(subject, Path(folder))
