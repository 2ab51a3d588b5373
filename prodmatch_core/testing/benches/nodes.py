"""Node encoders at work: on the samplers' graph with two relations, through blocks of all neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import torch

from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder, embed_all
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import all_neighbours, pack, unpack
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.benches import samplers
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds

INPUTS = 12
"Size of the nodes' first vectors."
WANTED = samplers.wanted()
"Nodes that encoders are asked about; the last has no edge."


def graph() -> Graph:
    """Return the samplers' graph, its edges by turns of two relations."""
    plain = samplers.graph()
    relation = (np.arange(plain.edges) % 2).astype(np.int16)
    return attrs.evolve(plain, relation=relation, relations=("click", "purchase"))


def first(seed: int = 0) -> torch.Tensor:
    """Return the first vectors of all nodes, (nodes, INPUTS) float32."""
    drawn = seeds.rng(seed, "kit", "nodes").normal(size=(samplers.NODES, INPUTS))
    return torch.from_numpy(drawn.astype(np.float32))


def build(subject: Subject, seed: int = 0) -> NodeEncoder:
    """Return the node encoder for the graph, in evaluation mode."""
    with seeds.torch_seed(seed, "kit", "weights"):
        shape = GraphShape.of(graph(), INPUTS)
        return subject.factory.build(subject.config, shape, seeds.rng(seed, "kit", "build")).eval()


def ask(made: NodeEncoder, wanted: np.ndarray, vectors: torch.Tensor | None = None) -> Answer:
    """Return the vectors of some nodes, through blocks of all their neighbours."""
    return _asked(made, lambda: through_blocks(made, wanted, first() if vectors is None else vectors))


def ask_whole(made: NodeEncoder) -> Answer:
    """Return the vectors of all nodes from one pass over the whole graph."""
    table = first()
    return _asked(made, lambda: embed_all(made, graph(), lambda nodes: table[nodes], torch.device("cpu")))


def through_blocks(made: NodeEncoder, wanted: np.ndarray, vectors: torch.Tensor) -> torch.Tensor:
    """Return the vectors of some nodes, (n, width), with a gradient where one is wanted."""
    layers = unpack(pack(all_neighbours(graph(), wanted, made.layers), graph()))
    return made(layers, vectors[layers[0].inputs])


def _asked(made: NodeEncoder, ask: Callable[[], Any]) -> Answer:
    was_training = made.training
    made.eval()
    try:
        with torch.inference_mode():
            return {"vectors": ask().float().numpy()}
    finally:
        made.train(was_training)
