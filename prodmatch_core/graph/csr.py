"""A directed graph as compressed sparse rows: a few arrays, nothing else."""

from __future__ import annotations

import attrs
import numpy as np


@attrs.frozen(eq=False)
class Graph:
    """Out-neighbours of every node; where edges are of several kinds, all of them in one set of arrays.

    Attributes:
        offsets: (nodes + 1,) int64; node v's neighbours are `targets[offsets[v]:offsets[v + 1]]`.
        targets: (edges,) int64 neighbour of each edge, ascending within a node.
        weights: (edges,) float32 edge weights, for instance counts.
        relation: (edges,) int16 number of each edge's relation in `relations`; None: all edges are of one kind.
        relations: names of the relations.
    """

    offsets: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    relation: np.ndarray | None = None
    relations: tuple[str, ...] = ()

    @classmethod
    def from_edges(
        cls,
        source: np.ndarray,
        target: np.ndarray,
        nodes: int,
        weights: np.ndarray | None = None,
        relation: np.ndarray | None = None,
        relations: tuple[str, ...] = (),
    ) -> Graph:
        """Build the graph from edge lists, (edges,) int64 each; edges may come in any order and repeat.

        Raises:
            ValueError: an end of an edge is not a node.
        """
        source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
        for name, ends in (("source", source), ("target", target)):
            if len(ends) and (ends.min() < 0 or ends.max() >= nodes):
                row = int(np.flatnonzero((ends < 0) | (ends >= nodes))[0])
                raise ValueError(f"edge {row}: {name} {ends[row]} is not one of the {nodes} nodes")
        from prodmatch_core.graph.kernels import sort_edges

        offsets, order = sort_edges(np.ascontiguousarray(source), np.ascontiguousarray(target), nodes)
        values = np.ones(len(source)) if weights is None else np.asarray(weights)
        return cls(
            offsets,
            target[order],
            values[order].astype(np.float32),
            None if relation is None else np.asarray(relation, dtype=np.int16)[order],
            relations,
        )

    @property
    def nodes(self) -> int:
        """Return the number of nodes."""
        return len(self.offsets) - 1

    @property
    def edges(self) -> int:
        """Return the number of edges."""
        return len(self.targets)

    def degree(self) -> np.ndarray:
        """Return the out-degree of every node, (nodes,) int64."""
        return np.diff(self.offsets)

    def reverse(self) -> Graph:
        """Return the graph with every edge turned round: its out-neighbours are this graph's in-neighbours."""
        source = np.repeat(np.arange(self.nodes), self.degree())
        return Graph.from_edges(self.targets, source, self.nodes, self.weights, self.relation, self.relations)

    def positions(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the positions of every edge from `source[i]` to `target[i]`, of any relation, for any i.

        Args:
            source: (n,) int64 nodes.
            target: (n,) int64 nodes; pairs without an edge have no position.

        Returns:
            (m,) int64 ascending, none twice: what a sampler takes as `exclude`.
        """
        low, high = self.offsets[source], self.offsets[np.asarray(source) + 1]
        first = self._search(low, high, target)
        last = self._search(first, high, np.asarray(target) + 1)
        counts = last - first
        start = np.repeat(first - (np.cumsum(counts) - counts), counts)
        return np.unique(start + np.arange(len(start)))

    def _search(self, low: np.ndarray, high: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the first position from `low` to `high` whose target is not below `wanted`, for all rows at once."""
        low, high = low.copy(), high.copy()
        while (going := low < high).any():
            middle = (low + high) // 2
            below = going & (self.targets[np.minimum(middle, max(self.edges - 1, 0))] < wanted)
            low = np.where(below, middle + 1, low)
            high = np.where(going & ~below, middle, high)
        return low


@attrs.frozen(eq=False)
class Block:
    """One layer of sampled neighbours: messages flow from `inputs` to `seeds`.

    Attributes:
        inputs: (inputs,) int64 nodes whose vectors the layer reads; the seeds come first, in order.
        seeds: how many of `inputs` are the layer's seeds.
        source: (edges,) int64 position in `inputs` of each sampled edge's sender.
        target: (edges,) int64 position in `inputs` (below `seeds`) of its receiver.
        edge: (edges,) int64 position of the edge in the graph's arrays.
    """

    inputs: np.ndarray
    seeds: int
    source: np.ndarray
    target: np.ndarray
    edge: np.ndarray
