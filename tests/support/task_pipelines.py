"""Pipelines for tests of tasks: no part is loaded, only the task's own sections matter."""

from __future__ import annotations

from typing import Any

from prodmatch_core.records import DatasetSpec, EncoderSpec, NoConfig, Part
from prodmatch_core.sections import DataSection, Member, PipelineFile, PipelineSection


def task_pipeline(task: str, data: dict[str, Any] | None = None, **sections: Any) -> PipelineFile:
    """Return a pipeline of `task`; `data` holds fields of its data section, `sections` further sections."""
    source = Part(DatasetSpec(name="fake.data", summary="Data.", factory="a:b"), NoConfig())
    encoder = Part(EncoderSpec(name="fake.text", summary="Texts.", factory="a:b"), NoConfig())
    return PipelineFile(
        PipelineSection("t", task), DataSection(source, **(data or {})), (Member(encoder),), **sections
    )
