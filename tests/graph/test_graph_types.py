from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.builtin.graph_configs import MeanNodesConfig
from prodmatch_core.builtin.mean_nodes import MeanNodesEncoder
from prodmatch_core.components.node_encoder import GraphShape
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.graph.cold import borrowed
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.files import load_graph, save_graph
from prodmatch_core.graph.messages import all_neighbours, pack, unpack
from prodmatch_core.graph.nodes import Nodes, typed_graph
from prodmatch_core.graph.surroundings import Surroundings, node_texts

ENGAGEMENTS = pl.DataFrame(
    {
        "src_kind": ["query", "query", "product", "product", "query"],
        "src": ["q1", "q1", "p1", "p2", "q1"],
        "relation": ["click", "purchase", "co_view", "co_view", "click"],
        "dst_kind": ["product"] * 5,
        "dst": ["p1", "p1", "p2", "p2", "p3"],
        "count": [5.0, 2.0, 1.0, 9.0, 4.0],
    }
)
PRODUCTS = pl.DataFrame(
    {"product_id": ["p1", "p2", "p3", "p4"], "title": ["red mug", "mug", "lamp", "red mugs"]}
)
DATASET = Dataset(
    "shop",
    products=PRODUCTS.with_columns(locale=pl.lit("en")),
    queries=pl.DataFrame({"query_id": ["q1"], "locale": ["en"], "text": ["mug"]}),
    engagements=ENGAGEMENTS,
)


def edges_of(graph: Graph, nodes: Nodes) -> set[tuple[str, str, str, float]]:
    names = np.concatenate([ids.to_numpy() for ids in nodes.ids.values()])
    source = np.repeat(np.arange(graph.nodes), graph.degree())
    kinds = graph.relation
    assert kinds is not None
    return {
        (names[a], graph.relations[r], names[b], float(w))
        for a, b, r, w in zip(source, graph.targets, kinds, graph.weights, strict=True)
    }


def test_engagements_become_typed_counted_edges_both_ways_without_loops() -> None:
    nodes = Nodes.of(DATASET)
    graph = typed_graph(ENGAGEMENTS, nodes)
    there = {("q1", "click", "p1", 5.0), ("q1", "purchase", "p1", 2.0), ("p1", "co_view", "p2", 1.0)}
    there |= {("q1", "click", "p3", 4.0)}
    back = {(b, f"{relation}:back", a, count) for a, relation, b, count in there}
    assert edges_of(graph, nodes) == there | back


def test_only_the_relations_asked_for_are_read() -> None:
    graph = typed_graph(ENGAGEMENTS, Nodes.of(DATASET), both_ways=False, relations=["purchase"])
    assert (graph.edges, graph.relations) == (1, ("purchase",))


def test_nodes_are_found_by_kind_and_unknown_ones_are_not() -> None:
    nodes = Nodes.of(DATASET)
    assert nodes.find("query", pl.Series(["q1", "p1"])).tolist() == [0, -1]
    assert nodes.find("product", pl.Series(["p4", "p1", "x"])).tolist() == [4, 1, -1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_positions_are_those_of_every_edge_between_the_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 60))
    graph = Graph.from_edges(rng.integers(8, size=count), rng.integers(8, size=count), 8)
    source, target = rng.integers(8, size=5), rng.integers(8, size=5)
    starts = np.repeat(np.arange(8), graph.degree())
    wanted = set(zip(source.tolist(), target.tolist(), strict=True))
    expected = [
        i
        for i, pair in enumerate(zip(starts.tolist(), graph.targets.tolist(), strict=True))
        if pair in wanted
    ]
    assert graph.positions(source, target).tolist() == expected


def test_a_saved_graph_is_mapped_back_array_by_array(tmp_path: Path) -> None:
    graph = typed_graph(ENGAGEMENTS, Nodes.of(DATASET))
    save_graph(graph, tmp_path)
    again = load_graph(tmp_path)
    assert isinstance(again.targets, np.memmap)
    assert again.relations == graph.relations
    for name in ("offsets", "targets", "weights", "relation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(graph, name))


def test_blocks_of_all_neighbours_leave_out_excluded_edges_in_every_layer() -> None:
    graph = Graph.from_edges(np.array([0, 1, 2]), np.array([1, 2, 0]), 3)
    outer, inner = all_neighbours(graph, np.array([0]), 2, exclude=np.array([1]))
    assert inner.inputs[inner.source].tolist() == [1]
    assert len(outer.edge) == 1 and outer.edge.tolist() == [0]


def test_a_batch_carries_layers_and_gives_them_back() -> None:
    graph = typed_graph(ENGAGEMENTS, Nodes.of(DATASET))
    blocks = all_neighbours(graph, np.array([0, 3]), 2)
    layers = unpack(pack(blocks, graph))
    for block, layer in zip(blocks, layers, strict=True):
        assert layer.seeds == block.seeds
        assert layer.inputs.tolist() == block.inputs.tolist()
        assert layer.relation.tolist() == graph.relation[block.edge].tolist()
        assert layer.weight.tolist() == graph.weights[block.edge].tolist()


def test_a_node_encoder_refuses_blocks_of_another_depth() -> None:
    graph = typed_graph(ENGAGEMENTS, Nodes.of(DATASET))
    encoder = MeanNodesEncoder(MeanNodesConfig(width=4, layers=2), GraphShape.of(graph, 3))
    layers = unpack(pack(all_neighbours(graph, np.array([0]), 1), graph))
    with pytest.raises(
        ValueError, match="1 blocks for a node encoder of 2 layers; give the sampler as many fanouts"
    ):
        encoder(layers, torch.zeros(len(layers[0].inputs), 3))


def test_a_node_without_edges_borrows_the_neighbours_of_the_nearest_by_text() -> None:
    graph = Graph.from_edges(np.array([0, 1]), np.array([2, 3]), 5)
    places = np.array([0, 1, 4])
    grown = borrowed(graph, places, ["red kettle", "blue lamp", "red kettles"], near=1)
    assert grown.targets[grown.offsets[4] : grown.offsets[5]].tolist() == [2]
    assert 0 < grown.weights[grown.offsets[4]] < 1
    np.testing.assert_array_equal(grown.targets[: graph.edges], graph.targets)


@pytest.mark.parametrize("two_sided", [False, True])
def test_unseen_products_become_places_behind_all_others(two_sided: bool) -> None:
    nodes = Nodes.of(DATASET)
    graph = typed_graph(ENGAGEMENTS, nodes)
    if two_sided:
        graph = Graph.from_edges(np.array([2]), np.array([5]), 2 * nodes.count)
    corpus = Corpus(DATASET.queries, PRODUCTS)
    around = Surroundings(nodes, graph, node_texts(nodes, DATASET, corpus), two_sided)
    more = pl.concat([PRODUCTS, pl.DataFrame({"product_id": ["p9"], "title": ["blue lamp"]})])
    grown = around.with_cold(Corpus(DATASET.queries, more), near=0)
    assert grown.nodes.find("product", pl.Series(["p9"])).tolist() == [nodes.count]
    assert grown.graph.nodes == grown.places == around.places + (2 if two_sided else 1)
    assert grown.texts.product_texts()[-1] == "blue lamp"
    np.testing.assert_array_equal(grown.graph.targets, graph.targets)
