from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.describing.near_duplicates import near_duplicates
from prodmatch_core.data.describing.text import lines

LONG = "stainless steel insulated water bottle with straw"
BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def look(dataset: Dataset, limit: int = 1000, examples: int = 6):
    return near_duplicates(dataset, 0.8, limit, examples, np.random.default_rng(0))


def judged() -> Dataset:
    texts = ["red case", LONG, f"{LONG}s", "red  CASE", f"{LONG}z", "garden hose"]
    splits = ["train", "train", "test", "test", "train", "valid"]
    ids = [str(i) for i in range(6)]
    return Dataset(
        name="q",
        scheme=BINARY,
        queries=pl.DataFrame({"query_id": ids, "locale": ["en"] * 6, "text": texts}),
        products=pl.DataFrame({"product_id": ["p"], "locale": ["en"], "title": ["bottle"]}),
        judgements=pl.DataFrame(
            {"query_id": ids, "product_id": ["p"] * 6, "label": ["match"] * 6, "split": splits}
        ),
    )


def test_rows_are_counted_identical_and_near() -> None:
    found = look(judged())["queries"]
    counted = {
        key: found[key]
        for key in ("rows", "texts", "compared", "rows_compared", "identical", "near", "either")
    }
    assert counted == {
        "rows": 6, "texts": 5, "compared": 5, "rows_compared": 6, "identical": 2, "near": 3, "either": 5,
    }  # fmt: skip


def test_test_texts_in_train_and_nearly_in_train_are_told_apart() -> None:
    assert look(judged())["queries"]["leaks"] == {
        "valid": {"texts": 1, "in_train": 0, "near_train": 0},
        "test": {"texts": 2, "in_train": 1, "near_train": 1},
    }


def test_examples_between_train_and_test_come_first() -> None:
    (example,) = look(judged(), examples=1)["queries"]["examples"]
    assert sorted(example["splits"]) == [["test"], ["train"]]
    assert example["texts"][0] != example["texts"][1]
    assert 0.8 <= example["similarity"] < 1


def test_titles_of_groups_take_the_split_of_their_item() -> None:
    dataset = Dataset(
        name="g",
        products=pl.DataFrame(
            {"product_id": ["a", "b", "c"], "locale": ["id"] * 3, "title": [LONG, f"{LONG} new", "hose"]}
        ),
        groups=pl.DataFrame(
            {"item_id": ["a", "b", "c"], "group": ["1", "2", "3"], "split": ["train", "test", "test"]}
        ),
    )
    assert look(dataset)["titles"]["leaks"] == {"test": {"texts": 2, "in_train": 0, "near_train": 1}}


def test_products_alone_have_no_leaks() -> None:
    products = pl.DataFrame({"product_id": ["a", "b"], "locale": ["en"] * 2, "title": [LONG, None]})
    found = look(Dataset(name="p", products=products))
    assert found["titles"]["rows"] == 1
    assert found["titles"]["leaks"] == {}
    assert "queries" not in found


def test_above_the_limit_a_sample_is_compared_and_the_text_says_so() -> None:
    titles = [f"{i:04d} {'x' * (i % 7)} product of kind {i * i}" for i in range(2000)]
    products = pl.DataFrame(
        {"product_id": [str(i) for i in range(2000)], "locale": ["en"] * 2000, "title": titles}
    )
    found = look(Dataset(name="p", products=products), limit=500)
    assert found["titles"]["compared"] == 500
    description = {
        "name": "p", "source": "s", "licence": "l", "fingerprint": "f", "tables": {}, "lengths": {}, "locales": {},
        "duplicates": {}, "notes": [], "near_duplicates": found,
    }  # fmt: skip
    said = [line for line in lines(description) if "a sample" in line]
    assert said == [
        "titles: a sample, 500 of 2,000 different texts; shares are a little too low, "
        "since some near texts fell outside it"
    ]


@pytest.mark.real
def test_one_in_ten_crowdflower_titles_nearly_repeats_another() -> None:
    from prodmatch_core.data.texts import normalised

    folder = os.environ.get("PRODMATCH_DATA")
    if folder is None:
        pytest.skip("PRODMATCH_DATA is not set: near-duplicates of crowdflower's titles were not counted")
    frame = pl.read_csv(Path(folder) / "crowdflower" / "train.csv", infer_schema_length=0)
    titles = normalised(frame["product_title"]).unique(maintain_order=True)
    count = len(titles)
    products = pl.DataFrame(
        {"product_id": [str(i) for i in range(count)], "locale": ["en"] * count, "title": titles}
    )
    found = look(Dataset(name="c", products=products), limit=10**6)["titles"]
    assert 0.08 < found["near"] / found["rows"] < 0.13
