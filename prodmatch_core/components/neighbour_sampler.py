"""`NeighbourSampler`: what samplers share that differ in how many neighbours a node gives, and how likely each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.graph.kernels import enter, forget, running_sums, sample_layer

_NONE = np.empty(0, dtype=np.int64)
_EQUAL = np.empty(0, dtype=np.float64)


class NeighbourSampler(GraphSampler):
    """Draws neighbours without replacement with the core's kernel; may be asked by several threads at once."""

    def __init__(
        self, graph: Graph, limits: Sequence[np.ndarray | int], weights: np.ndarray | None = None
    ) -> None:
        """Make a sampler.

        Args:
            graph: where neighbours are.
            limits: for each layer, the one next to the wanted nodes first, the most neighbours of every node,
            (nodes,) int64
                or a number for all.
            weights: (edges,) chances of a node's edges relative to each other, above 0; None: all the same.
        """
        self.graph = graph
        self.limits = [np.atleast_1d(np.asarray(limit, dtype=np.int64)) for limit in limits]
        self.weights = weights
        self._sums = _EQUAL if weights is None else running_sums(graph.offsets, weights, 1.0)
        self._places: list[np.ndarray] = []

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> list[Block]:
        """Return one block per layer, the outermost first; a node's neighbours are its out-neighbours.

        Args:
            seeds: (n,) int64 different nodes.
            rng: source of every random choice.
            exclude: (m,) int64 positions of edges that must not be sampled, or None.

        Raises:
            ValueError: a seed is no node of the graph, or is there twice.
        """
        nodes = np.ascontiguousarray(seeds, dtype=np.int64)
        if len(nodes) and (nodes.min() < 0 or nodes.max() >= self.graph.nodes):
            raise ValueError(f"seeds must be nodes from 0 to {self.graph.nodes - 1}")
        barred = _NONE if exclude is None else np.unique(exclude).astype(np.int64)
        state = rng.integers(2**63, size=1).astype(np.uint64)
        graph, blocks = self.graph, []
        with self._place() as place:
            try:
                if enter(place, nodes) >= 0:
                    raise ValueError("seeds must be different nodes")
                for limits in self.limits:
                    inputs, source, target, edge = sample_layer(
                        graph.offsets, graph.targets, self._sums, limits, nodes, barred, place, state
                    )
                    blocks.append(Block(inputs, len(nodes), source, target, edge))
                    nodes = inputs
            finally:
                forget(place, nodes)
        return blocks[::-1]

    def chances(self, node: int) -> np.ndarray:
        """Return the chance of every edge of `node` to be the one taken, (degree,) float64."""
        row = slice(self.graph.offsets[node], self.graph.offsets[node + 1])
        weights = (
            np.ones(row.stop - row.start) if self.weights is None else self.weights[row].astype(np.float64)
        )
        return weights / max(weights.sum(), 1e-300)

    @contextmanager
    def _place(self) -> Iterator[np.ndarray]:
        """Lend the positions of nodes to a thread: one array for each thread that samples, kept for the next batch."""
        try:
            place = self._places.pop()
        except IndexError:
            place = np.full(self.graph.nodes, -1, dtype=np.int32)
        try:
            yield place
        finally:
            self._places.append(place)
