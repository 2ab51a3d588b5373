"""Blocks as tensors: what a node encoder reads, what a batch carries, and vectors of a whole graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.graph.csr import Block, Graph

if TYPE_CHECKING:
    from prodmatch_core.components.node_encoder import NodeEncoder

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


@torch.no_grad()
def embed_all(
    encoder: NodeEncoder, graph: Graph, inputs: Callable[[Tensor], Tensor], device: torch.device
) -> Tensor:
    """Return the exact vectors of all nodes, (nodes, width) float32: layer by layer, every neighbour read once a layer.

    Args:
        encoder: in evaluation mode.
        graph: all its nodes.
        inputs: nodes, (n,) int64 -> what the first layer reads of them, (n, inputs) float.
        device: where to compute.
    """
    vectors: Tensor | None = None
    for number in range(encoder.layers):
        parts = []
        for nodes in _spans(graph):
            packed = pack(all_neighbours(graph, nodes, 1), graph)
            (layer,) = unpack({name: tensor.to(device) for name, tensor in packed.items()})
            read = inputs(layer.inputs) if vectors is None else vectors[layer.inputs]
            parts.append(encoder.layer(number, layer, read))
        vectors = torch.cat(parts) if parts else torch.zeros((0, encoder.width), device=device)
    assert vectors is not None
    return vectors


def _spans(graph: Graph) -> Iterator[np.ndarray]:
    """Yield all nodes in order, in spans of bounded edges; a node of more edges makes a span of its own."""
    start = 0
    while start < graph.nodes:
        most = graph.offsets[start] + EDGES_AT_ONCE
        stop = int(np.searchsorted(graph.offsets, most, side="right")) - 1
        stop = min(max(stop, start + 1), start + EDGES_AT_ONCE // 8, graph.nodes)
        yield np.arange(start, stop)
        start = stop
