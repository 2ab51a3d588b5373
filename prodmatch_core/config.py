"""The pipeline file: TOML -> attrs tree, with overrides, every problem at once, and the resolved file.

Nothing heavy is imported here: reading and validating a pipeline loads no torch and no plugin's modules
beyond the ones that hold its records.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core import fit
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.errors import ConfigError, Problem
from prodmatch_core.fields import (
    Expected,
    at_least,
    non_negative,
    one_of,
    part,
    positive,
    show,
    unit_interval,
)
from prodmatch_core.records import Part
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.structure import Structurer, unstructure

TASKS = ("match",)
"The tasks a pipeline may name; `tasks.base` says what a task is."

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_identifier = Expected(
    "a short name of letters, digits, - and _",
    lambda v: isinstance(v, str) and re.fullmatch(_NAME, v) is not None,
)
_identifier_or_none = Expected(_identifier.text, lambda v: v == "" or _identifier.test(v))


def _section(kind: str) -> Any:
    """Declare the part of a section: `use` and every key that is not a field of the section go to it."""
    return attrs.field(metadata={"kind": kind, "rest": True})


@attrs.frozen
class PipelineSection:
    """`[pipeline]`: what is run."""

    name: str = attrs.field(validator=_identifier)
    "Name of the run; the run directory is called after it."
    task: str = attrs.field(default="match", validator=one_of(*TASKS))
    "What an example, a head and a prediction are."
    seed: int = attrs.field(default=0, validator=non_negative)
    "Every random number of the run derives from it."


@attrs.frozen
class DataSection:
    """`[data]`: where the examples come from."""

    part: Part = _section("dataset")
    positive: tuple[str, ...] = ()
    "Labels that count as a match; empty: the label scheme's own."
    split: SplitConfig = attrs.field(factory=SplitConfig)
    "How to split a data set that comes without splits."


@attrs.frozen
class LossEntry:
    """`[[member.loss]]`: one term of a member's loss."""

    part: Part = _section("loss")
    weight: float = attrs.field(default=1.0, validator=non_negative)
    "Factor of this term in the sum."


@attrs.frozen
class Phase:
    """`[[member.training.phase]]`: a stretch of training; what it leaves out is as in `[member.training]`."""

    name: str = attrs.field(default="main", validator=_identifier)
    "Shown in the log."
    epochs: int | None = attrs.field(default=None, validator=attrs.validators.optional(at_least(1)))
    "Passes over the training examples."
    learning_rate: float | None = attrs.field(default=None, validator=attrs.validators.optional(positive))
    "Peak step size of the phase."
    freeze: tuple[str, ...] = ()
    "Sub-modules that keep their weights in this phase, e.g. `encoder`."


@attrs.frozen
class Training:
    """`[member.training]`: how a member is fitted."""

    batch_size: int = attrs.field(default=64, validator=at_least(1))
    "Examples a step over all processes, before negatives are added."
    epochs: int = attrs.field(default=5, validator=at_least(1))
    "Passes over the training examples."
    learning_rate: float = attrs.field(default=1e-3, validator=positive)
    "Peak step size of AdamW."
    weight_decay: float = attrs.field(default=0.01, validator=non_negative)
    "Decoupled weight decay; biases, norms and embeddings are spared."
    warmup: float = attrs.field(default=0.1, validator=unit_interval)
    "Share of steps in which the step size rises from 0 to its peak."
    decay: str = attrs.field(default="linear", validator=one_of("linear", "cosine", "constant"))
    "How the step size falls to 0 afterwards."
    clip: float = attrs.field(default=1.0, validator=non_negative)
    "Largest norm of the gradient; 0 does not clip."
    precision: str = attrs.field(default="fp32", validator=one_of("fp32", "bf16"))
    "Number format of the forward and backward passes; losses are always fp32."
    patience: int = attrs.field(default=2, validator=at_least(0))
    "Epochs without a better validation measure before training stops; 0 never stops early."
    measure: str = ""
    "Validation measure that picks the best epoch; empty: the task's headline measure."
    phase: tuple[Phase, ...] = (Phase(),)
    "Phases in order; without any, one that takes all settings from above."


