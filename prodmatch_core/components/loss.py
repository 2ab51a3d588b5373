"""What a loss must do, and `Output`, which all losses of a step read."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.encoder import Links
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.data.streams import EventLog, Stream

LEAST_WEIGHT = 1e-12
"Sums of weights below this count as this."


@attrs.define(eq=False, slots=False)
class Output:
    """What a member says about a batch. Losses read it; none writes to it.

    Attributes:
        labels: (batch,) int64 class index, 0 = best match; where examples are single items, the item's group.
        weights: (batch,) float32 per-example weights.
        logits: (batch, classes) float, or None.
        embeddings: (batch, width) float vectors of the items (or queries), or None.
        references: (batch, width) float vectors of the other tower (products), or None where there is one tower.
        uncertainty: (batch,) float, how unsure the member is of each example, or None.
        links: which links of a graph the member believes in, and which there are; or None.
        vectors: (batch, width) float, one vector an example: the pair's, or the product of its sides'; or None.
        facts: (batch,) tensors by name, what a loss's own stream says of each example.
    """

    labels: Tensor
    weights: Tensor
    logits: Tensor | None = None
    embeddings: Tensor | None = None
    references: Tensor | None = None
    uncertainty: Tensor | None = None
    links: Links | None = None
    vectors: Tensor | None = None
    facts: Mapping[str, Tensor] = attrs.field(factory=dict)

    @functools.cached_property
    def similarity(self) -> Tensor:
        """Return cosine similarities (batch, batch) float32, computed once a step however many losses read it."""
        if self.embeddings is None:
            raise ValueError("this member gives no embeddings; `validate` should have refused the loss")
        with torch.autocast(self.embeddings.device.type, enabled=False):
            left = functional.normalize(self.embeddings.float(), dim=-1)
            right = left
            if self.references is not None:
                right = functional.normalize(self.references.float(), dim=-1)
            return _Shared.apply(left @ right.T)


class _Shared(torch.autograd.Function):
    """The matrix itself; a loss of few pairs may give it a sparse gradient, cheap to add to the others'."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor) -> Tensor:
        return similarity.view_as(similarity)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.to_dense() if gradient.is_sparse else gradient


@attrs.frozen
class Learnt:
    """What a loss may know of the examples it will see.

    Attributes:
        scheme: what the labels of a pair mean.
        classes: how many different labels the training examples have: classes of the scheme, or groups.
        width: size of the member's vectors.
    """

    scheme: LabelScheme
    classes: int
    width: int


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of `values` (n,) under `weights` (n,), float32; 0, with a gradient, where no row has a weight.

    The sum of weights is kept away from 0 by so much that a gradient does not overflow, whatever factor the loss has.
    """
    weights = weights.float()
    return (values.float() * weights).sum() / weights.sum().clamp_min(LEAST_WEIGHT)


class Loss(nn.Module, ABC):
    """One term of a member's loss: a weighted mean, so that weight 2 is a row twice and weight 0 a row absent."""

    @classmethod
    def build(cls, config: Any, learnt: Learnt) -> Self:
        """Make the loss for a member's examples; the default passes the label scheme to the constructor."""
        return cls(config, learnt.scheme)

    @abstractmethod
    def forward(self, output: Output) -> Tensor:
        """Return the loss, a float32 scalar with a gradient even where no example contributes."""

    def stream(self, log: EventLog) -> Stream | None:
        """Return the rows to learn from, each with the moment its label was known.

        The default, None, leaves it to the task: every event once, with the label known when training ended.
        """
        return None

    def figures(self) -> Mapping[str, Any]:
        """Return what the loss has noted since it was last asked, as plain JSON, for the log of the run."""
        return {}


class PointwiseLoss(Loss):
    """A loss that is a weighted mean over examples."""

    @abstractmethod
    def per_example(self, output: Output) -> Tensor:
        """Return the loss of each example, (batch,) float32, unweighted."""

    def forward(self, output: Output) -> Tensor:
        """Return the mean of the examples' losses under the output's weights."""
        return weighted_mean(self.per_example(output), output.weights)
