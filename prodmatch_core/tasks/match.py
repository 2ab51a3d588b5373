"""The match task: which class does a query-product pair belong to? Binary, graded or ESCI by label scheme."""

from __future__ import annotations

from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.sections import PipelineFile
from prodmatch_core.task_specs import MATCH
from prodmatch_core.tasks.base import Task, TaskData
from prodmatch_core.tasks.heads import class_head


class MatchTask(Task):
    """Pairs in, class probabilities out."""

    spec = MATCH

    def examples(self, dataset: Dataset, pipeline: PipelineFile) -> TaskData:
        """Return judged pairs; every split must have some.

        Raises:
            DataError: there are no judgements, they name what is not there, or a split is empty.
        """
        corpus, examples, rows = match_examples(dataset)
        assert dataset.scheme is not None
        for split, found in examples.items():
            if not len(found):
                raise DataError(
                    f"{dataset.source}: split {split} is empty. Give it rows, or set [data.split]."
                )
        return TaskData(corpus, examples, rows, dataset.scheme)

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme, dropout: float = 0.1) -> nn.Module:
        """Return the classifier on top of a member's encoder."""
        return class_head(width, gives, len(scheme.labels), dropout)

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return logits, and embeddings where the encoder gives them."""
        both = (
            encoding.logits is not None
            or encoding.pair is not None
            or (encoding.query is not None and encoding.product is not None)
        )
        return Output(
            labels=labels,
            weights=weights,
            logits=head(encoding) if both else None,
            embeddings=encoding.query,
            references=encoding.product,
            uncertainty=encoding.uncertainty,
            links=encoding.links,
        )
