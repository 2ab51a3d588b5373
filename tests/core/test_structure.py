"""The structure of the house: nothing is imported in a circle, neither module by module nor room by room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from source_trees import CORE, ROOT, imports, plugin_packages, trees

PACKAGES = (CORE, *plugin_packages())


def arrows() -> dict[str, set[str]]:
    """Return module -> the modules of this repository it imports, wherever and whatever for."""
    found = {
        ".".join((package.name, *path.relative_to(package.relative_to(ROOT)).with_suffix("").parts)): tree
        for package in PACKAGES
        for path, tree in trees(package)
    }
    modules = {name.removesuffix(".__init__"): tree for name, tree in found.items()}
    return {
        name: {
            target
            for _, full in imports(tree)
            for target in (full, full.rpartition(".")[0])
            if target in modules and target != name
        }
        for name, tree in modules.items()
    }


def room(module: str) -> str:
    """Return the room of a module: a folder or a file of the core, or a whole plugin."""
    package, *rest = module.split(".")
    return ".".join((package, *rest[:1])) if package == CORE.name else package


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the members of a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("place", [str, room], ids=["modules", "rooms"])
def test_nothing_is_imported_in_a_circle(place: Callable[[str], str]) -> None:
    graph: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        # The package itself is its version, which every floor may tell.
        others = {place(target) for target in targets} - {place(module), CORE.name}
        graph.setdefault(place(module), set()).update(others)
    assert sum(map(len, graph.values())) > 100
    assert circle(graph) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == ["a", "c", "b", "a"]
