"""The pipeline file: TOML -> attrs tree, with overrides, every problem at once, and the resolved file.

Nothing heavy is imported here: reading and validating a pipeline loads no torch and no plugin's modules
beyond the ones that hold its records.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core import fit
from prodmatch_core.errors import ConfigError, Problem
from prodmatch_core.fields import show
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.sections import DataSection, PipelineFile
from prodmatch_core.structure import Structurer, unstructure

SEEDS = ("pipeline.seed", "data.seed", "data.split.seed")
"Settings that are seeds of a whole run: runs that differ in nothing else are repetitions of one arm."


@attrs.frozen
class _DataFile:
    data: DataSection


def load_pipeline(
    source: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    registry: Registry | None = None,
) -> PipelineFile:
    """Read, complete and check a pipeline.

    Args:
        source: path of a TOML file, or its content as a mapping.
        overrides: `path=value` settings, e.g. `member.0.loss.0.weight=0.5`; values are TOML.
        registry: the parts there are; the installed plugins' by default.

    Raises:
        ConfigError: everything that is wrong, each with its path in the file.
    """
    registry = registry or default_registry()
    name = "pipeline" if isinstance(source, Mapping) else str(source)
    tree: Any = _deep_copy(source) if isinstance(source, Mapping) else read_toml(Path(source))
    apply_overrides(tree, overrides)
    pipeline = Structurer(registry).structure(tree, PipelineFile, name)
    pipeline = name_members(pipeline)
    found = list(fit.check(pipeline, registry))
    if found:
        raise ConfigError(found, name)
    return pipeline


def load_data(source: str, overrides: Iterable[str] = (), registry: Registry | None = None) -> DataSection:
    """Return a `[data]` section outside a pipeline: a data set's name, or a TOML file that holds the section.

    Args:
        source: name of a data set, e.g. `shop.synthetic`, or path of a file that ends in `.toml`.
        overrides: `path=value` below the section, e.g. `size=2000`; a leading `data.` is accepted.
        registry: the parts there are; the installed plugins' by default.

    Raises:
        ConfigError: as `load_pipeline`.
    """
    tree = read_toml(Path(source)) if source.endswith(".toml") else {"data": {"use": source}}
    data = {"data": tree["data"]} if "data" in tree else {}
    if isinstance(data.get("data"), dict):
        apply_overrides(data["data"], [text.removeprefix("data.") for text in overrides])
    return Structurer(registry or default_registry()).structure(data, _DataFile, source).data


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: the file is missing, not UTF-8, or not TOML; the message names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; name a pipeline file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:  # the name holds a null character
        raise ConfigError(f"{str(path)!r}: is no name a file can have; name a pipeline file") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set values in `tree` in place, in the order given.

    Raises:
        ConfigError: every setting that cannot be applied.
    """
    found: list[Problem] = []
    for text in overrides:
        try:
            apply_override(tree, text)
        except ConfigError as error:
            found += error.problems
    if found:
        raise ConfigError(found)


def apply_override(tree: dict[str, Any], text: str, option: str = "--set") -> None:
    """Set one value in `tree` in place: `member.0.training.epochs=3`.

    The value is TOML; a value that is not valid TOML is taken as text, so quotes may be left out in a shell. Errors
    name the `option` it was given with.

    Raises:
        ConfigError: the setting has no `=`, or its path leads through something that is no table or list.
    """
    path, sign, raw = text.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"{option} {text}: expected path=value, like member.0.training.epochs=3")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    steps = steps_of(path)
    node: Any = tree
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        where = ".".join(steps[:position])
        key: str | int = step
        if isinstance(node, list):
            if not _is_index(step):
                example = ".".join([where, "0", *steps[position:]])
                raise ConfigError(f"{option} {text}: {where} is a list; name the entry, like {example}")
            key = int(step)
            if key > len(node):
                raise ConfigError(
                    f"{option} {text}: {where} has {len(node)} entries; the next one is {where}.{len(node)}"
                )
            if key == len(node):
                node.append({})
        elif not isinstance(node, dict):
            raise ConfigError(f"{option} {text}: {where} is {show(node)}, not a table")
        elif _is_index(step) and not last and step not in node:
            if int(step) == 0:  # `[calibrator]` stands for a list of one; entry 0 is the table itself
                continue
            raise ConfigError(
                f"{option} {text}: {where} is one table; write [[{where}]] in the file to add another"
            )
        if last:
            node[key] = value
        else:
            if isinstance(node, dict) and key not in node:
                node[key] = [] if _is_index(steps[position + 1]) else {}
            node = node[key]


def steps_of(path: str) -> list[str]:
    """Return the steps of a setting's path: `member[0].loss.0.use` and `member.0.loss.0.use` are the same."""
    return re.sub(r"\[(\d+)\]", r".\1", path.strip()).split(".")


def _is_index(step: str) -> bool:
    """Tell whether a step of a path numbers an entry; a superscript is a digit to Python, and no number."""
    return step.isascii() and step.isdecimal()


def name_members(pipeline: PipelineFile) -> PipelineFile:
    """Give every unnamed member the name of its encoder's part, numbered where that repeats."""
    taken = {member.name for member in pipeline.member}
    members = []
    for member in pipeline.member:
        if not member.name:
            name = stem = member.encoder.name.rpartition(".")[2]
            number = 2
            while name in taken:
                name, number = f"{stem}-{number}", number + 1
            taken.add(name)
            member = attrs.evolve(member, name=name)
        members.append(member)
    return attrs.evolve(pipeline, member=tuple(members))


def resolved(pipeline: PipelineFile) -> dict[str, Any]:
    """Return the pipeline as plain tables with every default written out; `load_pipeline` reads it back."""
    return unstructure(pipeline)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as path -> value: `member.0.loss.0.use`. A list of anything but tables is a value."""
    items: Any = None
    if isinstance(tree, Mapping):
        items = tree.items()
    elif _is_tables(tree) and tree:
        items = enumerate(tree)
    if items is None:
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def of_arm(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved pipeline's settings, path -> value, without those in which runs of one arm may differ."""
    return {path: value for path, value in settings.items() if path not in (*SEEDS, "pipeline.name")}


def to_toml(tree: Mapping[str, Any]) -> str:
    """Write plain tables as TOML text; tables inside a list of tables become `[[...]]` sections."""
    return "\n".join(_toml(tree, "")).strip() + "\n"


def _toml(tree: Mapping[str, Any], prefix: str) -> Iterator[str]:
    nested = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) or (_is_tables(value) and value):
            nested[key] = value
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in nested.items():
        path = f"{prefix}{_key(key)}"
        if isinstance(value, Mapping):
            yield from ("", f"[{path}]", *_toml(value, f"{path}."))
        else:
            for item in value:
                yield from ("", f"[[{path}]]", *_toml(item, f"{path}."))


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    import json

    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    # A JSON text is a TOML basic string; TOML wants the one control character JSON leaves alone escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep_copy(item) for item in value]
    return value
