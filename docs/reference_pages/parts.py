"""The page of each part, and the page that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prodmatch_core import records
from prodmatch_core.partdocs import FieldDoc, defined, described
from prodmatch_core.plugins import RECORD_HOOKS
from prodmatch_core.records import Spec
from prodmatch_core.registry import Registry
from reference_pages.markdown import code, fields_table, head, table

ROOT = Path(__file__).resolve().parents[2]
HOOKS = {kind: hook for hook, kind in RECORD_HOOKS.items()}


def file_name(part: str) -> str:
    """Return the name of the page of a part; `%` has a meaning of its own in addresses."""
    return f"{part.replace('%', '-percent')}.md"


def by_name(registry: Registry) -> dict[str, list[Spec]]:
    """Return name -> the parts of that name; two kinds may use one name."""
    found: dict[str, list[Spec]] = {}
    for kind in records.PART_KINDS:
        for spec in registry.specs(kind):
            found.setdefault(spec.name, []).append(spec)
    return found


def index(registry: Registry) -> Iterator[str]:
    """Yield the lines of the page that lists the parts, by kind and name."""
    yield from head("Parts")
    yield "Every part of the core, of the plugins and of the contributed distributions in this repository."
    yield "`prodmatch plugins show NAME` prints what its page says, for whatever is installed."
    for kind in records.PART_KINDS:
        rows = [
            [
                f"[`{spec.name}`](parts/{file_name(spec.name)})",
                spec.summary,
                registry.owner(spec).distribution,
            ]
            for spec in registry.specs(kind)
        ]
        if rows:
            yield from ("", f"## {kind}", "", f"Returned by [`{HOOKS[kind]}`](hooks/{HOOKS[kind]}.md).", "")
            yield from table(["part", "what it is", "from"], rows)


def page(name: str, specs: Iterable[Spec], registry: Registry) -> Iterator[str]:
    """Yield the lines of the page of the parts called `name`."""
    yield from head(name)
    for spec in specs:
        part = described(spec)
        yield from (part["summary"], "")
        if part["doc"]:
            yield from (part["doc"], "")
        facts = [*_facts(part), ("from", f"`{registry.owner(spec).distribution}`")]
        before = [""] + [title for title, _ in facts]
        rows = [
            ["" if title == last else title, text] for (title, text), last in zip(facts, before, strict=False)
        ]
        yield from (*table(["", ""], rows), "")
        if part["example"]:
            yield from ("In a pipeline file:", "", *code(part["example"], "toml"))
        if spec.kind == "command":
            usage = f"Its arguments and options are on the page of the [command line](../cli.md#prodmatch-{name})."
            yield from (usage, "")
        if part["fields"]:
            yield from (*fields_table(FieldDoc(**field) for field in part["fields"]), "")
        elif part["example"] and spec.kind != "measure":
            yield from ("It has no fields.", "")


def _facts(part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a record says of a part, beside its fields."""
    hook = HOOKS[part["kind"]]
    yield "kind", f"[{part['kind']}](../hooks/{hook}.md)"
    for title in ("needs", "gives"):
        for line in part[title]:
            name, colon, meaning = line.partition(": ")
            yield title, f"`{name}`: {meaning}" if colon else line
    for title in ("family", "bounds", "paper"):
        if text := part.get(title):
            yield title, text
    if direction := part.get("direction"):
        yield "better", direction
    for line in part["exempt"]:
        name, _, reason = line.partition(": ")
        yield "exempt from", f"[`{name}`](../conformance.md): {reason}"
    file = defined(part["factory"]).rpartition(":")[0]
    yield "defined in", f"`{Path(file).relative_to(ROOT).as_posix()}`, `{part['factory'].partition(':')[2]}`"
