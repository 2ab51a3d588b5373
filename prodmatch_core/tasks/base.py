"""What a task is: the meaning of an example, a head, a prediction and the headline measure.

`match` (query and product -> class) is in `tasks.match`. The same four answers describe the other three:

| task    | example                        | head                     | prediction              | headline          |
|---------|--------------------------------|--------------------------|-------------------------|-------------------|
| match   | query, product, class          | logits over the labels   | class probabilities     | macro F1          |
| embed   | item, group                    | the embedding itself     | neighbours, a threshold | recall@1          |
| relate  | directed edge product->product | source . target          | ranked products         | hit rate@10       |
| convert | event, label known at a time   | one logit                | conversion probability  | NLL               |
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.dataset import LabelScheme


class Task(Protocol):
    """The part of a run that depends on the question asked."""

    headline: str
    "Name of the measure that early stopping and tables lead with."
    measures: tuple[str, ...]
    "Measures reported for every run of the task."
    default_loss: str
    "The loss of members that name none."

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme) -> nn.Module:
        """Return the module that turns an Encoding of vectors of size `width` into logits."""
        ...

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return what the losses read."""
        ...
