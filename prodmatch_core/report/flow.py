"""What a drawing of a pipeline shows: a block per part, with the settings that are not at their default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from prodmatch_core.fields import show
from prodmatch_core.records import Part
from prodmatch_core.sections import Member, Phase, PipelineFile, Training


@attrs.frozen
class Row:
    """One line of a block: `loss | 0.5 × tcm.margin`."""

    label: str
    text: str
    detail: bool = False
    "A setting of the row above rather than a part of its own."

    def told(self) -> str:
        """Return the row as words."""
        return f"{self.label} {self.text}".strip()


@attrs.frozen
class Block:
    """One box of the drawing."""

    kind: str
    title: str
    rows: tuple[Row, ...] = ()


@attrs.frozen
class Flow:
    """The boxes in the order data passes them: source, members side by side, what follows one by one."""

    source: Block
    members: tuple[Block, ...]
    aggregator: Block | None
    calibrators: tuple[Block, ...]
    decisions: Block

    @property
    def after(self) -> tuple[Block, ...]:
        """Return the boxes that follow the members."""
        return (*((self.aggregator,) if self.aggregator else ()), *self.calibrators, self.decisions)

    def told(self) -> str:
        """Return the flow as a sentence, for those who cannot see it."""
        members = ", ".join(
            f"{block.title} ({', '.join(row.told() for row in block.rows if not row.detail)})"
            for block in self.members
        )
        then = ", then ".join(f"{block.kind} {block.title}" for block in self.after)
        return f"Data {self.source.title} goes to the members {members}; their predictions go to {then}."


def flow(pipeline: PipelineFile) -> Flow:
    """Return the blocks of a pipeline."""
    data = pipeline.data
    rows = list(_settings(data.part.config))
    if data.positive:
        rows.append(Row("", f"match: {', '.join(data.positive)}", detail=True))
    rows += _settings(data.split, "split.")
    many = len(pipeline.calibrator) > 1
    return Flow(
        source=Block("data", data.part.name, tuple(rows)),
        members=tuple(_member(member) for member in pipeline.member),
        aggregator=_of_part("aggregator", pipeline.aggregator.part) if pipeline.aggregator else None,
        calibrators=tuple(
            _of_part(f"calibrator {number}" if many else "calibrator", section.part)
            for number, section in enumerate(pipeline.calibrator, 1)
        ),
        decisions=Block(*pipeline.task.outcome),
    )


def _of_part(kind: str, part: Part) -> Block:
    return Block(kind, part.name, tuple(_settings(part.config)))


def _member(member: Member) -> Block:
    rows = [*_part("encoder", member.encoder)]
    if member.sampler is not None:
        rows += _part("sampler", member.sampler)
    if member.negatives is not None:
        rows += _part("negatives", member.negatives)
    for index, entry in enumerate(member.loss):
        times = "" if entry.weight == 1 else f"{entry.weight:g} × "
        rows += _part("" if index else "loss", entry.part, times)
    if "probabilities" in member.encoder.gives:
        rows.append(Row("training", "fits itself"))
        return Block("member", member.name, tuple(rows))
    if not member.loss:
        rows.append(Row("loss", "the task's default"))
    rows += _training(member.training)
    return Block("member", member.name, tuple(rows))


def _training(training: Training) -> Iterator[Row]:
    phases = training.phase or (Phase(),)
    for index, phase in enumerate(phases):
        epochs = phase.epochs or training.epochs
        text = f"{epochs} epoch{'s' if epochs != 1 else ''}"
        if len(phases) > 1:
            text = f"{phase.name}: {text}"
        if phase.per_locale:
            text = f"{text} on each locale alone"
        yield Row("" if index else "training", text)
        if phase.freeze:
            yield Row("", f"frozen: {', '.join(phase.freeze)}", detail=True)
        if phase.learning_rate:
            yield Row("", f"learning_rate {show(phase.learning_rate)}", detail=True)
    for name in ("batch_size", "learning_rate", "locale_share", "precision"):
        if getattr(training, name) != getattr(attrs.fields(Training), name).default:
            yield Row("", f"{name} {show(getattr(training, name))}", detail=True)


def _part(label: str, part: Part, times: str = "") -> Iterator[Row]:
    yield Row(label, f"{times}{part.name}")
    yield from _settings(part.config)


def _settings(config: Any, prefix: str = "") -> Iterator[Row]:
    """Yield the fields of a configuration that are not at their default, nested parts and tables within."""
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        for where, item in _items(f"{prefix}{field.name}", value):
            if isinstance(item, Part):
                yield Row("", f"{where}: {item.name}", detail=True)
                yield from _settings(item.config, f"{where}.")
            elif attrs.has(type(item)):
                yield from _settings(item, f"{where}.")
            elif value is not None and value != _default(field):
                yield Row("", f"{where} {item if isinstance(item, str) else show(item)}", detail=True)


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)) and any(
        isinstance(item, Part) or attrs.has(type(item)) for item in value
    ):
        for index, item in enumerate(value):
            yield f"{name}.{index}", item
    else:
        yield name, value


def _default(field: Any) -> Any:
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return attrs.NOTHING if field.default.takes_self else field.default.factory()
    return field.default
