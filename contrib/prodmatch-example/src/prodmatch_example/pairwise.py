"""`example.pairwise`: every row of a batch that matches better against every row that matches less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output, weighted_mean
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_example.plugin import PairwiseConfig


class PairwiseLoss(Loss):
    """Pairwise softmax cross entropy, log(1 + exp(worse - better)), over all pairs of a batch (ColBERT, section 3.4).

    A row's score is the log-odds of a match. A pair counts by the difference of its labels' gains, so that exact
    against irrelevant weighs more than exact against substitute, and by the product of both rows' weights. Negatives
    that a generator adds to the batch are rows as any other.
    """

    positive: Tensor
    gains: Tensor

    def __init__(self, config: PairwiseConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.margin = config.margin
        positive = torch.zeros(len(scheme.labels), dtype=torch.bool)
        positive[torch.from_numpy(positive_classes(scheme))] = True
        self.register_buffer("positive", positive, persistent=False)
        self.register_buffer("gains", torch.tensor(scheme.gains), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the weighted mean over pairs, float32; 0, with a gradient, where no row is better than another."""
        assert output.logits is not None
        with torch.autocast(output.logits.device.type, enabled=False):
            logits, weights = output.logits.float(), output.weights.float()
            score = logits[:, self.positive].logsumexp(dim=1) - logits[:, ~self.positive].logsumexp(dim=1)
            gain = self.gains[output.labels]
            lead = (gain[:, None] - gain).clamp_min(0.0) * weights[:, None] * weights
            losses = functional.softplus(self.margin + score - score[:, None])
            return weighted_mean(losses.flatten(), lead.flatten())
