"""Wheels of this repository, built once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from environments import Environment, build_wheel, lay_out_wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """Return the wheels of the core, two plugins and the third-party example."""
    folder = tmp_path_factory.mktemp("wheels")
    projects = {
        "prodmatch-core": repository,
        "prodmatch-baselines": repository / "plugins" / "prodmatch-baselines",
        "prodmatch-uncertainty": repository / "plugins" / "prodmatch-uncertainty",
        "prodmatch-example": repository / "contrib" / "prodmatch-example",
    }
    return {name: build_wheel(project, folder) for name, project in projects.items()}


@pytest.fixture(scope="session")
def core_site(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Path:
    """Return a folder that holds the core as installed, shared by environments that do not change it."""
    return lay_out_wheel(wheels["prodmatch-core"], tmp_path_factory.mktemp("core"))


@pytest.fixture
def author(tmp_path: Path, core_site: Path) -> Callable[[], Environment]:
    """Return a function that makes an environment of a plugin's author: the core, and nothing else of ours."""
    return lambda: Environment.create(tmp_path / "venv", core_site)
