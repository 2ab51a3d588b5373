"""`dgl.gcn`, `dgl.sage`, `dgl.gatv2`, `dgl.rgcn`: networks over typed graphs.

A sampled block does not know how many neighbours its senders have, so everything is normalised by the receiver: a
node's vector does not depend on which others are asked for beside it.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.graph.messages import Messages
from prodmatch_dgl.configs import Gatv2Config, GcnConfig, RgcnConfig, SageConfig
from prodmatch_dgl.library import block_of, dgl


class DglEncoder(NodeEncoder):
    """Convolutions one after the other, with a rectifier and dropout between them."""

    def __init__(self, config: Any, shape: GraphShape) -> None:
        """Make the convolutions."""
        super().__init__(config, shape)
        self.config = config
        self.width, self.layers = config.width, config.layers
        sizes = [shape.inputs] + [config.width] * config.layers
        self.convolutions = nn.ModuleList(self.convolution(a, b) for a, b in itertools.pairwise(sizes))
        self.dropout = nn.Dropout(config.dropout)

    @abstractmethod
    def convolution(self, size: int, width: int) -> nn.Module:
        """Return DGL's convolution from vectors of one size to those of another."""

    @abstractmethod
    def convolve(self, convolution: nn.Module, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width)."""

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width) float32."""
        if not messages.seeds:  # DGL cannot shape what is not there
            return vectors.new_zeros((0, self.width))
        found = self.convolve(self.convolutions[number], messages, vectors)
        return found if number + 1 == self.layers else self.dropout(functional.relu(found))


class GcnEncoder(DglEncoder):
    """Sums over a node and its neighbours, the node counting as one of them, neighbours by their edges' weights."""

    config: GcnConfig

    def convolution(self, size: int, width: int) -> nn.Module:
        """Return a graph convolution that leaves normalising to the edges' weights."""
        return dgl.nn.GraphConv(size, width, norm="none", allow_zero_in_degree=True)

    def convolve(self, convolution: nn.Module, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width)."""
        count = _sums(messages.target, torch.ones_like(messages.weight), messages.seeds)
        own = 1 / (count + 1)
        share = _shares(messages.target, messages.weight, messages.seeds) * (1 - own)[messages.target]
        weight = torch.cat([share, own]).to(vectors.dtype)
        return convolution(block_of(messages, loops=True), vectors, edge_weight=weight)


class SageEncoder(DglEncoder):
    """The node itself, mapped, and what its neighbours say, mapped, added up."""

    config: SageConfig

    def convolution(self, size: int, width: int) -> nn.Module:
        """Return a GraphSAGE layer."""
        return dgl.nn.SAGEConv(size, width, self.config.aggregator)

    def convolve(self, convolution: nn.Module, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width)."""
        if self.config.aggregator != "mean":
            return convolution(block_of(messages), vectors)
        # DGL divides by the number of neighbours; these weights make that the weighted mean.
        count = _sums(messages.target, torch.ones_like(messages.weight), messages.seeds)
        share = _shares(messages.target, messages.weight, messages.seeds) * count[messages.target]
        return convolution(block_of(messages), vectors, edge_weight=share.to(vectors.dtype))


class Gatv2Encoder(DglEncoder):
    """Attention over a node and its neighbours; edges' weights are not read."""

    config: Gatv2Config

    def convolution(self, size: int, width: int) -> nn.Module:
        """Return an attention layer."""
        heads = self.config.heads
        return dgl.nn.GATv2Conv(size, width // heads, heads, residual=True, allow_zero_in_degree=True)

    def convolve(self, convolution: nn.Module, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width)."""
        return convolution(block_of(messages, loops=True), vectors).flatten(1)


class RgcnEncoder(DglEncoder):
    """A map for every relation, its neighbours' mean by weight; and one for the node itself."""

    config: RgcnConfig

    def convolution(self, size: int, width: int) -> nn.Module:
        """Return a relational convolution."""
        relations = max(len(self.shape.relations), 1)
        bases = {"regularizer": "basis", "num_bases": self.config.bases} if self.config.bases else {}
        return dgl.nn.RelGraphConv(size, width, relations, self_loop=True, **bases)

    def convolve(self, convolution: nn.Module, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width)."""
        if not len(messages.source):  # an edge of no weight, for DGL warns of layers without edges
            none = messages.source.new_zeros(1)
            messages = attrs.evolve(
                messages, source=none, target=none, relation=none, weight=messages.weight.new_zeros(1)
            )
        relations = max(len(self.shape.relations), 1)
        group = messages.target * relations + messages.relation
        share = _shares(group, messages.weight, messages.seeds * relations)[:, None].to(vectors.dtype)
        return convolution(block_of(messages), vectors, messages.relation, norm=share)


def _sums(group: Tensor, values: Tensor, groups: int) -> Tensor:
    return values.new_zeros(groups).index_add(0, group, values)


def _shares(group: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Return each weight's share of its group's sum, (edges,) float32."""
    return weight / _sums(group, weight, groups).clamp_min(1e-12)[group]
