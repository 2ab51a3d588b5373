"""Losses of soft ranks: how many candidates stand before each right one, with sigmoids in place of steps.

For every positive pair (i, j), `all` is 1 plus the soft number of other candidates nearer to i than j, and `right` the
same of other right candidates. A loss is a mean over rows of a quality of these two. Pairs are worked off in chunks and
the gradient is made on the way, so memory stays at two matrices of the batch however many positives there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prodmatch_core.components.loss import LEAST_WEIGHT
from prodmatch_tcm.pairs import Pairs

CHUNK = 1 << 22
"Entries of one chunk's matrix of sigmoids."

Quality = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"(rank among all, rank among right ones, number of right ones) of pairs -> quality and its two derivatives."


def rank_loss(pairs: Pairs, temperature: float, quality: Quality) -> Tensor:
    """Return 1 minus the mean, over rows with a right candidate, of the weighted sum of its pairs' qualities.

    A column counts as often as its weight says. Rows without a right candidate are left out; where there is none at
    all, the loss is 0 and has a gradient of zeros.

    Args:
        pairs: similarities and classes.
        temperature: difference of similarity at which a sigmoid is 0.73.
        quality: of a pair, so that a row whose right candidates all stand first sums up to 1.
    """
    return _RankLoss.apply(pairs.similarity, pairs, temperature, quality)


class _RankLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, similarity: Tensor, pairs: Pairs, temperature: float, quality: Quality) -> Tensor:
        rows, columns = pairs.positives
        heft = pairs.column_weights
        n, m = similarity.shape
        relevant = heft.new_zeros(n).index_add_(0, rows, heft[columns])
        share = torch.where(relevant > 0, pairs.row_weights, 0.0)
        relevant = relevant.clamp_min(LEAST_WEIGHT)
        total = share.sum()
        share = share / total.clamp_min(LEAST_WEIGHT)
        gradient = torch.zeros_like(similarity)
        value = share.sum()
        step = max(1, CHUNK // max(m, 1))
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], columns[start : start + step]
            own = torch.arange(len(i), device=i.device)
            soft = torch.sigmoid((similarity[i] - similarity[i, j][:, None]) / temperature)
            slope = soft * (1 - soft) * (heft / temperature)
            soft = soft * heft
            if pairs.own:
                soft[own, i], slope[own, i] = 0.0, 0.0
            # A column of weight 2 is there twice, and its copy stands half a place before it.
            soft[own, j], slope[own, j] = 0.5 * (heft[j] - 1).clamp_min(0.0), 0.0
            right = pairs.rows[i][:, None] == pairs.columns
            found, by_all, by_right = quality(1 + soft.sum(dim=1), 1 + (soft * right).sum(dim=1), relevant[i])
            factor = share[i] * heft[j]
            value = value - (factor * found).sum()
            pull = -slope * ((factor * by_all)[:, None] + (factor * by_right)[:, None] * right)
            gradient.index_add_(0, i, pull)
            gradient.index_put_((i, j), -pull.sum(dim=1), accumulate=True)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None
