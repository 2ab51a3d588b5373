from __future__ import annotations

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import DataError
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline


def grouped(rows: list[tuple[str, str, str]], products: list[str] | None = None) -> Dataset:
    ids = products or [item for item, _, _ in rows]
    return Dataset(
        "groups",
        products=pl.DataFrame(
            {"product_id": ids, "locale": ["en"] * len(ids), "title": [f"title {i}" for i in ids]}
        ),
        groups=pl.DataFrame(rows, schema=["item_id", "group", "split"], orient="row"),
        source="groups.csv",
    )


ROWS = [
    ("a", "one", "train"),
    ("b", "one", "train"),
    ("c", "two", "valid"),
    ("d", "two", "valid"),
    ("e", "three", "test"),
    ("f", "three", "test"),
    ("g", "four", "test"),
]


def examples(dataset: Dataset) -> TaskData:
    return load_task("embed").examples(dataset, task_pipeline("embed"))


def test_an_items_label_is_its_groups_number_over_all_splits() -> None:
    data = examples(grouped(ROWS))
    labels = {
        item: label
        for split, found in data.examples.items()
        for item, label in zip(data.rows[split]["item_id"], found.label.tolist(), strict=True)
    }
    assert labels["a"] == labels["b"] and labels["e"] == labels["f"]
    assert len({labels[item] for item in "aceg"}) == 4


def test_items_point_at_their_product_whatever_the_order_of_the_tables() -> None:
    data = examples(grouped(ROWS, products=list("gfedcba")))
    found = data.corpus.products["product_id"].to_numpy()[data.examples["test"].product]
    assert found.tolist() == data.rows["test"]["item_id"].to_list() == ["e", "f", "g"]


def test_items_alone_in_their_group_are_counted() -> None:
    assert examples(grouped(ROWS)).notes == (
        "items alone in their group, test: 1 (they can be found for no one)",
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*ROWS, ("h", "one", "test")],
            "groups.csv: group 'one' is in more than one split (groups like this: 1). Give all its items one split.",
        ),
        (
            [*ROWS[:2], ("c", "two", "valid"), *ROWS[4:]],
            "groups.csv: split valid has no group of two items. Give it some, or set [data.split].",
        ),
        (
            [*ROWS, ("h", "five", "testing")],
            "groups.csv: table groups, row 8: split 'testing' is not one of train, valid, test. Correct the split.",
        ),
    ],
    ids=["torn", "lonely", "split"],
)
def test_what_cannot_be_learnt_from_is_refused(rows: list[tuple[str, str, str]], message: str) -> None:
    with pytest.raises(DataError) as error:
        examples(grouped(rows))
    assert str(error.value) == message


def test_an_item_that_is_no_product_is_named() -> None:
    with pytest.raises(DataError) as error:
        examples(grouped(ROWS, products=list("abcdef")))
    assert str(error.value) == (
        "groups.csv: table groups, row 7: item_id 'g' is not in table products (rows like this: 1). "
        "Add the product or remove the row."
    )
