"""`core.mean_nodes`: a plain network over graphs, in torch alone."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.builtin.graph_configs import MeanNodesConfig
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.graph.messages import Messages, weighted_mean


class MeanNodesEncoder(NodeEncoder):
    """Layers of [own vector; weighted mean of the neighbours' vectors] (GraphSAGE, arXiv 1706.02216, algorithm 1).

    Relations are not told apart.
    """

    def __init__(self, config: MeanNodesConfig, shape: GraphShape) -> None:
        """Make the layers."""
        super().__init__(config, shape)
        self.width, self.layers = config.width, config.layers
        sizes = [shape.inputs] + [config.width] * config.layers
        self.mix = nn.ModuleList(nn.Linear(2 * a, b) for a, b in itertools.pairwise(sizes))
        self.dropout = nn.Dropout(config.dropout)

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width) float32."""
        own = vectors[: messages.seeds]
        mixed = self.mix[number](torch.cat([own, weighted_mean(messages, vectors)], dim=1))
        return mixed if number + 1 == self.layers else self.dropout(functional.relu(mixed))
