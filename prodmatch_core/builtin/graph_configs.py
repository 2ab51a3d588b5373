"""The fields of the plain parts for graphs. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.builtin.configs import fanouts
from prodmatch_core.fields import at_least, below_one, non_negative, part
from prodmatch_core.records import Part


@attrs.frozen
class MeanNodesConfig:
    """`core.mean_nodes`: a node's own vector beside the mean of its neighbours'."""

    width: int = attrs.field(default=64, validator=at_least(2))
    "Size of the vectors."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "How far it looks."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped while training."


@attrs.frozen
class GraphNodesConfig:
    """`core.graph_nodes`: queries and products as nodes of the graph of engagements."""

    nodes: Part = part("encoder")
    "The network over the graph, a part that gives nodes."
    text: Part | None = part("encoder", default=None)
    "Also reads the nodes' texts, with a part that gives embeddings."
    learnt: bool = True
    "Whether every node has a vector of its own, learnt; without, texts alone tell nodes apart."
    width: int = attrs.field(default=64, validator=at_least(2))
    "Size of the nodes' first vectors."
    relations: tuple[str, ...] = ()
    "Relations that are read; empty: all."
    cold: int = attrs.field(default=0, validator=at_least(0))
    "Products without edges read the neighbours of so many others, the nearest by their texts; 0: of none."

    def __attrs_post_init__(self) -> None:
        if not self.learnt and self.text is None:
            raise ValueError("expected learnt = true, or a text encoder; else all nodes are alike")


@attrs.frozen
class WeightedSamplerConfig:
    """`core.weighted_sampler`."""

    fanouts: tuple[int, ...] = attrs.field(default=(10, 5), validator=fanouts)
    "Neighbours read per node in each layer; the layer next to the wanted nodes comes first."
    power: float = attrs.field(default=1.0, validator=non_negative)
    "An edge is as likely as its weight to this power; 0: all the same."
