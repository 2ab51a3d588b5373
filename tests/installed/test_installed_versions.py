"""The distributions of the repository are released together: one version, and the core that they are made for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from distributions import distributions

ROOT = Path(__file__).parent.parent.parent


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


CORE = Version(project(ROOT)["version"])


@pytest.mark.parametrize("folder", distributions(ROOT), ids=lambda folder: folder.name)
def test_a_distribution_has_the_version_of_the_core(folder: Path) -> None:
    assert Version(project(folder)["version"]) == CORE


@pytest.mark.parametrize("folder", distributions(ROOT), ids=lambda folder: folder.name)
def test_a_distribution_asks_for_this_minor_version_of_the_core_and_for_no_other(folder: Path) -> None:
    asked = [Requirement(text) for text in project(folder)["dependencies"]]
    (core,) = [requirement for requirement in asked if requirement.name == "prodmatch-core"]
    assert str(core.specifier) == f"<{CORE.major}.{CORE.minor + 1},>={CORE.major}.{CORE.minor}"


def test_the_changelog_begins_with_the_version() -> None:
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if "## " in line
    ]
    assert headings[0].split()[1] == str(CORE)
