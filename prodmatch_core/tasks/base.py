"""What a task is: the meaning of an example, a head, an output.

| task    | example                          | head                       | answer                   | headline    |
|---------|----------------------------------|----------------------------|--------------------------|-------------|
| match   | query, product, class            | logits over the labels     | class probabilities      | macro F1    |
| embed   | item, group                      | the embedding itself       | nearest items            | hit rate@1  |
| relate  | directed edge product -> product | source and target vectors  | products ranked          | hit rate@10 |
| convert | event, label known at a time     | logits                     | conversion probability   | log loss    |

Every example has two sides, rows of a corpus: `query`, what is asked from, and `product`, what is offered. In relate
the query side is the product one starts from; in convert it is the event with its features; embed has the product
side alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
import polars as pl
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.streams import EventLog
from prodmatch_core.sections import PipelineFile
from prodmatch_core.task_specs import TaskSpec


@attrs.frozen(eq=False)
class TaskData:
    """A data set as a task sees it.

    Attributes:
        corpus: what examples point into.
        examples: of each split, train, valid and test.
        rows: the table rows behind the examples, in the same order; they hold the task's keys, its group column
            and, where labels are classes, `label`.
        scheme: what a label of an example, or of a pair of items, can be.
        notes: what a person should know of how the examples were made.
        relation: where examples are edges, the relation they are of.
        log: the whole event log, for losses that say when a label was known; or None.
    """

    corpus: Corpus
    examples: Mapping[str, Examples]
    rows: Mapping[str, pl.DataFrame]
    scheme: LabelScheme
    notes: tuple[str, ...] = ()
    relation: str = ""
    log: EventLog | None = None

    def groups(self, split: str, column: str) -> np.ndarray:
        """Return the number of each example's group, 0..G-1 without gaps, (n,) int64; equal numbers, equal group."""
        return self.rows[split][column].rank("dense").cast(pl.Int64).to_numpy() - 1


class Task(ABC):
    """The part of a run that depends on the question asked."""

    spec: ClassVar[TaskSpec]
    sides: ClassVar[tuple[str, ...]] = ("query", "product")
    "Sides of an example that are encoded."

    @abstractmethod
    def examples(self, dataset: Dataset, pipeline: PipelineFile) -> TaskData:
        """Return the examples of a data set, by split.

        Raises:
            DataError: the data set cannot answer the question.
        """

    def visible(self, dataset: Dataset, data: TaskData) -> Dataset:
        """Return the data set that members may look at: without test labels and a synthetic world's truth.

        Args:
            dataset: all of it.
            data: what `examples` made of it.
        """
        changes: dict[str, Any] = {"truth": {}}
        for name in ("judgements", "groups"):
            table = getattr(dataset, name)
            if table is not None:
                changes[name] = table.filter(pl.col("split") != "test")
        return attrs.evolve(dataset, **changes)

    @abstractmethod
    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme, dropout: float = 0.1) -> nn.Module:
        """Return the module that turns an Encoding of vectors of size `width` into what `output` needs.

        Args:
            width: size of the encoder's vectors.
            gives: what the encoder gives.
            scheme: what a label can be.
            dropout: share of units the head drops while training, where it has layers.
        """

    @abstractmethod
    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return what the losses read. Where `encoding` has one side only, the other side's vectors are None."""


def load_task(name: str) -> Task:
    """Return the task of that name."""
    import importlib

    from prodmatch_core.task_specs import TASKS

    module, _, attribute = TASKS[name].factory.partition(":")
    return getattr(importlib.import_module(module), attribute)()
