"""What the losses over class logits have in common: a factor for the examples of each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prodmatch_core.components.loss import Output, PointwiseLoss, weighted_mean
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import ConfigError, Problem


class ClassWeightedLoss(PointwiseLoss):
    """A weighted mean over examples, the weight being the example's times its class's."""

    class_weights: Tensor

    def __init__(self, class_weights: Sequence[float], scheme: LabelScheme) -> None:
        """Hold one factor per class of `scheme`; none given, all are 1.

        Raises:
            ConfigError: there are not as many factors as classes.
        """
        super().__init__()
        labels = scheme.labels
        if class_weights and len(class_weights) != len(labels):
            message = (
                f"expected {len(labels)} numbers, one each for {', '.join(labels)}; got {len(class_weights)}"
            )
            raise ConfigError([Problem("class_weights", message)])
        values = torch.tensor(class_weights or [1.0] * len(labels), dtype=torch.float32)
        self.register_buffer("class_weights", values, persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the mean of the examples' losses under their own and their class's weights."""
        return weighted_mean(
            self.per_example(output), output.weights.float() * self.class_weights[output.labels]
        )


def class_logits(output: Output) -> Tensor:
    """Return the logits, (batch, classes) float32 whatever the precision of the forward pass."""
    assert output.logits is not None, "`validate` refuses losses that need logits where there are none"
    return output.logits.float()
