"""The laws of the method: who may read what, and what one example may know of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Examples, match_examples
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import Messages
from prodmatch_core.rundata import read_dataset
from prodmatch_core.training import seeds
from prodmatch_salam import pairs
from prodmatch_salam.apart import pair_blocks
from prodmatch_salam.attention import ViewAttention
from prodmatch_salam.edges import proxy, surround
from prodmatch_salam.fusion import FusionEncoder

SMALL: Mapping[str, Any] = {
    "use": "salam.fusion",
    "text": {"use": "core.ngram", "width": 8, "buckets": 4096},
    "graph": {"use": "core.mean_nodes", "width": 16, "layers": 2, "dropout": 0.0},
    "features": {"use": "core.ngram", "mode": "two_tower", "width": 16, "buckets": 4096},
    "width": 16,
    "node_width": 16,
    "dropout": 0.0,
}


def tree(**encoder: Any) -> dict[str, Any]:
    return {
        "pipeline": {"name": "salam"},
        "data": {"use": "shop.synthetic", "size": 1500},
        "member": [
            {
                "encoder": {**SMALL, **encoder},
                "sampler": {"use": "core.uniform_sampler", "fanouts": [5, 5]},
            }
        ],
    }


@pytest.fixture(scope="module")
def shop() -> FitData:
    """Return a small shop in three locales with what shoppers did in it."""
    return fit_data(read_dataset(load_pipeline(tree()), ReadContext()))


def fit_data(dataset: Dataset) -> FitData:
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    (member,) = load_pipeline(tree()).member
    return FitData(
        corpus, examples["train"], examples["valid"], dataset.scheme, dataset, sampler=member.sampler
    )


def built(data: FitData, **encoder: Any) -> FusionEncoder:
    (member,) = load_pipeline(tree(**encoder)).member
    with seeds.torch_seed(0, "weights"):
        made = FusionEncoder.build(member.encoder.config, data, seeds.rng(0, "build"))
    return made.eval()


def asked(made: FusionEncoder, data: FitData, examples: Examples) -> Tensor:
    prepared = made.prepare(data.corpus)
    with torch.inference_mode():
        pair = made(prepared.batch(examples.query, examples.product)).pair
    assert pair is not None
    return pair


def toy(edges: list[tuple[str, str, str]]) -> FitData:
    """Return four queries and four products, every query judged with every product, and shoppers' clicks."""
    numbers = range(4)
    words = ("red lamp", "blue chair", "green rug", "oak desk")
    queries = pl.DataFrame(
        {"query_id": [f"q{n}" for n in numbers], "locale": ["en"] * 4, "text": list(words)}
    )
    products = pl.DataFrame(
        {
            "product_id": [f"p{n}" for n in numbers],
            "locale": ["en"] * 4,
            "title": [f"{word} deluxe" for word in words],
        }
    )
    judged = [(f"q{q}", f"p{p}") for q in numbers for p in numbers]
    split = {"q0": "train", "q1": "train", "q2": "valid", "q3": "test"}
    judgements = pl.DataFrame(
        {
            "query_id": [q for q, _ in judged],
            "product_id": [p for _, p in judged],
            "label": ["exact" if q[1] == p[1] else "irrelevant" for q, p in judged],
            "split": [split[q] for q, _ in judged],
        }
    )
    engagements = pl.DataFrame(
        [("query", q, relation, "product", p, 1.0) for q, relation, p in edges],
        schema=["src_kind", "src", "relation", "dst_kind", "dst", "count"],
        orient="row",
    )
    return fit_data(Dataset("toy", ESCI, products, queries, judgements, engagements))


# -- 1. batch independence -------------------------------------------------------------------------------------------


def test_an_example_does_not_change_with_its_batch_mates(shop: FitData) -> None:
    made, examples = built(shop), shop.valid.take(slice(0, 40))
    together = asked(made, shop, examples)
    for row in range(0, 40, 7):
        alone = asked(made, shop, examples.take(slice(row, row + 1)))
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


def test_attention_runs_over_views_and_never_over_examples() -> None:
    with seeds.torch_seed(0, "weights"):
        layer = ViewAttention([6, 4, 4], 16, 4, dropout=0.0).train()
        views = [torch.randn(5, size) for size in (6, 4, 4)]
        others = [view + 100 * torch.randn(view.shape) for view in views]
    there = torch.ones(5, 3, dtype=torch.bool)
    mixed = [torch.cat([view[:1], other[1:]]) for view, other in zip(views, others, strict=True)]
    torch.testing.assert_close(layer(views, there)[0], layer(mixed, there)[0])
    assert (layer(views, there)[1:] - layer(mixed, there)[1:]).abs().min() > 1e-6


