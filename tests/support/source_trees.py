"""Source files of this repository as syntax trees, for tests that hold a law over all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "prodmatch_core"


def plugin_packages() -> list[Path]:
    """Return the packages of the repository's plugins and integrations."""
    return sorted(
        path for folder in ("plugins", "contrib") for path in ROOT.glob(f"{folder}/*/src/prodmatch_*")
    )


def trees(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Yield (path in the repository, syntax tree) of every Python file under `folder`."""
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def product_trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield the trees of the core and of all plugins, without tests and benchmarks."""
    for folder in (CORE, *plugin_packages()):
        yield from trees(folder)


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted module) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call with the dotted name of what is called, imported names written in full."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                full[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            full |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, dot, rest = ast.unparse(node.func).partition(".")
            yield node, full.get(head, head) + dot + rest
