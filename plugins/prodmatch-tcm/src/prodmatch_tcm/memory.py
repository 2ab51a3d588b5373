"""A memory of earlier batches' items, so that a small batch meets more pairs (cross-batch memory, arXiv 1912.06798)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.loss import Output
from prodmatch_tcm.pairs import Pairs


class Memory(nn.Module):
    """The last items seen: their vectors, groups and weights. No gradient flows into it."""

    vectors: Tensor
    labels: Tensor
    weights: Tensor
    count: Tensor

    def __init__(self, size: int, width: int) -> None:
        """Make room for `size` items whose vectors have `width` entries."""
        super().__init__()
        self.size = size
        self.register_buffer("vectors", torch.zeros(size, width))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("weights", torch.zeros(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def pairs(self, output: Output) -> Pairs | None:
        """Return the pairs of a batch with what is remembered, None while nothing is.

        Raises:
            ValueError: the member has two towers; only groups tell which remembered item belongs to which.
        """
        if output.references is not None:
            raise ValueError(
                "tcm.margin: memory needs items labelled by group; a query's matches are known within its batch only. "
                "Set memory = 0."
            )
        held = min(int(self.count), self.size)
        if not held:
            return None
        assert output.embeddings is not None
        # Copies, because the batch takes its place in the memory before its gradient is asked for.
        vectors, labels, weights = (kept[:held].clone() for kept in (self.vectors, self.labels, self.weights))
        with torch.autocast(output.embeddings.device.type, enabled=False):
            similarity = functional.normalize(output.embeddings.float(), dim=-1) @ vectors.T
        return Pairs(similarity, output.labels, labels, output.weights.float(), weights, own=False)

    @torch.no_grad()
    def keep(self, output: Output) -> None:
        """Remember a batch's items in place of the oldest."""
        assert output.embeddings is not None
        vectors = functional.normalize(output.embeddings.float(), dim=-1)[-self.size :]
        places = (self.count + torch.arange(len(vectors), device=vectors.device)) % self.size
        self.vectors[places] = vectors
        self.labels[places] = output.labels[-self.size :]
        self.weights[places] = output.weights.float()[-self.size :]
        self.count += len(vectors)
