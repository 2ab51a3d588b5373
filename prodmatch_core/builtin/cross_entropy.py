"""`core.cross_entropy`: the negative log-likelihood of the labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from prodmatch_core.builtin.class_weighted import ClassWeightedLoss, class_logits
from prodmatch_core.builtin.configs import CrossEntropyConfig
from prodmatch_core.components.loss import Output
from prodmatch_core.data.dataset import LabelScheme


class CrossEntropyLoss(ClassWeightedLoss):
    """Cross entropy of the class logits, with label smoothing."""

    def __init__(self, config: CrossEntropyConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__(config.class_weights, scheme)
        self.label_smoothing = config.label_smoothing

    def per_example(self, output: Output) -> Tensor:
        """Return the cross entropy of each example, (batch,) float32."""
        return functional.cross_entropy(
            class_logits(output), output.labels, reduction="none", label_smoothing=self.label_smoothing
        )
