"""`core.focal`: cross entropy that attends to the examples the model is unsure of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.builtin.class_weighted import ClassWeightedLoss, class_logits
from prodmatch_core.builtin.configs import FocalConfig
from prodmatch_core.components.loss import Output
from prodmatch_core.data.dataset import LabelScheme


class FocalLoss(ClassWeightedLoss):
    """Focal loss, (1 - p)^gamma times the cross entropy (arXiv 1708.02002, equations 4 and 5)."""

    def __init__(self, config: FocalConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__(config.class_weights, scheme)
        self.gamma = config.gamma

    def per_example(self, output: Output) -> Tensor:
        """Return the focal loss of each example, (batch,) float32."""
        entropy = functional.cross_entropy(class_logits(output), output.labels, reduction="none")
        # expm1 keeps the digits of 1 - p near p = 1; clamped, as the slope of x^gamma may be infinite at 0.
        doubt = (-torch.expm1(-entropy)).clamp_min(1e-12)
        return doubt.pow(self.gamma) * entropy
