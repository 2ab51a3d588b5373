"""Vectors of all nodes kept layer by layer, so that a change recomputes what can have changed and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prodmatch_core.components.node_encoder import NodeEncoder
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import EDGES_AT_ONCE, all_neighbours, pack, unpack

FILE = "embeddings.safetensors"


@attrs.frozen(eq=False)
class NodeEmbeddings:
    """What every layer of a node encoder says of every node, first vectors included.

    Attributes:
        layers: one (nodes, size) float32 a layer and one for the first vectors, in order.
        graph: the graph they are of.
    """

    layers: tuple[Tensor, ...]
    graph: Graph

    @property
    def vectors(self) -> Tensor:
        """Return the last layer's vectors, (nodes, width) float32."""
        return self.layers[-1]

    @classmethod
    def of(cls, encoder: NodeEncoder, graph: Graph, inputs: Callable[[Tensor], Tensor]) -> NodeEmbeddings:
        """Compute all vectors.

        Args:
            encoder: in evaluation mode.
            graph: all nodes.
            inputs: nodes, (n,) int64 -> their first vectors, (n, shape.inputs) float.
        """
        empty = torch.zeros((0, encoder.shape.inputs))
        nothing = cls((empty, *[torch.zeros((0, 0))] * encoder.layers), _without_nodes(graph))
        return nothing.refreshed(encoder, graph, inputs, np.empty(0, dtype=np.int64))[0]

    def refreshed(
        self, encoder: NodeEncoder, graph: Graph, inputs: Callable[[Tensor], Tensor], changed: np.ndarray
    ) -> tuple[NodeEmbeddings, tuple[int, ...]]:
        """Return the vectors after a change, and how many nodes each layer computed, first vectors included.

        A node is computed anew in a layer where its own edges changed, or where it reads a node that the layer before
        computed anew. The result is what computing everything gives.

        Args:
            encoder: with the weights that made these vectors.
            graph: the graph now; nodes keep their numbers, new ones follow.
            inputs: as of `of`.
            changed: (n,) int64 nodes whose first vectors are other than they were.
        """
        edges = changed_edges(self.graph, graph)
        dirty = np.zeros(graph.nodes, dtype=bool)
        dirty[changed] = True
        dirty[self.graph.nodes :] = True
        layers: list[Tensor] = []
        counts: list[int] = []
        for number in range(-1, encoder.layers):
            if number >= 0:
                dirty = _readers(graph, dirty) | dirty | edges
            nodes = np.flatnonzero(dirty)
            counts.append(len(nodes))
            layers.append(self._layer(encoder, graph, inputs, number, nodes, layers))
        return NodeEmbeddings(tuple(layers), graph), tuple(counts)

    @torch.no_grad()
    def _layer(
        self,
        encoder: NodeEncoder,
        graph: Graph,
        inputs: Callable[[Tensor], Tensor],
        number: int,
        nodes: np.ndarray,
        below: list[Tensor],
    ) -> Tensor:
        """Return one layer: kept vectors, and those of `nodes` computed anew."""
        kept, found = self.layers[number + 1], []
        device = next((weight.device for weight in encoder.parameters()), torch.device("cpu"))
        for part in _parts(graph, nodes):
            if number < 0:
                found.append(inputs(torch.from_numpy(part).to(device)).float().cpu())
                continue
            packed = pack(all_neighbours(graph, part, 1), graph)
            read = below[-1][packed["block.0.inputs"]].to(device)
            (messages,) = unpack({name: tensor.to(device) for name, tensor in packed.items()})
            found.append(encoder.layer(number, messages, read).float().cpu())
        size = found[0].shape[1] if found else kept.shape[1]
        table = torch.zeros((graph.nodes, size))
        if len(kept):
            table[: len(kept)] = kept
        if found:
            table[torch.from_numpy(nodes)] = torch.cat(found)
        return table

    def save(self, folder: Path) -> None:
        """Write the vectors as safetensors; the graph is saved by whoever owns it."""
        save_file(
            {str(number): layer.contiguous() for number, layer in enumerate(self.layers)}, folder / FILE
        )

    @classmethod
    def load(cls, folder: Path, graph: Graph) -> NodeEmbeddings:
        """Read what `save` wrote."""
        found = load_file(folder / FILE)
        return cls(tuple(found[str(number)] for number in range(len(found))), graph)


def _without_nodes(graph: Graph) -> Graph:
    none = np.empty(0, dtype=np.int64)
    return Graph.from_edges(none, none, 0, relations=graph.relations)


def _parts(graph: Graph, nodes: np.ndarray) -> list[np.ndarray]:
    """Return nodes in parts of bounded edges."""
    if not len(nodes):
        return []
    edges = np.cumsum(graph.degree()[nodes] + 1)
    return np.split(nodes, np.flatnonzero(np.diff(edges // EDGES_AT_ONCE)) + 1)


def _readers(graph: Graph, dirty: np.ndarray) -> np.ndarray:
    """Return which nodes have a dirty out-neighbour, (nodes,) bool."""
    sums = np.concatenate([[0], np.cumsum(dirty[graph.targets])])
    return sums[graph.offsets[1:]] > sums[graph.offsets[:-1]]


def changed_edges(old: Graph, new: Graph) -> np.ndarray:
    """Return which nodes of `new` have other out-edges than in `old`, (nodes,) bool; new nodes do."""
    changed = np.ones(new.nodes, dtype=bool)
    shared = min(old.nodes, new.nodes)
    same = np.flatnonzero(old.degree()[:shared] == new.degree()[:shared])
    counts = new.degree()[same]
    begin = np.cumsum(counts) - counts
    step = np.arange(counts.sum()) - np.repeat(begin, counts)
    left, right = (np.repeat(graph.offsets[same], counts) + step for graph in (old, new))
    differ = (old.targets[left] != new.targets[right]) | (old.weights[left] != new.weights[right])
    if old.relation is not None and new.relation is not None:
        differ |= old.relation[left] != new.relation[right]
    sums = np.concatenate([[0], np.cumsum(differ)])
    changed[same] = sums[begin + counts] > sums[begin]
    return changed
