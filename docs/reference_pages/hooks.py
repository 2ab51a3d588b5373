"""The page of each hook, and the page that lists them with what all records share."""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prodmatch_core import hookspecs, records
from prodmatch_core.partdocs import fields_of
from prodmatch_core.plugins import RECORD_HOOKS
from prodmatch_core.scaffold import STARTERS, NewPlugin, create
from reference_pages.markdown import attributes, code, head, paragraphs, prose, signature, summary, table


def hook_functions() -> list[tuple[str, object]]:
    """Return (name, function) of every hook specification, in the order of the file."""
    return [(name, value) for name, value in vars(hookspecs).items() if name.startswith("prodmatch_")]


def index() -> Iterator[str]:
    """Yield the lines of the page that lists the hooks, the fields of every record, and the capabilities."""
    yield from (*head("Hooks"), paragraphs(hookspecs.__doc__), "")
    rows = [
        [
            f"[`{name}`](hooks/{name}.md)",
            f"`{RECORD_HOOKS[name]}`" if name in RECORD_HOOKS else "",
            summary(hook),
        ]
        for name, hook in hook_functions()
    ]
    yield from (*table(["hook", "kind of part", "an implementation's task"], rows), "")
    yield from ("## Records", "", paragraphs(records.__doc__), "", "Every record has these fields:", "")
    yield from (*attributes(records.Spec), "")
    yield from _run()
    yield from ("## Capabilities", "", "The words of `needs` and `gives`.", "")
    yield from table(["capability", "meaning"], [[f"`{n}`", t] for n, t in records.CAPABILITIES.items()])


def page(name: str, hook: object) -> Iterator[str]:
    """Yield the lines of one hook's page."""
    yield from (*head(name), *code(f"def {name}{signature(hook)}", "python"), paragraphs(hook.__doc__), "")
    if kind := RECORD_HOOKS.get(name):
        yield from _of_records(kind)
    else:
        yield from _of_runs(name, hook)


def _of_records(kind: str) -> Iterator[str]:
    """Yield what a hook that returns records of a kind has to say beyond its docstring."""
    spec = records.PART_KINDS[kind]
    yield from (
        f"The parts of this kind are [listed](../parts.md#{kind}); the conformance kit has",
        f"[checks](../conformance.md#{kind}) for them.",
        "",
        "## The record",
        "",
        f"`{spec.__name__}`, kind `{kind}`: {paragraphs(spec.__doc__).partition('Attributes:')[0].strip()}",
        "",
    )
    if own := list(attributes(spec)):
        yield from ("Beside the [fields of every record](../hooks.md#records):", "", *own, "")
    else:
        yield from ("It has the [fields of every record](../hooks.md#records).", "")
    if module := re.search(r"`(components\.\w+)`", spec.__doc__ or ""):
        yield from _contract(f"prodmatch_core.{module[1]}")
    yield from (
        "## A whole plugin",
        "",
        f"What `prodmatch new-plugin acme --kind {kind}` writes, without its pipeline and tests.",
        "",
    )
    with tempfile.TemporaryDirectory() as folder:
        plugin = NewPlugin("acme", kind)
        create(plugin, Path(folder))
        for module_name in ("plugin", STARTERS[kind].module):
            path = f"src/{plugin.package}/{module_name}.py"
            text = Path(folder, plugin.name, path).read_text(encoding="utf-8")
            yield from (f"`{path}`:", "", *code(text, "python"))


def _contract(name: str) -> Iterator[str]:
    """Yield the abstract classes of a module of `components`, one of which the factory is."""
    module = importlib.import_module(name)
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == name and inspect.isabstract(value)
    ]
    yield from ("## What the factory is", "", f"A subclass of one of these, from `{name}`.", "")
    for cls in classes:
        yield from (f"### {cls.__name__}", "", *prose(cls.__doc__))
        for method, value in vars(cls).items():
            function = value.__func__ if isinstance(value, classmethod) else value
            if method.startswith("_") or not inspect.isfunction(function):
                continue
            decorator = "@classmethod\n" if function is not value else ""
            yield from code(f"{decorator}def {method}{signature(function)}", "python")
            default = "" if method in cls.__abstractmethods__ else " *Has a default.*"
            first, *rest = prose(function.__doc__)
            yield from (first + default, *rest)


def _of_runs(name: str, hook: object) -> Iterator[str]:
    """Yield what a hook that hears of runs has to say beyond its docstring."""
    names = list(inspect.signature(hook).parameters)  # type: ignore[arg-type]
    yield from (
        "An implementation takes those of the arguments that it reads, by name. One that raises is logged and left",
        "out; the run goes on. What a `Run` can be asked is [listed](../hooks.md#run).",
        "",
        *code(f"@hookimpl\ndef {name}({', '.join(names)}): ...", "python"),
    )
    if "Section" in signature(hook):
        yield from ("## Section", "", paragraphs(records.Section.__doc__), "")
        yield from (f"- `{field.name}`: {field.doc or field.type}" for field in fields_of(records.Section))


def _run() -> Iterator[str]:
    """Yield what hooks that hear of a run can ask it."""
    from prodmatch_core.rundir import Run

    yield from ("## Run", "", f"{paragraphs(Run.__doc__)} The files are [described](run-directory.md).", "")
    for attribute, value in vars(Run).items():
        function = getattr(value, "func", getattr(value, "fget", value))
        if not attribute.startswith("_") and inspect.isfunction(function):
            shown = attribute if function is not value else f"{attribute}{signature(function)}"
            yield f"- `{shown}`: {summary(function)}"
    yield ""
