"""What plugins may rely on: the starters and the third-party example import nothing else of the core."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from prodmatch_core.records import PART_KINDS
from prodmatch_core.scaffold import NewPlugin, create
from source_trees import ROOT, imports

PAGE = ROOT / "docs" / "how-to" / "publish-a-plugin.md"
IN_PARTS = {"hookimpl", "records", "components", "data", "graph", "evaluation", "rundir", "fields", "errors"}
IN_TESTS = {"testing", "registry", "config", "runner", "cli"}


def of_the_core(file: Path) -> set[str]:
    """Return the modules of the core that a file imports, by the first word after `prodmatch_core`."""
    names = (name for _, name in imports(ast.parse(file.read_text(encoding="utf-8"))))
    return {name.split(".")[1] for name in names if name.startswith("prodmatch_core.")}


def beyond(folder: Path) -> list[str]:
    """Return what the files of a plugin import beyond the published interface."""
    return [
        f"{file.relative_to(folder)}: {name}"
        for top, allowed in (("src", IN_PARTS), ("tests", IN_PARTS | IN_TESTS))
        for file in sorted((folder / top).rglob("*.py"))
        for name in sorted(of_the_core(file) - allowed)
    ]


def test_the_page_on_publishing_names_what_is_published() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:prodmatch_core/)?([a-z]+)/?`", page))
    assert (IN_PARTS | IN_TESTS) - {"hookimpl"} <= named


@pytest.mark.parametrize("kind", PART_KINDS)
def test_a_new_plugin_imports_the_published_interface_alone(kind: str, tmp_path: Path) -> None:
    create(NewPlugin("acme", kind), tmp_path)
    assert beyond(tmp_path / "acme") == []


def test_the_third_partys_example_imports_the_published_interface_alone() -> None:
    example = ROOT / "contrib" / "prodmatch-example"
    assert "components" in of_the_core(example / "src" / "prodmatch_example" / "maxsim.py")
    assert beyond(example) == []
