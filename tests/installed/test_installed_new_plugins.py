"""The quarter of an hour, replayed for every kind of part: generate, install, test, run, and look."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from environments import Environment
from prodmatch_core.records import PART_KINDS
from prodmatch_core.scaffold import NewPlugin

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", PART_KINDS)
def test_a_new_plugin_installs_passes_its_tests_and_runs(
    kind: str, tmp_path: Path, author: Callable[[], Environment]
) -> None:
    here = author()
    here.run(f"prodmatch new-plugin acme-reranker --kind {kind}", tmp_path)
    plugin, folder = NewPlugin("acme-reranker", kind), tmp_path / "acme-reranker"
    here.run('pip install -q -e ".[test]"', folder)
    assert " passed" in here.run("pytest", folder)
    for command in plugin.words["try_it"].split("\n    "):
        here.run(command, folder)
    provenance = json.loads((folder / "runs" / "acme-reranker" / "provenance.json").read_text())
    assert provenance["distributions"]["prodmatch-acme-reranker"] == "0.1.0"
    assert (
        f'"{plugin.part}"' in (folder / "runs" / "acme-reranker" / "resolved.toml").read_text()
        or kind == "command"
    )
