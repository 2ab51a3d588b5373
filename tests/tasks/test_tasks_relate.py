from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.errors import DataError
from prodmatch_core.sections import RelateSection
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline

CIRCLE = [(f"p{i:02}", f"p{(i + 1) % 20:02}") for i in range(20)]


def graph(
    edges: list[tuple[str, str]], relation: list[str] | str = "next", at: list[datetime] | None = None
) -> Dataset:
    ids = [f"p{i:02}" for i in range(20)]
    n = len(edges)
    table: dict[str, Any] = {
        "src_kind": ["product"] * n,
        "src": [source for source, _ in edges],
        "relation": [relation] * n if isinstance(relation, str) else relation,
        "dst_kind": ["product"] * n,
        "dst": [target for _, target in edges],
        "count": [1.0] * n,
    }
    if at:
        table["at"] = at
    products = pl.DataFrame({"product_id": ids, "locale": ["en"] * 20, "title": ids})
    return Dataset("graph", products=products, engagements=pl.DataFrame(table), source="graph.csv")


def examples(dataset: Dataset, seed: int = 0, **relate: str) -> TaskData:
    pipeline = task_pipeline("relate", {"split": SplitConfig(seed=seed)}, relate=RelateSection(**relate))
    return load_task("relate").examples(dataset, pipeline)


def edges_of(data: TaskData) -> dict[str, set[tuple[str, str]]]:
    return {split: set(rows.select("src", "dst").iter_rows()) for split, rows in data.rows.items()}


def test_every_edge_is_in_exactly_one_split_of_the_size_asked_for() -> None:
    found = edges_of(examples(graph(CIRCLE)))
    assert {split: len(edges) for split, edges in found.items()} == {"train": 14, "valid": 2, "test": 4}
    assert set.union(*found.values()) == set(CIRCLE)


def test_an_edge_points_at_its_ends_on_both_sides_of_the_corpus() -> None:
    data = examples(graph(CIRCLE))
    train = data.examples["train"]
    sources = data.corpus.queries["query_id"].to_numpy()[train.query]
    targets = data.corpus.products["product_id"].to_numpy()[train.product]
    assert set(zip(sources, targets, strict=True)) == edges_of(data)["train"]


def test_hidden_edges_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    first, again = (edges_of(examples(graph(edges))) for edges in (CIRCLE, CIRCLE[::-1]))
    assert first == again
    assert first != edges_of(examples(graph(CIRCLE), seed=1))


def test_the_latest_edges_are_hidden_where_asked_for() -> None:
    start = datetime(2024, 1, 1)
    dataset = graph(CIRCLE, at=[start + timedelta(days=i) for i in range(20)])
    assert edges_of(examples(dataset, hide="latest"))["test"] == set(CIRCLE[-4:])


def test_repeated_edges_count_once_and_loops_are_left_out() -> None:
    data = examples(graph([*CIRCLE, CIRCLE[0], ("p03", "p03"), ("p01", "p00")]))
    assert sum(map(len, data.examples.values())) == 21
    assert data.notes == (
        "relation next: 21 edges between 20 products, 2 of them both ways",
        "edges from a product to itself, left out: 1",
    )


def test_a_relation_is_chosen_by_name() -> None:
    dataset = graph([*CIRCLE, *CIRCLE], relation=["next"] * 20 + ["view"] * 20)
    assert len(examples(dataset, relation="view").examples["train"]) == 14


@pytest.mark.parametrize(
    ("dataset", "relate", "message"),
    [
        (
            graph([*CIRCLE, *CIRCLE], relation=["next"] * 20 + ["view"] * 20),
            {},
            "graph.csv: engagements between products: more than one relation. "
            "Set relate.relation to one of next, view.",
        ),
        (
            graph(CIRCLE),
            {"relation": "nxt"},
            'graph.csv: engagements between products: no relation "nxt". Set relate.relation to one of next.',
        ),
        (
            graph([*CIRCLE, ("p00", "elsewhere")]),
            {},
            "graph.csv: the edge 'p00' -> 'elsewhere' ends at a product that is not in table products "
            "(edges like this: 1). Add the product or remove the edge.",
        ),
        (
            graph(CIRCLE[:3]),
            {},
            "graph.csv: 3 edges are too few to hide 1 for test and 0 for validation. "
            "Add edges, or set [data.split].",
        ),
        (
            graph(CIRCLE),
            {"hide": "latest"},
            'graph.csv: relate.hide = "latest" needs the time of every edge (column at of engagements). '
            'Add it, or set relate.hide = "random".',
        ),
    ],
    ids=["which", "unknown", "end", "few", "time"],
)
def test_what_cannot_be_predicted_is_refused(dataset: Dataset, relate: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as error:
        examples(dataset, **relate)
    assert str(error.value) == message
