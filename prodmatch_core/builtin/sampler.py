"""`core.uniform_sampler`: a fixed number of neighbours, every one as likely as the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from prodmatch_core.builtin.configs import UniformSamplerConfig
from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph


class UniformSampler(GraphSampler):
    """Neighbours without replacement, uniformly (GraphSAGE, arXiv 1706.02216, section 3.1)."""

    def __init__(self, config: UniformSamplerConfig, graph: Graph) -> None:
        """Hold graph and fan-outs."""
        self.graph = graph
        self.fanouts = config.fanouts

    @classmethod
    def build(cls, config: UniformSamplerConfig, graph: Graph) -> Self:
        """Make a sampler for `graph`."""
        return cls(config, graph)

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> Sequence[Block]:
        """Return one block per layer, the outermost first; see `GraphSampler.sample`."""
        blocks: list[Block] = []
        for fanout in reversed(self.fanouts):
            blocks.insert(0, self._layer(np.asarray(seeds, dtype=np.int64), fanout, rng, exclude))
            seeds = blocks[0].inputs
        return blocks

    def _layer(
        self, seeds: np.ndarray, fanout: int, rng: np.random.Generator, exclude: np.ndarray | None
    ) -> Block:
        degree = self.graph.offsets[seeds + 1] - self.graph.offsets[seeds]
        target = np.repeat(np.arange(len(seeds)), degree)
        first = np.cumsum(degree) - degree
        edge = np.arange(int(degree.sum())) - np.repeat(first - self.graph.offsets[seeds], degree)
        if exclude is not None and len(exclude):
            position = np.minimum(np.searchsorted(exclude, edge), len(exclude) - 1)
            keep = exclude[position] != edge
            target, edge = target[keep], edge[keep]
        # A random key per edge, sorted within its seed: the first `fanout` are a uniform draw without replacement.
        order = np.lexsort((rng.random(len(edge)), target))
        target, edge = target[order], edge[order]
        kept = np.bincount(target, minlength=len(seeds))
        rank = np.arange(len(target)) - np.repeat(np.cumsum(kept) - kept, kept)
        target, edge = target[rank < fanout], edge[rank < fanout]
        sender = self.graph.targets[edge]
        others = np.setdiff1d(sender, seeds)
        inputs = np.concatenate([seeds, others])
        by_node = np.argsort(inputs, kind="stable")
        source = by_node[np.searchsorted(inputs, sender, sorter=by_node)]
        return Block(inputs=inputs, seeds=len(seeds), source=source, target=target, edge=edge)
