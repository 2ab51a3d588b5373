"""The page that shows how the code is built: its rooms from the ground up, and what each stands on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from reference_pages.markdown import head, table

CORE = "prodmatch_core"


def page(root: Path) -> Iterator[str]:
    """Yield the lines of the page for the repository at `root`."""
    ideas, stands_on = _rooms(root / CORE)
    yield from head("The rooms of the code")
    yield "A room is a folder or a file of `prodmatch_core`. It imports rooms of lower floors only; within a room no"
    yield "module imports itself by way of another. A test holds both, for plugins too, which import the core alone."
    rows = [
        [str(floor), f"`{room}`", ideas[room], ", ".join(f"`{other}`" for other in sorted(stands_on[room]))]
        for floor, room in _floors(stands_on)
    ]
    yield from ("", *table(["floor", "room", "idea", "imports"], rows), "")
    yield "The plugins are packages of their own, below `plugins/` and `contrib/`:"
    yield ""
    for package in sorted(root.glob("[pc]*/*/src/prodmatch_*/__init__.py")):
        yield f"- `{package.parent.name}`: {_idea(package)}"


def _rooms(core: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Return the idea of each room, and the rooms it imports, whatever for."""
    ideas, stands_on = dict[str, str](), dict[str, set[str]]()
    for path in sorted(core.rglob("*.py")):
        room = path.relative_to(core).parts[0].removesuffix(".py")
        if room.startswith("__"):  # the package itself is its version
            continue
        if path.parent == core or path == core / room / "__init__.py":
            ideas[room] = _idea(path)
        others = {
            parts[1]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in _imported(node)
            if (parts := name.split("."))[0] == CORE and len(parts) > 1
        }
        stands_on.setdefault(room, set()).update(others - {room})
    return ideas, {room: others & stands_on.keys() for room, others in stands_on.items()}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _floors(stands_on: Mapping[str, set[str]]) -> list[tuple[int, str]]:
    """Return (floor, room) from the ground up; a room stands one floor above the highest it imports."""
    floor = dict[str, int]()
    for room in TopologicalSorter(stands_on).static_order():
        floor[room] = 1 + max((floor[other] for other in stands_on[room]), default=0)
    return sorted((number, room) for room, number in floor.items())


def _idea(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())