@attrs.frozen
class Member:
    """`[[member]]`: one model of the pipeline."""

    encoder: Part = part("encoder")
    "Turns queries and products into vectors, or fits itself."
    name: str = attrs.field(default="", validator=_identifier_or_none)
    "Name in tables and folders; empty: the encoder's part name."
    loss: tuple[LossEntry, ...] = ()
    "Terms of the loss; empty: the task's default. A part that fits itself takes none."
    negatives: Part | None = part("negative-generator", default=None)
    "Adds training examples that do not match."
    sampler: Part | None = part("graph-sampler", default=None)
    "Picks the neighbourhoods a graph encoder reads."
    training: Training = attrs.field(factory=Training)
    "How it is fitted."


@attrs.frozen
class Evaluation:
    """`[evaluation]`: what is measured on the test split, and how surely."""

    measures: tuple[str, ...] = ()
    "Measures beside the task's own; `prodmatch plugins` lists them."
    baselines: tuple[str, ...] = ("core.overlap",)
    "Encoders that fit themselves, measured beside every run with their default fields."
    replicates: int = attrs.field(default=1000, validator=at_least(100))
    "Bootstrap resamples of the queries."
    level: float = attrs.field(default=0.95, validator=unit_interval)
    "Coverage of the intervals."
    mistakes: int = attrs.field(default=20, validator=at_least(0))
    "How many of the most confident mistakes the report shows."


@attrs.frozen
class AggregatorSection:
    """`[aggregator]`: how the members' predictions become one."""

    part: Part = _section("aggregator")


@attrs.frozen
class CalibratorSection:
    """`[[calibrator]]`: one step that makes probabilities honest or decisions precise; steps run in order."""

    part: Part = _section("calibrator")


@attrs.frozen
class Pipeline:
    """A whole pipeline file, checked."""

    pipeline: PipelineSection
    data: DataSection
    member: tuple[Member, ...] = attrs.field()
    aggregator: AggregatorSection | None = None
    calibrator: tuple[CalibratorSection, ...] = ()
    evaluation: Evaluation = attrs.field(factory=Evaluation)

    @member.validator
    def _some_members(self, attribute: attrs.Attribute, value: Sequence[Member]) -> None:
        if not value:
            raise ValueError("expected at least one [[member]]")


@attrs.frozen
class _DataFile:
    data: DataSection


def load_pipeline(
    source: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    registry: Registry | None = None,
) -> Pipeline:
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
    pipeline = Structurer(registry).structure(tree, Pipeline, name)
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


def apply_override(tree: dict[str, Any], text: str) -> None:
    """Set one value in `tree` in place: `member.0.training.epochs=3`.

    The value is TOML; a value that is not valid TOML is taken as text, so quotes may be left out in a shell.

    Raises:
        ConfigError: the setting has no `=`, or its path leads through something that is no table or list.
    """
    path, sign, raw = text.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"--set {text}: expected path=value, like member.0.training.epochs=3")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    steps = re.sub(r"\[(\d+)\]", r".\1", path.strip()).split(".")
    node: Any = tree
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        where = ".".join(steps[:position])
        key: str | int = step
        if isinstance(node, list):
            if not step.isdigit():
                example = ".".join([where, "0", *steps[position:]])
                raise ConfigError(f"--set {text}: {where} is a list; name the entry, like {example}")
            key = int(step)
            if key > len(node):
                raise ConfigError(
                    f"--set {text}: {where} has {len(node)} entries; the next one is {where}.{len(node)}"
                )
            if key == len(node):
                node.append({})
        elif not isinstance(node, dict):
            raise ConfigError(f"--set {text}: {where} is {show(node)}, not a table")
        elif step.isdigit() and not last and step not in node:
            if int(step) == 0:  # `[calibrator]` stands for a list of one; entry 0 is the table itself
                continue
            raise ConfigError(
                f"--set {text}: {where} is one table; write [[{where}]] in the file to add another"
            )
        if last:
            node[key] = value
        else:
            if isinstance(node, dict) and key not in node:
                node[key] = [] if steps[position + 1].isdigit() else {}
            node = node[key]


def name_members(pipeline: Pipeline) -> Pipeline:
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


def resolved(pipeline: Pipeline) -> dict[str, Any]:
    """Return the pipeline as plain tables with every default written out; `load_pipeline` reads it back."""
    return unstructure(pipeline)


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
