"""`core.graph_nodes`: queries and products as nodes of the graph of engagements, through any node encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prodmatch_core.builtin.graph_configs import GraphNodesConfig
from prodmatch_core.components.graph_encoder import GraphEncoder
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.graph.surroundings import Surroundings


class GraphNodesEncoder(GraphEncoder):
    """One vector a node, read along engagements in both directions."""

    @classmethod
    def make_network(
        cls, config: GraphNodesConfig, surroundings: Surroundings, rng: np.random.Generator
    ) -> NodeEncoder:
        """Return the nested node encoder."""
        shape = GraphShape.of(surroundings.graph, config.width)
        return config.nodes.spec.load().build(config.nodes.config, shape, rng)

    @classmethod
    def load_network(cls, config: GraphNodesConfig, folder: Path) -> NodeEncoder:
        """Return the nested node encoder that was saved."""
        return config.nodes.spec.load().load(config.nodes.config, folder)
