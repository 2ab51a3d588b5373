from __future__ import annotations

from pathlib import Path

import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.testing import Case, parametrize_parts

PIPELINES = sorted((Path(__file__).parent.parent / "pipelines").glob("*.toml"))


@parametrize_parts("example")
def test_conformance(case: Case) -> None:
    case.run()


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_pipeline_is_valid(path: Path) -> None:
    pipeline = load_pipeline(path)
    assert [entry.part.name for entry in pipeline.member[0].loss] == [
        "core.cross_entropy",
        "example.pairwise",
    ]
