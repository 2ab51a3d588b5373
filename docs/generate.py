"""Generate docs/reference/ from the code, and the overviews of all claims and all speeds from the pages they sum up.

python docs/generate.py           write the pages that differ, delete those of hooks and parts that are gone
python docs/generate.py --check   write and delete nothing; exit 1 and name these pages

The parts are those of this repository, installed or not: the entry points in the root's, the plugins' and the
contributed distributions' pyproject.toml. What else is installed on the machine does not matter.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from overviews import claimed, claims, compared, speeds
from overviews.reading import OverviewError
from prodmatch_core.plugins import PluginState, add_plugin, new_manager
from prodmatch_core.registry import Registry
from reference_pages import combinations, commands, files, hooks, parts, rooms

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def repository_registry(root: Path = ROOT) -> Registry:
    """Return a registry of the parts of all distributions of the repository at `root`."""
    manager, states = new_manager(), []
    projects = [
        file for top in ("plugins", "contrib") for file in sorted(root.glob(f"{top}/*/pyproject.toml"))
    ]
    for file in [root / "pyproject.toml", *projects]:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        source = str(file.parent / "src")
        if source not in sys.path:
            sys.path.insert(0, source)
        for name, module in project.get("entry-points", {}).get("prodmatch", {}).items():
            state = PluginState(name, project["name"], project["version"], module)
            states.append(state)
            try:
                loaded = importlib.import_module(module)
            except Exception as error:  # told with the others' problems by `main`
                state.fail(f"{state.key}: import of {module} failed: {type(error).__name__}: {error}", error)
            else:
                add_plugin(manager, loaded, state)
    return Registry(manager, states)


def pages(registry: Registry) -> dict[str, str]:
    """Return the pages: path below docs/ -> Markdown.

    Raises:
        OverviewError: a page no longer says what an overview reads in it.
    """
    reference = {
        "hooks.md": hooks.index(),
        "parts.md": parts.index(registry),
        "pipeline-file.md": files.pipeline_page(),
        "cli.md": commands.cli_page(registry),
        "conformance.md": files.conformance_page(),
        "combinations.md": combinations.page(registry),
        "rooms.md": rooms.page(ROOT),
    }
    for name, hook in hooks.hook_functions():
        reference[f"hooks/{name}.md"] = hooks.page(name, hook)
    for name, specs in parts.by_name(registry).items():
        reference[f"parts/{parts.file_name(name)}"] = parts.page(name, specs, registry)
    made = {f"reference/{path}": lines for path, lines in reference.items()}
    made["explanation/evidence/README.md"] = claims.page(claimed.CLAIMS)
    made["explanation/benchmarks.md"] = speeds.page(compared.SPEEDS)
    return {path: "\n".join(lines).rstrip() + "\n" for path, lines in made.items()}


def left_over(made: Iterable[str]) -> list[Path]:
    """Return the pages of hooks and parts that are no longer made: what they were about is gone."""
    there = (path for folder in ("hooks", "parts") for path in (REFERENCE / folder).glob("*.md"))
    return sorted(set(there) - {REFERENCE.parent / path for path in made})


def main(arguments: Sequence[str]) -> int:
    """Write or check the pages; return the exit code."""
    registry = repository_registry()
    if problems := registry.problems():
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    try:
        check, made = "--check" in arguments, pages(registry)
    except OverviewError as error:
        print(error, file=sys.stderr)
        return 1
    docs = REFERENCE.parent
    stale = [docs / name for name, text in made.items() if _read(docs / name) != text]
    gone = left_over(made)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'differs; run python docs/generate.py' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path.relative_to(docs).as_posix()], encoding="utf-8", newline="\n")
    for path in gone:
        print(f"{path.relative_to(ROOT)}: {'left over; run python docs/generate.py' if check else 'deleted'}")
        if not check:
            path.unlink()  # in a folder of generated pages only, and git has it
    return 1 if check and (stale or gone) else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
