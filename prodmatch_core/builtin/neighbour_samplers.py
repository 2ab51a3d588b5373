"""`core.uniform_sampler` and `core.weighted_sampler`: some neighbours of each node, none twice."""

from __future__ import annotations

from typing import Self

import numpy as np

from prodmatch_core.builtin.configs import UniformSamplerConfig
from prodmatch_core.builtin.graph_configs import WeightedSamplerConfig
from prodmatch_core.components.neighbour_sampler import NeighbourSampler
from prodmatch_core.graph.csr import Graph


class UniformSampler(NeighbourSampler):
    """All neighbours equally likely (GraphSAGE, arXiv 1706.02216, section 3.1)."""

    @classmethod
    def build(cls, config: UniformSamplerConfig, graph: Graph) -> Self:
        """Make a sampler of `graph`; nothing is computed beforehand."""
        return cls(graph, config.fanouts)


class WeightedSampler(NeighbourSampler):
    """Neighbours as likely as a power of their edges' weights."""

    @classmethod
    def build(cls, config: WeightedSamplerConfig, graph: Graph) -> Self:
        """Make a sampler of `graph`; its edges' weights are summed up once."""
        return cls(graph, config.fanouts, graph.weights.astype(np.float64) ** config.power)
