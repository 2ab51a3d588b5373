"""Every part of the core keeps the laws of its kind, in more settings than its record's example; the plugins' own tests
try theirs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from prodmatch_core.testing import Case, parametrize_parts

TOWERS = {"mode": "two_tower"}


@parametrize_parts(
    "prodmatch-core",
    variants={
        "core.ngram": [TOWERS],
        "core.transformer": [TOWERS, {"pooling": "cls", "overlap_flags": False}],
        "core.random_negatives": [{"per_positive": 2.5, "weight": 0.5}],
        "core.mined_negatives": [
            {"miner": "self", "refresh_every": 2},
            {"per_positive": 2, "sampling": "score"},
        ],
        "core.cross_entropy": [{"label_smoothing": 0.1}],
        "core.focal": [{"gamma": 0.5}],
        "core.metric": [{"loss": "ContrastiveLoss"}, {"loss": "TripletMarginLoss"}, {"loss": "NTXentLoss"}],
        "core.uniform_sampler": [{"fanouts": [3, 2, 2]}],
        "core.threshold": [{"objective": "precision", "target": 0.8}, {"objective": "macro_f1"}],
        "core.crowdflower": [{"scheme": "binary"}],
        "core.homedepot": [{"scheme": "graded"}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()


ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted(
    file.parent for top in ("plugins", "contrib") for file in ROOT.glob(f"{top}/*/pyproject.toml")
)


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda folder: folder.name)
def test_every_distribution_tries_the_kit_on_its_parts(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tests = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("tests/**/test_*.py")))
    tried = set(re.findall(r'parametrize_parts\(\s*"([^"]+)"', tests))
    points = set(project["entry-points"]["prodmatch"])
    assert points <= tried or project["name"] in tried
