"""`tcm.contrastive`: the contrastive loss by cosine, over the pairs that still contribute."""

from __future__ import annotations

import torch
from torch import Tensor

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import ContrastiveConfig
from prodmatch_tcm.term import Margins, term


class ContrastiveLoss(Loss):
    """Mean shortfall of positives below one similarity plus mean excess of negatives above another.

    (Hadsell, Chopra and LeCun, CVPR 2006, with similarities for distances.) It has the form of the margin term; as a
    base loss its margins stand where the classes should be, not where they are still hard to tell apart.
    """

    positive: Tensor

    def __init__(self, config: ContrastiveConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.margins = Margins(config.positive_margin, config.negative_margin)
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32; 0, with a gradient, where no pair contributes."""
        return term([Pairs.of(output, self.positive)], self.margins, sparse=True)
