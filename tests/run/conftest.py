from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

SMALL_NGRAM = {"use": "core.ngram", "buckets": 512, "width": 8}


@pytest.fixture(scope="session")
def shop_folder(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a canonical folder of the tiny data set."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_folder(tiny_dataset, folder)
    return folder


@pytest.fixture(scope="session")
def tree(shop_folder: Path) -> dict[str, Any]:
    """Return a pipeline of one trained and one self-fitting member, an average and a temperature."""
    return {
        "pipeline": {"name": "tiny", "seed": 3},
        "data": {"use": "core.folder", "path": str(shop_folder)},
        "member": [
            {
                "name": "ngram",
                "encoder": SMALL_NGRAM,
                "training": {"epochs": 3, "learning_rate": 0.01, "patience": 0},
            },
            {"name": "overlap", "encoder": {"use": "core.overlap"}},
        ],
        "aggregator": {"use": "core.mean"},
        "calibrator": [{"use": "core.temperature"}, {"use": "core.threshold"}],
        "evaluation": {"replicates": 100},
    }


@pytest.fixture(scope="session")
def run_tree() -> Callable[..., Run]:
    """Return a function that runs a pipeline given as a mapping."""

    def run(tree: dict[str, Any], out: Path, settings: tuple[str, ...] = (), **options: Any) -> Run:
        return run_pipeline(load_pipeline(tree, settings), out=out, context=ReadContext(), **options)

    return run


@pytest.fixture(scope="session")
def finished(
    tree: dict[str, Any], run_tree: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Return a finished run of `tree`, left alone from beginning to end."""
    return run_tree(tree, tmp_path_factory.mktemp("runs") / "tiny")
