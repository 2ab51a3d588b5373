"""`Work`: what all stages of one run share, and what an answer does with fitted members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Cost
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.records import MeasureSpec
from prodmatch_core.registry import Registry
from prodmatch_core.sections import PipelineFile
from prodmatch_core.tasks.base import Task, TaskData
from prodmatch_core.training.fitted import FittedMember

Arrays = Mapping[str, np.ndarray]
"What is kept of a member's predictions, by name: written beside it as safetensors."


@attrs.frozen(eq=False)
class Work:
    """A pipeline, its task and its data, and the folder that results are written to."""

    pipeline: PipelineFile
    task: Task
    registry: Registry
    dataset: Dataset
    data: TaskData
    path: Path
    costs: tuple[Cost, ...] = ()
    "What each member costs, where the aggregator needs it."

    @property
    def seed(self) -> int:
        """Return the run's seed."""
        return self.pipeline.pipeline.seed

    @property
    def measures(self) -> list[MeasureSpec]:
        """Return the task's measures, then those the file adds."""
        names = dict.fromkeys([*self.task.spec.measures, *self.pipeline.evaluation.measures])
        specs = (self.registry.get("measure", name) for name in names)
        return [spec for spec in specs if isinstance(spec, MeasureSpec)]

    def fit_data(self) -> FitData:
        """Return what members may look at: neither test labels nor a synthetic world's truth are in it."""
        data = self.data
        return FitData(
            data.corpus,
            data.examples["train"],
            data.examples["valid"],
            data.scheme,
            self.task.visible(self.dataset, data),
            data.relation,
            log=data.log,
        )


class Answer(ABC):
    """What members' predictions become: figures, tables and the parts that are fitted on top of them."""

    def __init__(self, work: Work) -> None:
        """Hold the run's work."""
        self.work = work

    @property
    def folds(self) -> np.ndarray | None:
        """Return the fold of every training row, where a part learns from out-of-fold predictions; else None."""
        return None

    @abstractmethod
    def predictions(self, model: FittedMember) -> dict[str, np.ndarray]:
        """Return what a fitted member says of validation and test."""

    def held_out(self, model: FittedMember, rows: np.ndarray) -> np.ndarray:
        """Return what a member fitted without the training rows `rows` says of them; only where there are folds."""
        raise TypeError(f"{type(self).__name__} has no folds")

    @abstractmethod
    def conclude(self, members: Sequence[Arrays]) -> dict[str, Any]:
        """Write everything that follows from the members' predictions, and return the figures of the run."""
