"""The threshold-consistent margin term as a function of similarities, with its gradient in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prodmatch_tcm import hard
from prodmatch_tcm.pairs import Pairs


@attrs.frozen
class Margins:
    """Where hardness begins, and how much each half counts.

    Attributes:
        positive: similarity up to which a positive pair is hard (m+).
        negative: similarity from which a negative pair is hard (m-).
        positive_weight: factor of the positive half (lambda+).
        negative_weight: factor of the negative half (lambda-).
    """

    positive: float = 0.9
    negative: float = 0.5
    positive_weight: float = 1.0
    negative_weight: float = 1.0


def term(blocks: Sequence[Pairs], margins: Margins, sparse: bool = False) -> Tensor:
    """Return the mean shortfall of hard positives plus the mean excess of hard negatives, over all blocks together.

    (arXiv 2307.04047, equation 4, with weights.) A half without a hard pair is 0 and still has a gradient, of zeros.

    Args:
        blocks: the batch against itself or the other tower, and against a memory where there is one.
        margins: the margins and the halves' factors.
        sparse: give the first block a sparse gradient where hard pairs are few; `Output.similarity` takes it.

    Returns:
        A scalar of the similarities' type.
    """
    return _Term.apply(blocks, margins, sparse, *(pairs.similarity for pairs in blocks))


class _Term(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, blocks: Sequence[Pairs], margins: Margins, sparse: bool, *similarities: Tensor
    ) -> Tensor:
        ctx.found = [hard.find(pairs, margins.positive, margins.negative) for pairs in blocks]
        ctx.blocks, ctx.margins, ctx.sparse = blocks, margins, sparse
        # Where nothing is hard the sums are 0 too, and 0 / 1 is what an empty half is worth.
        near = sum(part.near_weight for part in ctx.found) or 1.0
        far = sum(part.far_weight for part in ctx.found) or 1.0
        ctx.scale = margins.positive_weight / near, margins.negative_weight / far
        short, excess = sum(part.short for part in ctx.found), sum(part.excess for part in ctx.found)
        ctx.save_for_backward(*similarities)  # so that a change in place is noticed
        return similarities[0].new_tensor(ctx.scale[0] * short + ctx.scale[1] * excess)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        _ = ctx.saved_tensors
        near, far = (scale * float(upstream) for scale in ctx.scale)
        gradients = [
            hard.gradient(
                pairs, found, ctx.margins.negative, near, far, ctx.sparse and pairs is ctx.blocks[0]
            )
            for pairs, found in zip(ctx.blocks, ctx.found, strict=True)
        ]
        return None, None, None, *gradients
