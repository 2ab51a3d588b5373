"""`core.uniform_sampler`: some neighbours of each node, all equally likely, none twice."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import UniformSamplerConfig
from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph


@attrs.frozen(eq=False)
class UniformSampler(GraphSampler):
    """Neighbour sampling without replacement (GraphSAGE, arXiv 1706.02216, section 3.1)."""

    fanouts: tuple[int, ...]
    graph: Graph

    @classmethod
    def build(cls, config: UniformSamplerConfig, graph: Graph) -> Self:
        """Make a sampler of `graph`; nothing is computed beforehand."""
        return cls(config.fanouts, graph)

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> list[Block]:
        """Return one block per layer, the outermost first; a node's neighbours are its out-neighbours.

        Args:
            seeds: (n,) int64 different nodes.
            rng: source of every random choice.
            exclude: (m,) int64 sorted positions of edges that must not be sampled, or None.

        Raises:
            ValueError: a seed is no node of the graph, or is there twice.
        """
        seeds = np.asarray(seeds, dtype=np.int64)
        if len(seeds) and (seeds.min() < 0 or seeds.max() >= self.graph.nodes):
            raise ValueError(f"seeds must be nodes from 0 to {self.graph.nodes - 1}")
        if len(np.unique(seeds)) != len(seeds):
            raise ValueError("seeds must be different nodes")
        excluded = np.unique(exclude) if exclude is not None else np.empty(0, dtype=np.int64)
        blocks: list[Block] = []
        for fanout in self.fanouts:
            blocks.append(self._layer(seeds, fanout, rng, excluded))
            seeds = blocks[-1].inputs
        return blocks[::-1]

    def chances(self, node: int) -> np.ndarray:
        """Return the same chance for every edge of `node`, (degree,) float64."""
        degree = int(self.graph.offsets[node + 1] - self.graph.offsets[node])
        return np.full(degree, 1 / max(degree, 1))

    def _layer(self, seeds: np.ndarray, fanout: int, rng: np.random.Generator, excluded: np.ndarray) -> Block:
        # Allowed edges are numbered as if the excluded ones were not there.
        first, end = self.graph.offsets[seeds], self.graph.offsets[seeds + 1]
        first, end = first - np.searchsorted(excluded, first), end - np.searchsorted(excluded, end)
        ranks, chosen = choose(end - first, fanout, rng)
        target = np.nonzero(chosen)[0]
        number = (first[:, None] + ranks)[chosen]
        edge = number + np.searchsorted(excluded - np.arange(len(excluded)), number, side="right")
        neighbours = self.graph.targets[edge]
        inputs = np.concatenate([seeds, np.setdiff1d(neighbours, seeds)])
        order = np.argsort(inputs)
        source = order[np.searchsorted(inputs, neighbours, sorter=order)]
        return Block(inputs, len(seeds), source, target, edge)


def choose(counts: np.ndarray, take: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose up to `take` different numbers below each count, every subset being equally likely.

    Floyd's algorithm (Bentley and Floyd, CACM 30(9), 1987) for all rows at once: `take` rounds, however large
    the counts.

    Args:
        counts: (n,) int64.
        take: how many to choose; all, where there are fewer.
        rng: source of every random choice.

    Returns:
        The numbers (n, take) int64, ascending in each row, and (n, take) bool, which of them are there.
    """
    rows = len(counts)
    taken = np.minimum(counts, take)
    numbers = np.full((rows, take), np.iinfo(np.int64).max, dtype=np.int64)
    for step in range(take):
        going = step < taken
        top = np.where(going, counts - taken + step, 0)
        drawn = rng.integers(0, top + 1)
        repeated = (numbers[:, :step] == drawn[:, None]).any(axis=1)
        numbers[going, step] = np.where(repeated, top, drawn)[going]
    numbers.sort(axis=1)
    return numbers, np.arange(take) < taken[:, None]
