"""`tcm.recall_surrogate`: one minus recall at several k with soft ranks (arXiv 2108.11179)."""

from __future__ import annotations

import torch
from torch import Tensor

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import RecallSurrogateConfig
from prodmatch_tcm.ranks import rank_loss


class RecallSurrogateLoss(Loss):
    """1 minus the mean over rows and k of the right candidates that stand, softly, within the first k.

    (Equations 3 to 5, without similarity mixup.) Of a row with more right candidates than k, k is all that can be.
    """

    positive: Tensor

    def __init__(self, config: RecallSurrogateConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.config = config
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32; 0, with a gradient, where no row has a right candidate."""
        return rank_loss(Pairs.of(output, self.positive), self.config.temperature, self._recall)

    def _recall(self, every: Tensor, right: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cut_offs = every.new_tensor(self.config.k)
        within = torch.sigmoid((cut_offs - every[:, None]) / self.config.rank_temperature)
        possible = torch.minimum(cut_offs, relevant[:, None]) * len(cut_offs)
        slope = -within * (1 - within) / self.config.rank_temperature
        return (within / possible).sum(dim=1), (slope / possible).sum(dim=1), torch.zeros_like(every)
