"""What the graph of `blade.dual` holds: nothing hidden, co-views on both sides, neighbours lent to what has none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_blade.dual import CO_VIEW, FOLLOWS
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.graph_encoder import GraphEncoder
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import DataError
from prodmatch_core.graph.csr import Graph
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import RelateSection
from prodmatch_core.structure import Structurer
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline
from prodmatch_core.training import seeds
from prodmatch_core.training.member import fit_member

COUNT = 40
DAY = datetime(2025, 3, 1)
WORDS = {"use": "core.ngram", "mode": "two_tower", "width": 16, "buckets": 512}


def products() -> pl.DataFrame:
    """Return 20 phones and 20 cases in five lines."""
    titles = [f"phone of line {'abcde'[n % 5] * 3}" for n in range(20)]
    titles += [f"case of line {'abcde'[n % 5] * 3}" for n in range(20)]
    return pl.DataFrame(
        {"product_id": [f"p{n:02}" for n in range(COUNT)], "locale": ["en"] * COUNT, "title": titles}
    )


def bought() -> list[tuple[int, int]]:
    """Return edges from each phone to the four cases of its line."""
    return [(phone, 20 + case) for phone in range(20) for case in range(20) if case % 5 == phone % 5]


def dataset(edges: list[tuple[int, int]], viewed: Sequence[tuple[int, int]] = ()) -> Dataset:
    every = [("bought_next", *pair) for pair in edges] + [("viewed", *pair) for pair in viewed]
    return Dataset(
        "made",
        products=products(),
        engagements=pl.DataFrame(
            {
                "src_kind": "product",
                "src": [f"p{source:02}" for _, source, _ in every],
                "relation": [name for name, _, _ in every],
                "dst_kind": "product",
                "dst": [f"p{target:02}" for _, _, target in every],
                "count": 1.0,
                # Edges come in another order in time than by name.
                "at": [DAY + timedelta(days=(7 * row) % len(every)) for row in range(len(every))],
            }
        ),
        source="made",
    )


def fit_data(made: Dataset, **relate: str) -> tuple[FitData, TaskData]:
    task = load_task("relate")
    found = task.examples(made, task_pipeline("relate", relate=RelateSection("bought_next", **relate)))
    train, valid = found.examples["train"], found.examples["valid"]
    return (
        FitData(found.corpus, train, valid, found.scheme, task.visible(made, found), found.relation),
        found,
    )


def build(data: FitData, use: str = "blade.dual", **fields: Any) -> GraphEncoder:
    part = Structurer(default_registry()).part({"use": use, "width": 8, **fields}, "encoder")
    with seeds.torch_seed(0, "weights"):
        return part.spec.load().build(part.config, data, np.random.default_rng(0)).eval()


def edges_of(graph: Graph, relation: str | None = None) -> set[tuple[int, int]]:
    """Return the edges of one relation, or all, as pairs of places."""
    source = np.repeat(np.arange(graph.nodes), graph.degree())
    kept = np.ones(graph.edges, dtype=bool)
    if relation is not None:
        assert graph.relation is not None
        kept = graph.relation == graph.relations.index(relation)
    return set(zip(source[kept].tolist(), graph.targets[kept].tolist(), strict=True))


GRAPHS: list[tuple[str, dict[str, Any]]] = [
    ("blade.dual", {}),
    ("blade.dual", {"vectors": "shared"}),
    ("core.graph_nodes", {"nodes": {"use": "core.mean_nodes", "width": 8}}),
    ("core.graph_nodes", {"nodes": {"use": "dgl.sage", "width": 8}}),
]


@pytest.mark.parametrize(("use", "fields"), GRAPHS)
def test_edges_hidden_by_time_are_the_latest_and_in_no_graph(use: str, fields: dict[str, Any]) -> None:
    data, found = fit_data(dataset(bought()), hide="latest")
    times = dataset(bought()).engagements
    assert times is not None
    at = {split: rows.join(times, on=["src", "dst"])["at"] for split, rows in found.rows.items()}
    assert at["train"].max() < at["valid"].min() and at["valid"].max() < at["test"].min()
    around = build(data, use, **fields).surroundings
    there = {(int(around.node(a)), int(around.node(b))) for a, b in edges_of(around.graph)}
    ends = {
        split: {
            tuple(int(around.nodes.find("product", pl.Series([name]))[0]) for name in pair)
            for pair in rows.select("src", "dst").iter_rows()
        }
        for split, rows in found.rows.items()
    }
    hidden = ends["valid"] | ends["test"]
    assert hidden and not there & (hidden | {pair[::-1] for pair in hidden})
    assert ends["train"] <= there


@pytest.mark.parametrize(("use", "fields"), GRAPHS[::3])
def test_a_member_over_a_graph_learns_and_ranks_edges_hidden_by_time(
    use: str, fields: dict[str, Any]
) -> None:
    data, found = fit_data(dataset(bought()), hide="latest")
    tree = {
        "pipeline": {"name": "late", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "relate": {"relation": "bought_next", "hide": "latest"},
        "member": {
            "encoder": {"use": use, "width": 8, "text": WORDS, **fields},
            "sampler": {"use": "core.uniform_sampler", "fanouts": [3, 3]},
            "training": {"batch_size": 16, "epochs": 10, "learning_rate": 0.03, "patience": 0},
        },
    }
    model = fit_member(load_pipeline(tree).member[0], data, load_task("relate"), default_registry(), 0)
    test, every = found.examples["test"], np.arange(COUNT)
    source, target = model.vectors(found.corpus, [("query", every), ("product", every)])
    scores = source @ target.T / np.outer(np.linalg.norm(source, axis=1), np.linalg.norm(target, axis=1))
    np.fill_diagonal(scores, -np.inf)
    rank = (scores[test.query] > scores[test.query, test.product][:, None]).sum(axis=1)
    # Eight products are of the line; by chance one hidden edge in five would be among the first eight.
    assert (rank < 8).mean() > 0.9


VIEWED = [(0, 5), (20, 25), (3, 20)]


def test_co_views_join_places_of_one_side_both_ways() -> None:
    data, _ = fit_data(dataset(bought(), VIEWED))
    around = build(data, co_view=["viewed"]).surroundings
    assert around.graph.relations == (FOLLOWS, CO_VIEW)
    expected = set()
    first = around.nodes.first("product")
    for left, right in VIEWED:
        for side in (0, 1):
            ends = (2 * (first + left) + side, 2 * (first + right) + side)
            expected |= {ends, ends[::-1]}
    assert edges_of(around.graph, CO_VIEW) == expected
    assert not edges_of(build(data).surroundings.graph) & expected


def test_a_co_view_changes_both_vectors_of_its_ends_and_no_others_far_away() -> None:
    # Two phones and two cases that are not bought: only the co-view reaches them.
    left = [pair for pair in bought() if pair[0] not in (0, 5)]
    vectors = []
    for viewed in ([(1, 6)], [(1, 6), (0, 5)]):
        data, _ = fit_data(dataset(left, viewed))
        made = build(data, co_view=["viewed"], layers=1)
        rows = np.arange(COUNT)
        with torch.inference_mode():
            found = made(made.prepare(data.corpus).batch(rows, rows))
        vectors.append((found.query.numpy(), found.product.numpy()))
    for before, after in zip(*vectors, strict=True):
        moved = np.abs(before - after).max(axis=1) > 1e-4
        assert set(np.flatnonzero(moved)) == {0, 5}


def test_a_co_view_relation_that_is_not_there_is_named_with_those_that_are() -> None:
    data, _ = fit_data(dataset(bought(), VIEWED))
    with pytest.raises(DataError) as error:
        build(data, co_view=["seen"])
    assert str(error.value) == (
        'made: no co-view relation "seen" between products; there is viewed. Correct co_view of blade.dual.'
    )


def cold_edges() -> list[tuple[int, int]]:
    """Return the edges without those of phones 0 to 4, one of each line."""
    return [pair for pair in bought() if pair[0] >= 5]


def test_a_product_without_edges_reads_the_neighbours_of_those_with_the_nearest_texts() -> None:
    data, _ = fit_data(dataset(cold_edges()))
    around = build(data, text=WORDS, cold=2).surroundings.with_cold(data.corpus, 2)
    first = around.nodes.first("product")
    for phone in range(5):
        place = 2 * (first + phone)
        row = slice(*around.graph.offsets[place : place + 2])
        lent = {int(around.node(target)) - first for target in around.graph.targets[row]}
        # Phones of the same line have the same title; they were followed by cases of the line alone.
        assert lent and all(case >= 20 and case % 5 == phone for case in lent)
        assert around.graph.degree()[place] >= 2


def test_nothing_is_lent_while_learning() -> None:
    data, _ = fit_data(dataset(cold_edges()))
    graph = build(data, text=WORDS, cold=2).surroundings.graph
    assert (graph.degree()[[0, 2, 4, 6, 8]] == 0).all()


def test_products_whose_edges_were_all_hidden_are_ranked_from_their_texts() -> None:
    # Half the edges: where all are there, a product's other neighbours tell which one was left out of a batch.
    half = [(phone, case) for phone, case in cold_edges() if (phone // 5 + case // 5) % 2]
    data, found = fit_data(dataset(half))
    tree = {
        "pipeline": {"name": "cold", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "relate": {"relation": "bought_next"},
        "member": {
            "encoder": {"use": "blade.dual", "width": 16, "text": WORDS, "learnt": False, "cold": 2},
            "sampler": {"use": "blade.adaptive", "fanouts": [4, 4]},
            "negatives": {"use": "blade.negatives", "count": 4},
            "loss": [{"use": "core.in_batch_softmax"}, {"use": "blade.asymmetric", "weight": 0.1}],
            "training": {"batch_size": 16, "epochs": 12, "learning_rate": 0.03, "patience": 0},
        },
    }
    model = fit_member(load_pipeline(tree).member[0], data, load_task("relate"), default_registry(), 0)
    # Products the run never saw: their own identifiers, texts as phones of a line have.
    fresh = products().head(5).with_columns(product_id=pl.format("new{}", pl.int_range(5)))
    fields = found.corpus.products.columns
    corpus = Corpus(
        pl.concat(
            [
                found.corpus.queries,
                fresh.rename({"product_id": "query_id"}).select(found.corpus.queries.columns),
            ]
        ),
        pl.concat([found.corpus.products, fresh.select(fields)]),
    )
    asked, offered = model.vectors(
        corpus, [("query", np.r_[0:5, COUNT : COUNT + 5]), ("product", np.arange(COUNT))]
    )
    assert np.isfinite(asked).all()
    scores = asked @ (offered / np.linalg.norm(offered, axis=1, keepdims=True)).T
    scores[np.arange(5), np.arange(5)] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :4]
    right = (best >= 20) & (best % 5 == np.tile(np.arange(5), 2)[:, None])
    assert right.mean() > 0.8
