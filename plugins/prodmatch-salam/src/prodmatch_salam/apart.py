"""Neighbourhoods of pairs, each pair's its own: what one pair must not read, another may."""

from __future__ import annotations

import numpy as np

from prodmatch_core.graph.csr import Block, Graph


def pair_blocks(graph: Graph, query: np.ndarray, product: np.ndarray, layers: int) -> list[Block]:
    """Return the blocks of all neighbours of pairs of nodes, the outermost first, without the edges within a pair.

    A node that several pairs read comes once for each, so `inputs` repeat nodes.

    Args:
        graph: where neighbours are.
        query: (n,) int64 nodes.
        product: (n,) int64 nodes.
        layers: how many blocks.

    Returns:
        Blocks whose last has 2 n seeds: the queries, then the products.
    """
    pairs = np.arange(len(query))
    pair, node = np.concatenate([pairs, pairs]), np.concatenate([query, product])
    blocks: list[Block] = []
    for _ in range(layers):
        first, counts = graph.offsets[node], graph.offsets[node + 1] - graph.offsets[node]
        target = np.repeat(np.arange(len(node)), counts)
        edge = np.arange(len(target)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        receiver, sender, owner = node[target], graph.targets[edge], pair[target]
        own = (receiver == query[owner]) & (sender == product[owner])
        own |= (receiver == product[owner]) & (sender == query[owner])
        target, edge, sender, owner = target[~own], edge[~own], sender[~own], owner[~own]
        here, asked = pair * graph.nodes + node, owner * graph.nodes + sender
        fresh = np.setdiff1d(asked, here)
        keys = np.concatenate([here, fresh])
        order = np.argsort(keys, kind="stable")
        source = order[np.searchsorted(keys, asked, sorter=order)]
        seeds, node = len(node), np.concatenate([node, fresh % graph.nodes])
        pair = np.concatenate([pair, fresh // graph.nodes])
        blocks.append(Block(node, seeds, source, target, edge))
    return blocks[::-1]