# -- 2. how far two layers look --------------------------------------------------------------------------------------

CHAIN = [("q1", "click", "p0"), ("q1", "click", "p1"), ("q2", "click", "p1"), ("q2", "click", "p2")]
"p0 - q1 - p1 - q2 - p2: from p0, q1 is one step away, p1 two, q2 three."


def centre(edges: list[tuple[str, str, str]], weights: dict[str, Tensor] | None = None) -> Tensor:
    """Return the vector of product p0 in a graph; features are texts', so that graphs share the weights."""
    made = built(toy([*edges, ("q3", "click", "p3")]))
    if weights:
        made.load_state_dict(weights)
    node = made.surroundings.nodes.find("product", pl.Series(["p0"]))
    with torch.inference_mode():
        return made.node_vectors()[int(node[0])]


def test_two_layers_see_a_neighbour_two_steps_away_and_none_three_steps_away() -> None:
    weights = built(toy([*CHAIN, ("q3", "click", "p3")])).state_dict()
    whole = centre(CHAIN, weights)
    without_second = [edge for edge in CHAIN if edge != ("q1", "click", "p1")]
    without_third = [edge for edge in CHAIN if edge != ("q2", "click", "p1")]
    assert (centre(without_second, weights) - whole).abs().max() > 1e-3
    torch.testing.assert_close(centre(without_third, weights), whole)


# -- 3. no leak --------------------------------------------------------------------------------------------------------


def within_pairs(batch: Mapping[str, Tensor], prefix: str, pairs: set[tuple[int, int]]) -> int:
    """Return how many edges of a batch's blocks run within one of the pairs of nodes, either way."""
    found, layer = 0, 0
    while f"{prefix}.{layer}.inputs" in batch:
        inputs, source, target = (
            batch[f"{prefix}.{layer}.{name}"] for name in ("inputs", "source", "target")
        )
        ends = zip(inputs[source].tolist(), inputs[target].tolist(), strict=True)
        found += sum((a, b) in pairs or (b, a) in pairs for a, b in ends)
        layer += 1
    assert layer == 2
    return found


def test_a_training_batch_reads_no_edge_within_any_of_its_pairs(shop: FitData) -> None:
    prepared = built(shop).prepare(shop.corpus)
    linked = 0
    for start in range(0, 512, 64):
        part = shop.train.take(slice(start, start + 64))
        batch = prepared.draw(part.query, part.product, seeds.rng(0, "draw", start))  # type: ignore[attr-defined]
        nodes = zip(
            prepared.query[part.query].tolist(),  # type: ignore[attr-defined]
            prepared.product[part.product].tolist(),  # type: ignore[attr-defined]
            strict=True,
        )
        assert not within_pairs(batch, "drawn", set(nodes))
        linked += int(batch["link_present"][:64].sum())
    assert linked > 100  # there were edges to leave out


