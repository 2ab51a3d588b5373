"""`tcm.multi_similarity`: the multi-similarity loss on the step's shared matrix (arXiv 1904.06627)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import LEAST_WEIGHT, Loss, Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import MultiSimilarityConfig


class MultiSimilarityLoss(Loss):
    """Soft maximum of each row's negatives and soft minimum of its positives, averaged over the rows by weight.

    (Equation 15 without its mining.) A pair counts as often as its column's weight says.
    """

    positive: Tensor

    def __init__(self, config: MultiSimilarityConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.config = config
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32."""
        config = self.config
        pairs = Pairs.of(output, self.positive)
        return _MultiSimilarity.apply(pairs.similarity, pairs, config.alpha, config.beta, config.base)


class _MultiSimilarity(torch.autograd.Function):
    """Row sums of exponentials, whose gradient is those exponentials over their sums."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor, pairs: Pairs, alpha: float, beta: float, base: float) -> Tensor:
        rows, columns = pairs.positives
        share = pairs.row_weights / pairs.row_weights.sum().clamp_min(LEAST_WEIGHT)
        # No cosine exceeds 1, so exponents counted from there are at most 0 and nothing overflows.
        far = similarity.mul(beta).sub_(beta).exp_()
        far[rows, columns] = 0
        if pairs.own:
            far.fill_diagonal_(0)
        if not (pairs.column_weights == 1).all():
            far *= pairs.column_weights
        total = far.sum(dim=1)
        # log(1 + sum exp(beta (s - base))), of which `total` holds all but a factor.
        excess = functional.softplus(total.log() + beta * (1 - base)) / beta
        near = (-alpha * (similarity[rows, columns] - base)).exp() * pairs.column_weights[columns]
        short = near.new_zeros(len(similarity)).index_add_(0, rows, near)
        # The share of the sum that is not the 1.
        sure = torch.sigmoid(total.log() + beta * (1 - base))
        scale = torch.where(total > 0, share * sure / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)
        ctx.save_for_backward(far, scale, rows, columns, -share[rows] * near / (1 + short[rows]))
        return (share * (excess + short.log1p() / alpha)).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        far, scale, rows, columns, near = ctx.saved_tensors
        gradient = far * (scale * upstream)[:, None]
        gradient[rows, columns] = near * upstream
        return gradient, None, None, None, None
