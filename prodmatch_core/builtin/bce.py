"""`core.bce`: one yes-or-no question per class."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from prodmatch_core.builtin.class_weighted import class_logits
from prodmatch_core.components.loss import Output, PointwiseLoss
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.records import NoConfig


class BinaryCrossEntropyLoss(PointwiseLoss):
    """Binary cross entropy of each class against the rest, averaged over the classes."""

    def __init__(self, config: NoConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.classes = len(scheme.labels)

    def per_example(self, output: Output) -> Tensor:
        """Return the mean over the classes of each example's binary cross entropies, (batch,) float32."""
        logits = class_logits(output)
        truth = functional.one_hot(output.labels, self.classes).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=1)
