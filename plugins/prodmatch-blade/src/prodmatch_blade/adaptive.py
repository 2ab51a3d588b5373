"""`blade.adaptive`: how many neighbours a node gives is a law of its degree."""

from __future__ import annotations

from typing import Self

import numpy as np

from prodmatch_blade.configs import AdaptiveConfig
from prodmatch_blade.walks import WALK
from prodmatch_core.components.neighbour_sampler import NeighbourSampler
from prodmatch_core.graph.csr import Graph


class AdaptiveSampler(NeighbourSampler):
    """Draws k(v) neighbours of node v, without replacement, as likely as a power of their own degrees."""

    @classmethod
    def build(cls, config: AdaptiveConfig, graph: Graph) -> Self:
        """Make a sampler of `graph`, computing every node's k once. Ends of random walks do not count in a degree."""
        degree = own_degree(graph)
        limits = [neighbours(degree, most, config) for most in config.fanouts]
        weights = None
        if config.gamma:
            weights = np.maximum(degree, 1).astype(np.float64)[graph.targets] ** config.gamma
        return cls(graph, limits, weights)


def neighbours(degree: np.ndarray, most: int, config: AdaptiveConfig) -> np.ndarray:
    """Return k(v) of nodes of some degrees, (n,) int64: from `most` where degrees are small down to `config.least`."""
    ratio = np.maximum(degree, 1) / config.smallest
    # 1e-9 keeps the rounding of a power from adding a neighbour where the law gives a whole number.
    wanted = np.ceil(most * ratio**-config.alpha - 1e-9)
    return np.clip(wanted, min(config.least, most), most).astype(np.int64)


def own_degree(graph: Graph) -> np.ndarray:
    """Return how many edges a node has, those to ends of random walks left out, (nodes,) int64."""
    degree = graph.degree()
    if graph.relation is None or WALK not in graph.relations:
        return degree
    walked = graph.relation == graph.relations.index(WALK)
    sums = np.concatenate([[0], np.cumsum(walked)])
    return degree - (sums[graph.offsets[1:]] - sums[graph.offsets[:-1]])
