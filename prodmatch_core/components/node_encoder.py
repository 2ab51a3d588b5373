"""What a node encoder must do: turn vectors of a graph's nodes into vectors that know their neighbourhoods.

A node encoder is nested in another part, which owns the graph, the nodes' first vectors and the sampler. It has no
weight of a single node, so it embeds nodes it never saw. It works layer by layer: `forward` runs all layers over
sampled blocks, `embed_all` each layer over the whole graph.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import EDGES_AT_ONCE, Messages, all_neighbours, pack, unpack

FILE = "shape.json"


def _names(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


@attrs.frozen
class GraphShape:
    """What a node encoder must know of the graph it is made for."""

    inputs: int
    "Size of the nodes' first vectors."
    relations: tuple[str, ...] = attrs.field(default=(), converter=_names)
    "Names of the graph's relations, in the order edges number them; empty: one kind of edge."

    @classmethod
    def of(cls, graph: Graph, inputs: int) -> GraphShape:
        """Return the shape of a graph whose nodes have first vectors of size `inputs`."""
        return cls(inputs, graph.relations)


class NodeEncoder(nn.Module, ABC):
    """A network over a typed graph. Its constructor takes its configuration and a `GraphShape`."""

    width: int
    "Size of the vectors it returns."
    layers: int
    "How many blocks it reads, so how far it looks."
    shape: GraphShape

    def __init__(self, config: Any, shape: GraphShape) -> None:
        """Make the network; initial weights come from torch's generator, which the runner seeds."""
        super().__init__()
        self.shape = shape

    @classmethod
    def build(cls, config: Any, shape: GraphShape, rng: np.random.Generator) -> Self:
        """Make a new network for graphs of a shape; `rng` serves what chance torch's generator does not."""
        return cls(config, shape)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make the network from what `save_assets` wrote; whoever nests it loads the weights with its own."""
        plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls(config, GraphShape(**plain))

    def save_assets(self, folder: Path) -> None:
        """Write what `load` needs beside the weights."""
        (folder / FILE).write_text(json.dumps(attrs.asdict(self.shape)), encoding="utf-8")

    @abstractmethod
    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        """Run one layer.

        Args:
            number: 0 is the outermost, which reads the nodes' first vectors.
            messages: the layer's neighbours.
            vectors: (inputs, size) float of `messages.inputs`.

        Returns:
            (seeds, size) float; `width` is the size of the last layer's. A seed's vector depends on its own and its
            neighbours' only.
        """

    def forward(self, layers: Sequence[Messages], vectors: Tensor) -> Tensor:
        """Return the vectors of the last layer's seeds, (seeds, width) float.

        Args:
            layers: as many as `self.layers`, the outermost first.
            vectors: (inputs, shape.inputs) float of the first layer's inputs.

        Raises:
            ValueError: there are more or fewer layers.
        """
        if len(layers) != self.layers:
            raise ValueError(
                f"{len(layers)} blocks for a node encoder of {self.layers} layers; give the sampler as many fanouts as "
                "the encoder has layers"
            )
        for number, messages in enumerate(layers):
            vectors = self.layer(number, messages, vectors)
        return vectors


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
