"""What the registry can say of a part to a reader: its fields, with bounds and defaults, and its place among
the other parts. `prodmatch plugins show` prints it and the reference is generated from it. Loads no part.
"""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import attrs

from prodmatch_core.config import to_toml
from prodmatch_core.fields import expectation, field_docs
from prodmatch_core.records import CAPABILITIES, MeasureSpec, NoConfig, Part, Spec
from prodmatch_core.structure import unstructure

REQUIRED = "required"
"Shown in place of a default where a field has none."


@attrs.frozen
class FieldDoc:
    """One field of a configuration class, in words."""

    name: str
    type: str
    default: str
    "As a pipeline file would write it; empty where leaving the field out is a value of its own."
    bounds: str
    "What is accepted beyond the type, or empty."
    doc: str


def fields_of(config: type) -> Iterator[FieldDoc]:
    """Yield the fields of a configuration class in order."""
    docs = field_docs(config)
    for field in attrs.fields(config):
        kind = field.metadata.get("kind")
        bounds = expectation(field.validator)
        yield FieldDoc(
            field.name,
            f"{kind} part" if kind else _type_text(field.type),
            _default_text(field),
            bounds,
            docs.get(field.name, ""),
        )


def all_fields_of(config: type) -> Iterator[FieldDoc]:
    """Yield the fields of a configuration class, each table followed by its own: `columns`, `columns.query`, ..."""
    kinds = typing.get_type_hints(config)
    for field in fields_of(config):
        yield field
        kind = kinds[field.name]
        if isinstance(kind, type) and attrs.has(kind) and kind is not Part:
            for inner in all_fields_of(kind):
                yield attrs.evolve(inner, name=f"{field.name}.{inner.name}")


def capabilities_text(spec: Spec, which: str) -> list[str]:
    """Return `name: what it is` of every capability a part `needs` or `gives`, by default."""
    value = getattr(spec, which)
    if not callable(value):
        return [f"{name}: {CAPABILITIES[name]}" for name in sorted(value)]
    try:
        default = value(spec.config())
    except TypeError:  # a field without default
        return ["depends on its settings"]
    return [f"{name}: {CAPABILITIES[name]} (by default; depends on its settings)" for name in sorted(default)]


def described(spec: Spec) -> dict[str, Any]:
    """Return everything a record says, as plain JSON values."""
    return {
        "kind": spec.kind,
        "name": spec.name,
        "summary": spec.summary,
        "paper": spec.paper,
        "factory": spec.factory,
        "doc": "" if spec.config is NoConfig else _own_doc(spec.config),
        "needs": capabilities_text(spec, "needs"),
        "gives": capabilities_text(spec, "gives"),
        **({"direction": direction} if (direction := getattr(spec, "direction", "")) else {}),
        **({"family": f"k is any whole number from 1: {spec.at(10).name}"} if _is_family(spec) else {}),
        **({"bounds": bounds} if (bounds := _bounds_text(spec)) else {}),
        "example": example_of(spec),
        "exempt": [f"{check}: {reason}" for check, reason in spec.exempt.items()],
        "fields": [attrs.asdict(field) for field in all_fields_of(spec.config)],
    }


def defined(dotted: str) -> str:
    """Return `file:line` of what `package.module:name` names, found without importing it; empty where it is not."""
    import ast
    from importlib.machinery import PathFinder

    module, _, name = dotted.partition(":")
    steps = module.split(".")
    places: Sequence[str] | None = None  # sys.path
    file = ""
    for depth in range(len(steps)):
        # Unlike importlib.util.find_spec, this does not import the packages on the way.
        spec = PathFinder.find_spec(".".join(steps[: depth + 1]), places)
        if spec is None:
            return ""
        places, file = spec.submodule_search_locations, spec.origin or ""
    if not file.endswith(".py"):
        return ""
    with open(file, encoding="utf-8") as stream:
        body = ast.parse(stream.read()).body
    lines = [
        node.lineno
        for node in body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name
    ]
    return f"{file}:{lines[-1]}" if lines else file


PLACES: Mapping[str, str] = {
    "encoder": "[member.encoder]",
    "negative-generator": "[member.negatives]",
    "loss": "[[member.loss]]",
    "graph-sampler": "[member.sampler]",
    "aggregator": "[aggregator]",
    "calibrator": "[[calibrator]]",
    "dataset": "[data]",
}
"Kind -> the table of a pipeline file that names such a part."


def example_of(spec: Spec) -> str:
    """Return the record's example as the table of a pipeline file, empty for commands, which none names."""
    if isinstance(spec, MeasureSpec):
        name = spec.at(10).name if spec.family else spec.name
        return to_toml({"evaluation": {"measures": [name]}}).strip()
    if spec.kind not in PLACES:
        return ""
    place = PLACES[spec.kind].strip("[]")
    table: Any = {"use": spec.name, **spec.example}
    for step in reversed(place.split(".")):
        table = {step: table}
    text = to_toml(table)
    return text[text.index(f"[{place}]") :].replace(f"[{place}]", PLACES[spec.kind], 1).strip()


def _bounds_text(spec: Spec) -> str:
    if not isinstance(spec, MeasureSpec) or spec.bounds is None:
        return ""
    low, high = ("infinity" if math.isinf(end) else f"{end:g}" for end in spec.bounds)
    return f"from {low} to {high}"


def _is_family(spec: Spec) -> TypeGuard[MeasureSpec]:
    return isinstance(spec, MeasureSpec) and spec.family


def _own_doc(config: type) -> str:
    """Return what a configuration class says beyond its first line, which the record's summary repeats."""
    doc = inspect.getdoc(config) or ""
    return "" if doc.startswith("Method generated by attrs") else doc.partition("\n")[2].strip()


def _type_text(kind: Any) -> str:
    """Return a type as a config class writes it, whether or not attrs has resolved it since."""
    if kind is None:
        return ""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return re.sub(r"(?<![\w.'\"])(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", str(kind))


def _default_text(field: attrs.Attribute) -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return REQUIRED
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.takes_self:
            return ""
        default = default.factory()
    if default is None or isinstance(default, Part):
        return ""
    plain = unstructure(default)
    if isinstance(plain, dict) or (isinstance(plain, list) and any(isinstance(item, dict) for item in plain)):
        return ""  # tables of their own, with their own fields and defaults
    return to_toml({"x": plain}).removeprefix("x = ").strip()
