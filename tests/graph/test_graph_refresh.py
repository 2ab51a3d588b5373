from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.builtin.graph_configs import MeanNodesConfig
from prodmatch_core.builtin.mean_nodes import MeanNodesEncoder
from prodmatch_core.components.node_embeddings import NodeEmbeddings
from prodmatch_core.components.node_encoder import GraphShape
from prodmatch_core.graph.csr import Graph
from prodmatch_core.training import seeds

TABLE = torch.from_numpy(np.random.default_rng(5).normal(size=(60, 6)).astype(np.float32))


def network() -> MeanNodesEncoder:
    with seeds.torch_seed(0, "weights"):
        return MeanNodesEncoder(MeanNodesConfig(width=5, layers=2), GraphShape(6)).eval()


def graph_of(pairs: set[tuple[int, int]], nodes: int) -> Graph:
    ends = np.array(sorted(pairs)).reshape(-1, 2)
    return Graph.from_edges(ends[:, 0], ends[:, 1], nodes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_refresh_is_what_computing_everything_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = {(int(a), int(b)) for a, b in rng.integers(50, size=(120, 2)) if a != b}
    before = graph_of(pairs, 50)
    after = graph_of(
        (pairs - set(sorted(pairs)[:2])) | {(int(rng.integers(50)), 52), (54, int(rng.integers(50)))}, 55
    )
    table = TABLE.clone()
    encoder = network()
    old = NodeEmbeddings.of(encoder, before, lambda nodes: table[nodes])
    changed = rng.choice(50, size=2, replace=False)
    table[torch.from_numpy(changed)] += 1
    new, counts = old.refreshed(encoder, after, lambda nodes: table[nodes], changed)
    whole = NodeEmbeddings.of(encoder, after, lambda nodes: table[nodes])
    assert torch.allclose(new.vectors, whole.vectors, atol=1e-6)
    assert counts[0] == 2 + 5


def test_a_refresh_computes_only_what_reads_a_change() -> None:
    ring = {(n, (n + 1) % 50) for n in range(50)}
    encoder = network()
    old = NodeEmbeddings.of(encoder, graph_of(ring, 50), lambda nodes: TABLE[nodes])
    same, none = old.refreshed(
        encoder, graph_of(ring, 50), lambda nodes: TABLE[nodes], np.empty(0, dtype=np.int64)
    )
    assert none == (0, 0, 0)
    assert torch.equal(same.vectors, old.vectors)
    _, one = old.refreshed(encoder, graph_of(ring, 50), lambda nodes: TABLE[nodes], np.array([7]))
    assert one == (1, 2, 3)
    _, edge = old.refreshed(
        encoder, graph_of(ring | {(9, 30)}, 50), lambda nodes: TABLE[nodes], np.empty(0, dtype=np.int64)
    )
    assert edge == (0, 1, 2)


@pytest.mark.parametrize("nodes", [0, 50])
def test_saved_vectors_are_read_back(nodes: int, tmp_path: Path) -> None:
    graph = graph_of({(n, (n + 1) % 50) for n in range(nodes)}, nodes)
    found = NodeEmbeddings.of(network(), graph, lambda rows: TABLE[rows])
    found.save(tmp_path)
    again = NodeEmbeddings.load(tmp_path, graph)
    assert all(torch.equal(left, right) for left, right in zip(found.layers, again.layers, strict=True))
