"""The parts on DGL: imports nothing but records and configuration classes."""

from __future__ import annotations

from collections.abc import Iterator

from prodmatch_core import hookimpl
from prodmatch_core.records import EncoderSpec, GraphSamplerSpec
from prodmatch_dgl.configs import Gatv2Config, GcnConfig, NeighborConfig, RgcnConfig, SageConfig

HERE = "prodmatch_dgl"


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the networks over graphs."""
    yield EncoderSpec(
        name="dgl.gcn",
        summary="Graph convolution: one map for all neighbours and the node itself.",
        factory=f"{HERE}.networks:GcnEncoder",
        config=GcnConfig,
        gives={"nodes"},
        paper="arXiv 1609.02907, equation 2, normalised by the receiver",
    )
    yield EncoderSpec(
        name="dgl.sage",
        summary="GraphSAGE: the node itself beside the mean or maximum of its neighbours.",
        factory=f"{HERE}.networks:SageEncoder",
        config=SageConfig,
        gives={"nodes"},
        paper="arXiv 1706.02216, algorithm 1",
    )
    yield EncoderSpec(
        name="dgl.gatv2",
        summary="Graph attention whose ranking of neighbours depends on the node that asks.",
        factory=f"{HERE}.networks:Gatv2Encoder",
        config=Gatv2Config,
        gives={"nodes"},
        paper="arXiv 2105.14491, equation 7",
    )
    yield EncoderSpec(
        name="dgl.rgcn",
        summary="Relational graph convolution: a map for every relation.",
        factory=f"{HERE}.networks:RgcnEncoder",
        config=RgcnConfig,
        gives={"nodes"},
        paper="arXiv 1703.06103, equations 2 and 3",
    )


@hookimpl
def prodmatch_graph_samplers() -> Iterator[GraphSamplerSpec]:
    """Return DGL's neighbour sampler."""
    yield GraphSamplerSpec(
        name="dgl.neighbor",
        summary="Some neighbours of each node, none twice, drawn by DGL.",
        factory=f"{HERE}.neighbor:NeighborSampler",
        config=NeighborConfig,
        needs={"engagements"},
        gives={"blocks"},
        paper="arXiv 1706.02216, section 3.1",
    )
