"""`tcm.smooth_ap`: one minus average precision with soft ranks (arXiv 2007.12163)."""

from __future__ import annotations

import torch
from torch import Tensor

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import SmoothAPConfig
from prodmatch_tcm.ranks import rank_loss


class SmoothAPLoss(Loss):
    """1 minus the mean over rows of their right candidates' soft rank among right ones over that among all.

    (Equation 7.) A row is no candidate of its own. Classes may differ in size within a batch.
    """

    positive: Tensor

    def __init__(self, config: SmoothAPConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.temperature = config.temperature
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32; 0, with a gradient, where no row has a right candidate."""
        return rank_loss(Pairs.of(output, self.positive), self.temperature, _precision)


def _precision(every: Tensor, right: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    quality = right / every / relevant
    return quality, -quality / every, 1 / every / relevant
