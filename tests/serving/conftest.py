"""A finished run with a small transformer beside a member that cannot be exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

TRANSFORMER = {
    "use": "core.transformer",
    "hidden": 32,
    "layers": 1,
    "heads": 2,
    "vocabulary": 400,
    "max_length": 24,
}


@pytest.fixture(scope="session")
def folder(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_folder(tiny_dataset, folder)
    return folder


def make(folder: Path, out: Path, *members: dict) -> Run:
    """Return a finished run of these members on the tiny data set."""
    tree = {
        "pipeline": {"name": "serve", "seed": 3},
        "data": {"use": "core.folder", "path": str(folder)},
        "member": list(members),
        "calibrator": [{"use": "core.temperature"}],
        "evaluation": {"replicates": 100},
    }
    if len(members) > 1:
        tree["aggregator"] = {"use": "core.mean"}
    return run_pipeline(load_pipeline(tree), out=out, context=ReadContext())


TRAINING = {"epochs": 3, "learning_rate": 0.003, "patience": 0}


@pytest.fixture(scope="session")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of a cross-encoder, a two-tower transformer and a part that fits itself."""
    return make(
        folder,
        tmp_path_factory.mktemp("runs") / "served",
        {"name": "cross", "encoder": TRANSFORMER, "training": TRAINING},
        {"name": "towers", "encoder": {**TRANSFORMER, "mode": "two_tower"}, "training": TRAINING},
        {"name": "overlap", "encoder": {"use": "core.overlap"}},
    )


@pytest.fixture(scope="session")
def unserved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run that has nothing to export."""
    return make(
        folder,
        tmp_path_factory.mktemp("runs") / "unserved",
        {"name": "overlap", "encoder": {"use": "core.overlap"}},
    )
