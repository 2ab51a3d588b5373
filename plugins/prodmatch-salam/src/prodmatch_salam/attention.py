"""Attention over the views of a pair, some of which may not be there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ViewAttention(nn.Module):
    """Views of different sizes, projected to one, attend to each other; those that are not there are masked.

    The first dimension is the batch throughout: attention runs over the views of one example and never over examples.
    """

    def __init__(self, sizes: Sequence[int], width: int, heads: int, dropout: float) -> None:
        """Make the layer for views of vectors of the given sizes."""
        super().__init__()
        self.read = nn.ModuleList(nn.Sequential(nn.LayerNorm(size), nn.Linear(size, width)) for size in sizes)
        # Beside the views, a vector of its own: there is always something to attend to.
        self.rest = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(
            nn.Dropout(dropout), nn.Linear((len(sizes) + 1) * width, width), nn.GELU(), nn.LayerNorm(width)
        )

    def forward(self, views: Sequence[Tensor], there: Tensor) -> Tensor:
        """Return one vector an example, (batch, width) float32.

        Args:
            views: (batch, size) float each; a row that is not there may hold anything finite.
            there: (batch, views) bool, whether an example has a view.
        """
        read = [layer(view.float()) for layer, view in zip(self.read, views, strict=True)]
        stacked = torch.cat([self.rest.expand(len(there), 1, -1), torch.stack(read, dim=1)], dim=1)
        present = torch.cat([torch.ones_like(there[:, :1]), there], dim=1)
        kept = stacked * present[..., None]
        if not len(kept):  # attention cannot divide nothing among its heads
            return kept.new_zeros(0, self.norm.normalized_shape[0])
        seen, _ = self.attention(kept, kept, kept, key_padding_mask=~present, need_weights=False)
        fused = self.norm(kept + seen) * present[..., None]
        return self.mix(fused.flatten(1))
