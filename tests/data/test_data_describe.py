from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.describe import Thorough, describe, render


@pytest.fixture
def shop() -> Dataset:
    return Dataset(
        name="tiny",
        scheme=LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",)),
        source="here",
        licence="CC0",
        notes=("mind the gap",),
        queries=pl.DataFrame(
            {"query_id": ["1", "2", "3"], "locale": ["us", "us", "es"], "text": ["tv", "TV ", "silla"]}
        ),
        products=pl.DataFrame(
            {
                "product_id": ["a", "b", "c"],
                "locale": ["us", "us", "es"],
                "title": ["radio", "radio", "silla roja"],
                "brand": ["Acme", None, None],
            }
        ),
        judgements=pl.DataFrame(
            {
                "query_id": ["1", "1", "2", "3"],
                "product_id": ["a", "b", "a", "c"],
                "label": ["match", "mismatch", "match", "match"],
                "split": ["train", "train", "test", "train"],
            }
        ),
        groups=pl.DataFrame({"item_id": ["a", "b"], "group": ["g", "g"], "split": ["train", "train"]}),
        engagements=pl.DataFrame(
            {
                "src_kind": ["query"] * 2,
                "src": ["1", "2"],
                "relation": ["click", "click"],
                "dst_kind": ["product"] * 2,
                "dst": ["a", "b"],
                "count": [1.0, 2.0],
            }
        ),
        events=pl.DataFrame(
            {
                "event_id": ["x", "y"],
                "query_id": ["1", None],
                "product_id": ["a", "b"],
                "shown_at": [dt.datetime(2024, 1, 1)] * 2,
                "converted_at": [dt.datetime(2024, 1, 2), None],
            }
        ),
        truth={"relevance": pl.DataFrame({"p": [0.5]})},
    )


def test_a_description_is_plain_json(shop: Dataset) -> None:
    description = describe(shop)
    assert json.loads(json.dumps(description)) == description


def test_counts_and_label_shares_per_split(shop: Dataset) -> None:
    splits = describe(shop)["splits"]
    assert splits["train"] == {
        "judgements": 3,
        "queries": 2,
        "products": 3,
        "labels": {"match": pytest.approx(2 / 3), "mismatch": pytest.approx(1 / 3)},
    }
    assert splits["valid"] == {
        "judgements": 0,
        "queries": 0,
        "products": 0,
        "labels": {"match": 0.0, "mismatch": 0.0},
    }


def test_empty_cells_are_counted_per_column(shop: Dataset) -> None:
    assert describe(shop)["tables"]["products"] == {
        "rows": 3,
        "empty": {"product_id": 0, "locale": 0, "title": 0, "brand": 2},
    }


def test_duplicates_are_by_normalised_query_and_by_title(shop: Dataset) -> None:
    assert describe(shop)["duplicates"] == {"queries": 1, "titles": 1}


def test_leaks_are_counted(shop: Dataset) -> None:
    assert describe(shop)["leaks"] == {"queries": 1, "pairs": 1, "titles": 1}


def test_locales_count_queries_products_and_judgements(shop: Dataset) -> None:
    assert describe(shop)["locales"] == {
        "es": {"queries": 1, "products": 1, "judgements": 1},
        "us": {"queries": 2, "products": 2, "judgements": 3},
    }


def test_lengths_are_quantiles_of_characters(shop: Dataset) -> None:
    lengths = describe(shop)["lengths"]
    assert lengths["products.title"] == {"min": 5, "q25": 5, "median": 5, "q75": 10, "q95": 10, "max": 10}
    assert lengths["products.brand"]["max"] == 4
    assert "products.color" not in lengths


def test_judgements_per_query_are_quantiles(shop: Dataset) -> None:
    found = describe(shop)["judgements_per_query"]
    assert (found["min"], found["median"], found["max"]) == (1.0, 1.0, 2.0)


def test_other_tables_are_counted(shop: Dataset) -> None:
    description = describe(shop)
    assert description["relations"] == {"click": 2}
    assert description["groups"] == {"items": 2, "groups": 1, "splits": {"train": 2}}
    assert description["events"] == {"events": 2, "converted": 1}
    assert description["truth"] == {"relevance": 1}


def test_a_data_set_of_products_only_can_be_described(shop: Dataset) -> None:
    description = describe(Dataset(name="p", products=shop.products))
    assert description["leaks"] == {"queries": 0, "pairs": 0, "titles": 0}
    assert "splits" not in description
    assert render(description).startswith("p: unknown (licence: unknown)\n")


def test_the_text_has_a_line_for_each_split_and_note(shop: Dataset) -> None:
    lines = render(describe(shop)).splitlines()
    assert lines[0] == "tiny: here (licence: CC0)"
    assert [line.split() for line in lines if line.startswith(("split", "train", "test "))] == [
        ["split", "judgements", "queries", "products", "match", "mismatch"],
        ["train", "3", "2", "3", "66.7%", "33.3%"],
        ["test", "1", "1", "1", "100.0%", "0.0%"],
    ]
    assert lines[-1] == "note: mind the gap"


def test_the_quick_description_has_no_laws(shop: Dataset) -> None:
    slow = {"near_duplicates", "histograms", "group_sizes", "graph", "conversions"}
    assert slow & describe(shop).keys() == set()
    assert slow <= describe(shop, Thorough()).keys()


def test_a_thorough_description_is_plain_json_and_adds_to_the_quick_one(shop: Dataset) -> None:
    quick, thorough = describe(shop), describe(shop, Thorough())
    assert json.loads(json.dumps(thorough)) == thorough
    assert {key: thorough[key] for key in quick} == quick


def test_the_quick_description_imports_neither_scipy_nor_numba() -> None:
    code = (
        "import sys; import polars as pl; from prodmatch_core.data.dataset import Dataset\n"
        "from prodmatch_core.data.describe import describe\n"
        "frame = pl.DataFrame({'product_id': ['a'], 'locale': ['en'], 'title': ['b']})\n"
        "describe(Dataset(name='x', products=frame))\n"
        "print(sorted({'scipy', 'numba', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
