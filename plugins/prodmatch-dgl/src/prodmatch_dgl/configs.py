"""The fields of the parts on DGL. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.builtin.configs import fanouts
from prodmatch_core.fields import at_least, below_one, one_of


@attrs.frozen
class GcnConfig:
    """`dgl.gcn`: one map for all neighbours and the node itself."""

    width: int = attrs.field(default=64, validator=at_least(2))
    "Size of the vectors."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "How far it looks; as many as the sampler has fanouts."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped between layers while training."


@attrs.frozen
class SageConfig(GcnConfig):
    """`dgl.sage`: a map of the node itself beside one of what its neighbours say."""

    aggregator: str = attrs.field(default="mean", validator=one_of("mean", "pool"))
    "mean: of the neighbours, by weight; pool: the maximum of a layer over each."


@attrs.frozen
class Gatv2Config(GcnConfig):
    """`dgl.gatv2`: neighbours count as much as attention says."""

    heads: int = attrs.field(default=4, validator=at_least(1))
    "Attentions, each of which gives a part of the vector; `width` is a multiple of it."

    def __attrs_post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads, got width = {self.width} and heads = {self.heads}"
            )


@attrs.frozen
class RgcnConfig(GcnConfig):
    """`dgl.rgcn`: a map for every relation."""

    bases: int = attrs.field(default=0, validator=at_least(0))
    "Maps that those of all relations are made of; 0: each relation has its own."


@attrs.frozen
class NeighborConfig:
    """`dgl.neighbor`: some neighbours of each node, drawn by DGL."""

    fanouts: tuple[int, ...] = attrs.field(default=(10, 5), validator=fanouts)
    "Neighbours read per node in each layer; the layer next to the wanted nodes comes first."
    weighted: bool = False
    "Whether neighbours are as likely as their edges weigh; otherwise all are."
