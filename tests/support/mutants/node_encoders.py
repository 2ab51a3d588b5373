"""Encoders of nodes, each of which breaks one check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mutants.mutant import Mutant, mutant
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.graph.messages import Messages
from prodmatch_core.records import EncoderSpec


class Sums(NodeEncoder):
    """Two layers of own vectors and sums of neighbours'."""

    width, layers = 5, 2

    def __init__(self, config: Any, shape: GraphShape) -> None:
        super().__init__(config, shape)
        self.mix = nn.ModuleList([nn.Linear(shape.inputs, 5), nn.Linear(5, 5)])

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        sent = self.sent(messages, vectors)
        read = vectors[: messages.seeds].index_add(0, messages.target, sent)
        return torch.tanh(self.mix[number](read))

    def sent(self, messages: Messages, vectors: Tensor) -> Tensor:
        return vectors[messages.source]


class Wide(Sums):
    """6 nodes and width 9 make vectors of shape (6, 5), 0 numbers of them not finite. Return one finite vector of size
    `width` a node; a node without neighbours has its own vector.
    """

    width = 9


class Centred(Sums):
    """a node's vector differs by # with others asked for beside it. Take no statistic over a block's nodes."""

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        found = super().layer(number, messages, vectors)
        return found - found.mean(0, keepdim=True) / 2 if len(found) else found


class AfterTheLayers(Sums):
    """over the whole graph vectors differ by # from those through blocks. Do everything in `layer`, from nothing but the
    layer's number, its messages and its vectors.
    """

    def forward(self, layers: Sequence[Messages], vectors: Tensor) -> Tensor:
        return 1.37 * super().forward(layers, vectors)


class Alone(Sums):
    """a node's vector does not depend on its neighbours. Read `vectors[messages.source]` in every layer."""

    def sent(self, messages: Messages, vectors: Tensor) -> Tensor:
        return torch.zeros_like(vectors[messages.source])


class Rooted(Sums):
    """the gradient of mix.0.weight is not finite. Look for a square root, norm, logarithm or division at 0."""

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        found = super().layer(number, messages, vectors)
        return found + (found - found).sum(1, keepdim=True).sqrt()


class Detached(Sums):
    """no weight has a gradient. Do not detach the vectors from what made them."""

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        return super().layer(number, messages, vectors).detach().requires_grad_()


class Forgets(Sums):
    """loaded from its files, the part answers otherwise, by #. Save everything that was learnt."""

    def __init__(self, config: Any, shape: GraphShape) -> None:
        super().__init__(config, shape)
        self.register_buffer("shift", torch.rand(5), persistent=False)

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        return super().layer(number, messages, vectors) + self.shift


def nodes(check: str, factory: Any) -> Mutant:
    return mutant(check, EncoderSpec, factory, gives={"nodes"})


HEALTHY = [nodes("sums", Sums)]
MUTANTS = [
    nodes("one_vector_a_node", Wide),
    nodes("node_independence", Centred),
    nodes("whole_graph_is_the_same", AfterTheLayers),
    nodes("reads_as_far_as_its_layers", Alone),
    nodes("finite_gradients", Rooted),
    nodes("finite_gradients", Detached),
    nodes("saved_and_loaded_is_the_same", Forgets),
]
