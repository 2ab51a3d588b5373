"""What a new plugin's files are like, whatever it is called."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import prodmatch_core
from prodmatch_core.records import PART_KINDS
from prodmatch_core.scaffold import TEMPLATES, NewPlugin, core_range, create

NAMES = ("a", "acme-products-of-some-ranker")
"A short name and one of the longest: lines must fit with both."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds, for every kind, plugins with both names and one named after the kind."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind in PART_KINDS:
        for name in (*NAMES, f"my-{kind}"):
            create(NewPlugin(name, kind), folder / kind)
    return folder


def ruff(made: Path, repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            *words,
            "--no-cache",
            "--config",
            str(repository / "pyproject.toml"),
            ".",
        ],
        cwd=made,
        capture_output=True,
        text=True,
    )


def test_new_plugins_are_linted_as_this_repository_is(made: Path, repository: Path) -> None:
    # Folders in the configuration are relative to where ruff is called.
    done = ruff(
        made,
        repository,
        "check",
        "--config",
        f'src = ["{repository}"]',
        "--per-file-ignores",
        "**/tests/**:D1",
    )
    assert done.returncode == 0, done.stdout


def test_new_plugins_are_formatted_as_this_repository_is(made: Path, repository: Path) -> None:
    done = ruff(made, repository, "format", "--check")
    assert done.returncode == 0, done.stdout


def test_new_plugins_pass_the_linter_on_their_own_settings(made: Path) -> None:
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
            cwd=made,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_new_plugins_are_typed_as_this_repository_is(made: Path, repository: Path) -> None:
    files = [
        str(file)
        for kind in PART_KINDS
        for file in sorted((made / kind / f"my-{kind}" / "src").rglob("*.py"))
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *files], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", PART_KINDS)
def test_distribution_names_its_plugin_and_the_range_of_cores(made: Path, kind: str) -> None:
    project = tomllib.loads((made / kind / f"my-{kind}" / "pyproject.toml").read_text())["project"]
    package = f"prodmatch_my_{kind.replace('-', '_')}"
    assert project["entry-points"]["prodmatch"] == {package.removeprefix("prodmatch_"): f"{package}.plugin"}
    assert core_range() in project["dependencies"]
    assert project["dependencies"] == sorted(project["dependencies"])


def test_every_template_is_used_by_some_kind() -> None:
    kinds = {path.name for path in TEMPLATES.iterdir()}
    assert kinds == {"common", *PART_KINDS}
    assert [f for f in TEMPLATES.rglob("*") if f.is_file() and f.suffix != ".in"] == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", "prodmatch-core>=0.1,<0.2"),
        ("0.9.3", "prodmatch-core>=0.9,<0.10"),
        ("1.4.0", "prodmatch-core>=1.4,<2"),
        ("2.0rc1", "prodmatch-core>=2.0,<3"),
        (prodmatch_core.UNINSTALLED, "prodmatch-core"),
    ],
)
def test_range_of_cores_ends_where_a_version_may_break_plugins(version: str, expected: str) -> None:
    assert core_range(version) == expected
