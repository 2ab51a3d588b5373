"""DGL, imported once and with its backend named.

Without the name DGL writes a file into the home folder and prints to standard output.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import Messages

os.environ.setdefault("DGLBACKEND", "pytorch")

import dgl


def block_of(messages: Messages, loops: bool = False) -> dgl.DGLGraph:
    """Return a layer of messages as a DGL block; with `loops`, last an edge from each seed to itself."""
    source, target = messages.source, messages.target
    if loops:
        own = torch.arange(messages.seeds, device=source.device)
        source, target = torch.cat([source, own]), torch.cat([target, own])
    return dgl.create_block(
        (source, target),
        num_src_nodes=len(messages.inputs),
        num_dst_nodes=messages.seeds,
        device=source.device,
    )


def dgl_graph(graph: Graph) -> dgl.DGLGraph:
    """Return the graph as DGL has it: messages run along edges, so an edge leads from a neighbour to the node that
    reads.

    Its numbers are 64 bits wide. With 32 the fused sampler of DGL 1.1.3 keeps the positions of an earlier batch and
    gives edges that do not exist, without a word.
    """
    receiver = np.repeat(np.arange(graph.nodes), graph.degree())
    ends = (torch.from_numpy(np.array(graph.targets)), torch.from_numpy(receiver))
    return dgl.graph(ends, num_nodes=graph.nodes, idtype=torch.int64)