def asked_links(batch: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    """Return the nodes of the pairs that a batch's links ask about; seeds are the last block's first inputs."""
    nodes = batch["drawn.1.inputs"]
    return list(zip(nodes[batch["link_query"]].tolist(), nodes[batch["link_product"]].tolist(), strict=True))


def drawn_links(made: FusionEncoder, shop: FitData, links: int) -> tuple[Any, Mapping[str, Tensor], int]:
    """Return what is prepared, a drawn batch, and how many of its pairs the graph knows on both sides."""
    part, prepared = shop.train.take(slice(0, 256)), made.prepare(shop.corpus)
    batch = prepared.draw(part.query, part.product, seeds.rng(0, "draw"))  # type: ignore[attr-defined]
    query, product = prepared.query[part.query], prepared.product[part.product]  # type: ignore[attr-defined]
    known = int(((query >= 0) & (product >= 0)).sum())
    warm = int((query >= 0).sum())
    assert len(batch["link_query"]) == known + 2 * links * warm
    return prepared, batch, known


@pytest.mark.parametrize("links", [1, 3])
def test_links_ask_of_each_pair_of_its_querys_edges_and_of_random_products(shop: FitData, links: int) -> None:
    prepared, batch, known = drawn_links(built(shop, links=links), shop, links)
    there = batch["link_present"].any(dim=1).numpy()
    edges = (len(there) - known) // 2
    assert there[known : known + edges].all()
    assert there[known + edges :].mean() < 0.05
    assert 0.1 < there[:known].mean() < 0.9
    # more products than the batch has: edges of its queries that were never judged, and products of no query in it
    mine = set(prepared.product[shop.train.take(slice(0, 256)).product].tolist())
    asked = [product for _, product in asked_links(batch)]
    assert np.mean([product in mine for product in asked[known : known + edges]]) < 0.9
    assert np.mean([product in mine for product in asked[known + edges :]]) < 0.2


def test_what_links_are_told_is_what_the_graph_holds_and_no_edge_asked_about_is_read(shop: FitData) -> None:
    made = built(shop)
    _, batch, _ = drawn_links(made, shop, 1)
    asked, graph = asked_links(batch), made.surroundings.graph
    for (query, product), present in list(zip(asked, batch["link_present"], strict=True))[::17]:
        row = slice(graph.offsets[query], graph.offsets[query + 1])
        assert graph.relation is not None
        held = set(graph.relation[row][graph.targets[row] == product].tolist())
        assert held == set(np.flatnonzero(present.numpy()).tolist())
    assert not within_pairs(batch, "drawn", set(asked))


def test_a_query_without_edges_is_asked_about_no_edge() -> None:
    data = toy([*CHAIN, ("q3", "click", "p3")])
    made = built(data, setting="transductive")
    batch = made.prepare(data.corpus).draw(np.array([0, 1]), np.array([3, 0]), seeds.rng(0, "draw"))  # type: ignore[attr-defined]
    query = {int(batch["drawn.1.inputs"][row]) for row in batch["link_query"]}
    assert query == {int(made.surroundings.nodes.find("query", pl.Series(["q1"]))[0])}
    assert len(batch["link_query"]) == 3


# -- what means over neighbours do not tell ------------------------------------------------------------------------------


def test_a_nodes_strength_counts_its_edges_of_each_relation_without_the_pairs_own() -> None:
    data = toy([*CHAIN, *CHAIN[:2], ("q1", "purchase", "p0")])
    made = built(data)
    assert made.surroundings.graph.relations == ("click", "purchase", "click:back", "purchase:back")
    batch = made.prepare(data.corpus).batch(np.array([1, 1]), np.array([0, 2]))
    query, product = (torch.expm1(batch[f"{side}_strength"]) for side in ("query", "product"))
    # of q1: click, purchase, and back; their weights, then their number. With p0 it has two clicks and a purchase.
    torch.testing.assert_close(query[0], torch.tensor([2.0, 0, 0, 0, 2, 0, 0, 0]))
    torch.testing.assert_close(query[1], torch.tensor([4.0, 1, 0, 0, 4, 1, 0, 0]))
    torch.testing.assert_close(product[0], torch.zeros(8))
    torch.testing.assert_close(product[1], torch.tensor([0.0, 0, 1, 0, 0, 0, 1, 0]))


def test_two_nodes_are_compared_where_both_have_other_neighbours(shop: FitData) -> None:
    made = built(shop)
    examples = shop.valid.take(slice(0, 60))
    batch = made.prepare(shop.corpus).batch(examples.query, examples.product)
    shown: list[Tensor] = []
    made.fuse.register_forward_pre_hook(lambda _, given: shown.append(given[1]))
    with torch.inference_mode():
        made(batch)
    assert shown[0].shape == (60, 4)
    both = batch["query_there"] & batch["product_there"]
    torch.testing.assert_close(shown[0][:, 3], both)
    assert 0.1 < both.float().mean() < 0.95


def test_a_fusion_of_the_papers_three_views_is_there_to_compare_with(shop: FitData) -> None:
    plain = built(shop, compare=False, strengths=False)
    assert len(plain.fuse.read) == 3
    assert "query_strength" not in plain.prepare(shop.corpus).batch(
        shop.valid.query[:3], shop.valid.product[:3]
    )
    assert asked(plain, shop, shop.valid.take(slice(0, 5))).shape == (5, 16)


def test_a_scored_pair_reads_no_edge_within_itself(shop: FitData) -> None:
    made = built(shop)
    prepared = made.prepare(shop.corpus)
    apart = 0
    for row in range(60):
        query, product = shop.valid.query[[row]], shop.valid.product[[row]]
        batch = prepared.batch(query, product)
        if "apart" in batch:
            apart += 1
            pair = (int(prepared.query[query][0]), int(prepared.product[product][0]))  # type: ignore[attr-defined]
            assert not within_pairs(batch, "apart", {pair})
    assert apart > 10


def test_a_pairs_own_engagement_changes_nothing_about_its_score() -> None:
    edges = [*CHAIN, ("q0", "click", "p1"), ("q3", "click", "p3")]
    bare = toy(edges)
    made = built(bare)
    own = built(toy([*edges, ("q0", "click", "p0")]))
    own.load_state_dict(made.state_dict())
    pair = Examples(np.array([0]), np.array([0]), np.array([0]), np.ones(1))
    torch.testing.assert_close(asked(own, bare, pair), asked(made, bare, pair), atol=1e-6, rtol=1e-5)


def test_the_proxy_is_the_same_graph_whatever_the_labels_say(shop: FitData) -> None:
    shuffled = seeds.rng(0, "labels").permutation(shop.train.label)
    other = attrs.evolve(shop, train=attrs.evolve(shop.train, label=shuffled))
    assert (shuffled != shop.train.label).any()
    assert proxy(other).equals(proxy(shop))


def test_the_proxy_holds_no_pair_outside_the_training_split(shop: FitData) -> None:
    edges = proxy(shop).filter(pl.col("relation") == "judged")
    assert shop.dataset.judgements is not None
    later = shop.dataset.judgements.filter(pl.col("split") != "train").select("query_id", "product_id").rows()
    assert edges.height and not set(edges.select("src", "dst").rows()) & set(later)


# -- 4. cold nodes ---------------------------------------------------------------------------------------------------


def test_only_the_example_with_an_unknown_node_falls_back_to_text(shop: FitData) -> None:
    made = built(shop)
    examples = shop.valid.take(slice(0, 20))
    whole = asked(made, shop, examples)
    named = shop.corpus.products.with_columns(
        pl.when(pl.int_range(pl.len()) == int(examples.product[3]))
        .then(pl.lit("never seen"))
        .otherwise("product_id")
        .alias("product_id")
    )
    queries = shop.corpus.queries.with_columns(
        pl.when(pl.int_range(pl.len()) == int(examples.query[3]))
        .then(pl.lit("never asked"))
        .otherwise("query_id")
        .alias("query_id")
    )
    cold = attrs.evolve(shop, corpus=attrs.evolve(shop.corpus, products=named, queries=queries))
    same = np.flatnonzero((examples.query != examples.query[3]) & (examples.product != examples.product[3]))
    found = asked(made, cold, examples)
    text = built(shop, views=["text"])
    text.load_state_dict(made.state_dict())
    torch.testing.assert_close(found[3], asked(text, shop, examples)[3], atol=1e-5, rtol=1e-4)
    assert (found[3] - whole[3]).abs().max() > 1e-4
    torch.testing.assert_close(found[same], whole[same], atol=1e-5, rtol=1e-4)


def test_a_node_that_has_only_the_pairs_own_edge_is_not_there() -> None:
    data = toy([*CHAIN, ("q0", "click", "p3"), ("q0", "purchase", "p3")])
    batch = built(data).prepare(data.corpus).batch(np.array([0, 0]), np.array([3, 1]))
    assert batch["query_there"].tolist() == [False, True]
    assert batch["product_there"].tolist() == [False, True]


# -- 5. splits ---------------------------------------------------------------------------------------------------------


def test_no_query_is_in_two_splits_in_any_locale(shop: FitData) -> None:
    judgements = shop.dataset.judgements
    assert judgements is not None and shop.dataset.queries is not None
    splits = judgements.group_by("query_id").agg(pl.col("split").n_unique())
    assert splits["split"].max() == 1
    there = judgements.join(shop.dataset.queries.select("query_id", "locale"), on="query_id")
    assert there.select("locale", "split").unique().height == 9


def test_inductive_leaves_out_every_query_outside_the_training_split(shop: FitData) -> None:
    assert shop.dataset.judgements is not None
    later = shop.dataset.judgements.filter(pl.col("split") != "train")["query_id"].unique()
    nodes = {name: built(shop, setting=name).surroundings.nodes for name in ("inductive", "transductive")}
    assert (nodes["inductive"].find("query", later) < 0).all()
    assert (nodes["transductive"].find("query", later) >= 0).mean() > 0.5


# -- 6. relations ------------------------------------------------------------------------------------------------------


def moved(network: str, shop: FitData, other: type[NodeEncoder] | None = None) -> float:
    """Return how much node vectors change when the relations of the edges are permuted."""
    made = built(shop, graph={"use": network, "width": 16})
    around, graph = made.surroundings, made.surroundings.graph
    if other is not None:
        made.network = other(None, GraphShape.of(graph, 16)).eval()
    assert graph.relation is not None
    with torch.inference_mode():
        before = made.node_vectors()
        mixed = attrs.evolve(graph, relation=seeds.rng(0, "mix").permutation(graph.relation))
        made.surroundings, made._known = attrs.evolve(around, graph=mixed), None
        return float((made.node_vectors() - before).abs().max())


class Relational(NodeEncoder):
    """Adds up neighbours, each through the map of its edge's relation (R-GCN, arXiv 1703.06103, equation 2)."""

    def __init__(self, config: None, shape: GraphShape) -> None:
        super().__init__(config, shape)
        self.width, self.layers = shape.inputs, 2
        self.maps = nn.ModuleList(nn.Linear(shape.inputs, shape.inputs) for _ in shape.relations)

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        out = vectors[: messages.seeds].clone()
        for relation, linear in enumerate(self.maps):
            chosen = messages.relation == relation
            out = out.index_add(0, messages.target[chosen], linear(vectors[messages.source[chosen]]))
        return out


def test_a_network_that_reads_relations_sees_them_permuted(shop: FitData) -> None:
    assert moved("core.mean_nodes", shop, Relational) > 1e-3


def test_a_network_that_tells_no_relations_apart_does_not_see_them_permuted(shop: FitData) -> None:
    assert moved("core.mean_nodes", shop) == 0


# -- 9. a control of the same size ---------------------------------------------------------------------------------------


def test_the_text_only_arm_has_the_parameters_of_the_fused_one(shop: FitData) -> None:
    sizes = {
        views: sum(parameter.numel() for parameter in built(shop, views=list(views)).parameters())
        for views in (("text",), ("graph",), ("text", "graph"))
    }
    assert len(set(sizes.values())) == 1


def test_the_text_only_arm_reads_no_graph(shop: FitData) -> None:
    text, bare = built(shop, views=["text"]), built(shop, edges="none", views=["text"])
    own = bare.state_dict()  # without edges, what reads the graph has other sizes; it is read for nothing
    alike = {
        n: tensor for n, tensor in text.state_dict().items() if n in own and own[n].shape == tensor.shape
    }
    assert any(name.startswith("fuse.mix") for name in alike)
    bare.load_state_dict(alike, strict=False)
    examples = shop.valid.take(slice(0, 30))
    torch.testing.assert_close(asked(text, shop, examples), asked(bare, shop, examples), atol=1e-6, rtol=1e-5)


# -- what the laws stand on ----------------------------------------------------------------------------------------------


def test_blocks_of_pairs_are_those_of_a_graph_without_the_pairs_edges() -> None:
    rng = seeds.rng(0, "graph")
    source, target = rng.integers(0, 30, 160), rng.integers(0, 30, 160)
    kept = source != target
    graph = Graph.from_edges(source[kept], target[kept], 30)
    query, product = np.arange(0, 10), np.arange(10, 20)
    blocks = pair_blocks(graph, query, product, 2)
    assert blocks[-1].seeds == 20 and blocks[0].seeds == len(blocks[-1].inputs)
    for pair in range(10):
        seeds_of_pair = {int(query[pair]), int(product[pair])}
        for seed, place in ((query[pair], pair), (product[pair], 10 + pair)):
            read = blocks[-1].inputs[blocks[-1].source[blocks[-1].target == place]]
            row = graph.targets[graph.offsets[seed] : graph.offsets[seed + 1]]
            assert sorted(read) == sorted(node for node in row if {int(seed), int(node)} != seeds_of_pair)


def test_nodes_are_found_alike_one_by_one_and_by_a_join(
    shop: FitData, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(shop)
    joined = made.prepare(shop.corpus)
    monkeypatch.setattr(pairs, "FEW", 1 << 30)
    single = made.prepare(shop.corpus)
    assert pairs.FEW > shop.corpus.products.height > 1024
    for side in ("query", "product"):
        found = getattr(single, side)
        np.testing.assert_array_equal(found, getattr(joined, side))
        assert (found >= 0).any()


def test_nodes_are_the_ends_of_edges_and_nothing_else(shop: FitData) -> None:
    edges = shop.dataset.engagements
    assert edges is not None
    around = surround(edges, shop)
    assert (around.graph.degree() > 0).all()
    assert around.nodes.count < shop.corpus.products.height + len(edges["src"].unique()) + len(
        edges["dst"].unique()
    )
