"""Wheels of this repository, built once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distributions import distributions
from environments import Environment, build_wheels, lay_out_wheel, name_of


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """Return the wheels of all distributions of the repository: the core, the plugins, what is contributed."""
    projects = [repository, *distributions(repository)]
    built = build_wheels(projects, tmp_path_factory.mktemp("wheels"))
    return {name_of(project): wheel for project, wheel in zip(projects, built, strict=True)}


@pytest.fixture(scope="session")
def core_site(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Path:
    """Return a folder that holds the core as installed, shared by environments that do not change it."""
    return lay_out_wheel(wheels["prodmatch-core"], tmp_path_factory.mktemp("core"))


@pytest.fixture
def author(tmp_path: Path, core_site: Path) -> Callable[[], Environment]:
    """Return a function that makes an environment of a plugin's author: the core, and nothing else of ours."""
    return lambda: Environment.create(tmp_path / "venv", core_site)
