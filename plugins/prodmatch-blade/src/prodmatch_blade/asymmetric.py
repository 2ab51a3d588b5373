"""`blade.asymmetric`: the logistic loss of directed edges."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_blade.configs import AsymmetricConfig
from prodmatch_core.components.loss import LEAST_WEIGHT, Learnt, Loss, Output


class AsymmetricLoss(Loss):
    """-log sigma(s_u . t_v) of edges u -> v, -log sigma(-s . t) of all other rows, both per edge.

    Rows of the best label are edges. The others are what the negative generator adds: products that do not follow, and
    edges turned round, whose weight is theirs in the loss (lambda_rev). The sum is divided by the edges' weights, so
    that a row more is a term more, as in the paper: at zero vectors and no bias it is (1 + negatives + lambda_rev)
    log 2.
    """

    def __init__(self, config: AsymmetricConfig) -> None:
        """Hold the bias."""
        super().__init__()
        self.bias = config.bias

    @classmethod
    def build(cls, config: AsymmetricConfig, learnt: Learnt) -> Self:
        """Make the loss."""
        return cls(config)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, a float32 scalar."""
        source, target = output.embeddings, output.references
        assert source is not None
        source = source.float()
        target = source if target is None else target.float()
        with torch.autocast(source.device.type, enabled=False):
            score = (source * target).sum(dim=-1) + self.bias
            edge = output.labels == 0
            each = functional.softplus(torch.where(edge, -score, score))
            weights = output.weights.float()
            edges = (weights * edge).sum()
            total = torch.where(edges > 0, edges, weights.sum())
            return (each * weights).sum() / total.clamp_min(LEAST_WEIGHT)
