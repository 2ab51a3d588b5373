"""Registers the loss, the encoder, the command and the report's section. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prodmatch_core import hookimpl
from prodmatch_core.records import CommandSpec, EncoderSpec, LossSpec, Section

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

HERE = "prodmatch_delayed"


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the importance-weighted loss."""
    yield LossSpec(
        name="delayed.importance",
        summary="Log loss on labels that will change, weighed by how likely they are to.",
        config=f"{HERE}.configs:ImportanceConfig",
        factory=f"{HERE}.importance:ImportanceLoss",
        needs={"logits", "class_labels"},
        paper="KDD 2023, DOI 10.1145/3580305.3599867, and the methods it builds on",
    )


@hookimpl
def prodmatch_commands() -> Iterator[CommandSpec]:
    """Return the command that writes streams of any length."""
    yield CommandSpec(
        name="stream",
        summary="Write what a method would learn from an event log, in the order in which it was known.",
        factory=f"{HERE}.commands.stream:stream",
    )


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the encoder of events."""
    yield EncoderSpec(
        name="delayed.events",
        summary="Hashed categories and numbers of an event, beside any text encoder of its query and product.",
        config=f"{HERE}.configs:EventsConfig",
        factory=f"{HERE}.events:EventsEncoder",
        needs={"event_features"},
        gives={"pairs"},
        example={"buckets": 64, "width": 2, "hidden": [8, 4]},
        paper="the network of arXiv 2012.03245, section 5.1",
    )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the section on a course through time, where a member's loss noted one."""
    if run.task.name != "convert":
        return []
    from prodmatch_delayed.report import sections

    return sections(run)
