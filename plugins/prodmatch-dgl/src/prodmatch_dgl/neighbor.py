"""`dgl.neighbor`: DGL's neighbour sampler as a graph sampler."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import torch

from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_dgl.configs import NeighborConfig
from prodmatch_dgl.library import dgl, dgl_graph

_DRAWING = ThreadPoolExecutor(1, "dgl-drawing", initializer=dgl.utils.set_num_threads, initargs=(1,))
"""DGL gives every thread random numbers of its own, and what a seed makes of them depends on which thread it is. So one
thread draws for all, without helpers, one batch after the other."""


class NeighborSampler(GraphSampler):
    """Draws neighbours without replacement; may be asked by several threads, and answers them in turn."""

    def __init__(self, config: NeighborConfig, graph: Graph) -> None:
        """Copy the graph into DGL's form."""
        self.config, self.graph = config, graph
        self.held = dgl_graph(graph)
        self.held.edata["weight"] = torch.from_numpy(np.array(graph.weights, dtype=np.float32))
        self.drawing = dgl.dataloading.NeighborSampler(
            list(reversed(config.fanouts)), prob="weight" if config.weighted else None
        )

    @classmethod
    def build(cls, config: NeighborConfig, graph: Graph) -> Self:
        """Make a sampler of `graph`."""
        return cls(config, graph)

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> list[Block]:
        """Return one block per layer, the outermost first.

        Args:
            seeds: (n,) int64 different nodes.
            rng: where the seed of DGL's own random numbers comes from.
            exclude: (m,) int64 positions of edges that must not be sampled, or None.

        Raises:
            ValueError: a seed is no node of the graph, or is there twice.
        """
        nodes = np.ascontiguousarray(seeds, dtype=np.int64)
        if len(nodes) and (nodes.min() < 0 or nodes.max() >= self.graph.nodes):
            raise ValueError(f"seeds must be nodes from 0 to {self.graph.nodes - 1}")
        if len(np.unique(nodes)) != len(nodes):
            raise ValueError("seeds must be different nodes")
        barred = torch.from_numpy(np.unique(exclude)) if exclude is not None and len(exclude) else None
        seed = int(rng.integers(2**31))
        return _DRAWING.submit(self._draw, seed, torch.from_numpy(nodes), barred).result()

    def _draw(self, seed: int, nodes: torch.Tensor, barred: torch.Tensor | None) -> list[Block]:
        dgl.seed(seed)
        _, _, blocks = self.drawing.sample_blocks(self.held, nodes, barred)
        return [_block(block) for block in blocks]

    def chances(self, node: int) -> np.ndarray:
        """Return the chance of every edge of `node` to be the one taken, (degree,) float64."""
        row = slice(self.graph.offsets[node], self.graph.offsets[node + 1])
        weights = self.graph.weights[row].astype(np.float64)
        weights = weights if self.config.weighted else np.ones(len(weights))
        return weights / max(weights.sum(), 1e-300)


def _block(block: dgl.DGLGraph) -> Block:
    source, target = block.edges()
    return Block(
        block.srcdata[dgl.NID].numpy(),
        block.num_dst_nodes(),
        source.numpy(),
        target.numpy(),
        block.edata[dgl.EID].numpy(),
    )
