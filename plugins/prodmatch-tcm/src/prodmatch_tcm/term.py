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


def term(blocks: Sequence[Pairs], margins: Margins) -> Tensor:
    """Return the mean shortfall of hard positives plus the mean excess of hard negatives, over all blocks together.

    (arXiv 2307.04047, equation 4, with weights.) A half without a hard pair is 0 and still has a gradient, of zeros.

    Args:
        blocks: the batch against itself or the other tower, and against a memory where there is one.
        margins: the margins and the halves' factors.

    Returns:
        A scalar of the similarities' type.
    """
    for pairs in blocks:
        if pairs.similarity.requires_grad and not pairs.similarity.is_leaf:
            # A few hard pairs come as a sparse gradient. Added to another loss's it is dense again, alone it is not.
            pairs.similarity.register_hook(_dense)
    return _Term.apply(blocks, margins, *(pairs.similarity for pairs in blocks))


def _dense(gradient: Tensor) -> Tensor | None:
    return gradient.to_dense() if gradient.is_sparse else None


class _Term(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blocks: Sequence[Pairs], margins: Margins, *similarities: Tensor) -> Tensor:
        parts = [hard.sums(pairs, margins.positive, margins.negative) for pairs in blocks]
        total = sum(parts, hard.Sums(0.0, 0.0, 0.0, 0.0, 0))
        ctx.counts = [part.pairs for part in parts]
        ctx.blocks, ctx.margins = blocks, margins
        # Nothing is hard: the sums are 0 too, and 0 / 1 is what an empty half is worth.
        ctx.scale = (
            margins.positive_weight / (total.positives or 1.0),
            margins.negative_weight / (total.negatives or 1.0),
        )
        value = ctx.scale[0] * total.positive + ctx.scale[1] * total.negative
        ctx.save_for_backward(*similarities)
        return similarities[0].new_tensor(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        factor, low, high = float(upstream), ctx.margins.positive, ctx.margins.negative
        positive, negative = (scale * factor for scale in ctx.scale)
        found = []
        for similarity, pairs, count in zip(ctx.saved_tensors, ctx.blocks, ctx.counts, strict=True):
            block = attrs.evolve(pairs, similarity=similarity)
            made = hard.gradient(block, low, high, positive, negative, count)
            found.append(made.to_dense() if similarity.is_leaf and made.is_sparse else made)
        return None, None, *found
