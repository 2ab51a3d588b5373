"""Blocks as tensors: what a node encoder reads, and what a batch carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.graph.csr import Block, Graph

EDGES_AT_ONCE = 1 << 18
"Edges of a block when the whole graph is read."


@attrs.frozen(eq=False)
class Messages:
    """One layer of neighbours as tensors: messages flow from `inputs` to the first `seeds` of them.

    Attributes:
        inputs: (inputs,) int64 nodes whose vectors the layer reads; the seeds come first, in order.
        seeds: how many of `inputs` are the layer's seeds.
        source: (edges,) int64 position in `inputs` of each edge's sender.
        target: (edges,) int64 position in `inputs` (below `seeds`) of its receiver.
        weight: (edges,) float32.
        relation: (edges,) int64; 0 where all edges are of one kind.
    """

    inputs: Tensor
    seeds: int
    source: Tensor
    target: Tensor
    weight: Tensor
    relation: Tensor


def pack(blocks: Sequence[Block], graph: Graph, prefix: str = "block") -> dict[str, Tensor]:
    """Return blocks, the outermost first, as named tensors that a batch can carry to any device."""
    batch: dict[str, Tensor] = {}
    for number, block in enumerate(blocks):
        edge = block.edge
        relation = np.zeros(len(edge)) if graph.relation is None else graph.relation[edge]
        arrays = {
            "inputs": block.inputs,
            "seeds": np.empty((block.seeds, 0), dtype=np.int64),  # its length says how many, on every device
            "source": block.source,
            "target": block.target,
            "weight": graph.weights[edge].astype(np.float32),
            "relation": relation.astype(np.int64),
        }
        batch |= {
            f"{prefix}.{number}.{name}": torch.from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()
        }
    return batch


def unpack(batch: Mapping[str, Tensor], prefix: str = "block") -> list[Messages]:
    """Return the layers that `pack` put into a batch, the outermost first; none where there are none."""
    layers: list[Messages] = []
    while f"{prefix}.{len(layers)}.inputs" in batch:
        start = f"{prefix}.{len(layers)}."
        arrays = {name: batch[start + name] for name in ("inputs", "source", "target", "weight", "relation")}
        layers.append(Messages(seeds=len(batch[f"{start}seeds"]), **arrays))
    return layers


def all_neighbours(
    graph: Graph, seeds: np.ndarray, layers: int, exclude: np.ndarray | None = None
) -> list[Block]:
    """Return the blocks of all neighbours, the outermost first: what every sampler approaches.

    Args:
        graph: where neighbours are.
        seeds: (n,) int64 different nodes.
        layers: how many blocks.
        exclude: (m,) int64 ascending positions of edges that are left out, or None.
    """
    blocks: list[Block] = []
    for _ in range(layers):
        first, counts = graph.offsets[seeds], graph.offsets[seeds + 1] - graph.offsets[seeds]
        target = np.repeat(np.arange(len(seeds)), counts)
        edge = np.arange(len(target)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        if exclude is not None and len(exclude):
            place = np.minimum(np.searchsorted(exclude, edge), len(exclude) - 1)
            kept = exclude[place] != edge
            target, edge = target[kept], edge[kept]
        senders = graph.targets[edge]
        inputs = np.concatenate([seeds, np.setdiff1d(senders, seeds)])
        order = np.argsort(inputs)
        source = order[np.searchsorted(inputs, senders, sorter=order)]
        blocks.append(Block(inputs, len(seeds), source, target, edge))
        seeds = inputs
    return blocks[::-1]


def weighted_mean(messages: Messages, vectors: Tensor, factor: Tensor | None = None) -> Tensor:
    """Return the mean of each seed's neighbours under the edges' weights, (seeds, size); 0 where it has none.

    Args:
        messages: the neighbours.
        vectors: (inputs, size) float.
        factor: (edges,) further factor of each edge's weight; 0 leaves an edge out.
    """
    weight = messages.weight if factor is None else messages.weight * factor
    sums = vectors.new_zeros((messages.seeds, vectors.shape[1]))
    sums = sums.index_add(0, messages.target, vectors[messages.source] * weight[:, None])
    total = vectors.new_zeros(messages.seeds).index_add(0, messages.target, weight)
    return sums / total.clamp_min(1e-12)[:, None]
