"""The page of a data set: any small data set can be described, written as text and drawn."""

from __future__ import annotations

import datetime as dt
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.describe import Thorough, describe, render
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.report import data_charts
from prodmatch_core.report.data_page import render_data_page, summary, write_data_page

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))
TEXT = st.text(max_size=12)
MOMENT = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2030, 1, 1))
COUNT = st.floats(0, 1e12) | st.integers(0, 5).map(float)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw any of the tables, small, with texts and times of any kind, or none at all."""
    has = {name: draw(st.booleans()) for name in ("match", "products", "graph", "groups", "events")}
    n = draw(st.integers(0, 6))
    ids = [str(i) for i in range(n)]
    tables: dict[str, Any] = {}

    def some(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    if has["match"] or has["products"]:
        columns = {
            "product_id": ids,
            "locale": some(st.sampled_from(["en", "日本"])),
            "title": some(st.none() | TEXT),
        }
        tables["products"] = pl.DataFrame(
            columns, schema={"product_id": pl.String, "locale": pl.String, "title": pl.String}
        )
    if has["match"]:
        tables["queries"] = pl.DataFrame(
            {"query_id": ids, "locale": some(st.sampled_from(["en", "日本"])), "text": some(TEXT)},
            schema={"query_id": pl.String, "locale": pl.String, "text": pl.String},
        )
        tables["judgements"] = pl.DataFrame(
            {
                "query_id": ids,
                "product_id": ids,
                "label": some(st.sampled_from(BINARY.labels)),
                "split": some(st.sampled_from(SPLITS)),
            },
            schema=dict.fromkeys(("query_id", "product_id", "label", "split"), pl.String),
        )
    if has["graph"]:
        nodes = st.sampled_from(["0", "1", "2"])
        kinds = st.sampled_from(["query", "product"])
        tables["engagements"] = pl.DataFrame(
            {
                "src_kind": some(kinds), "src": some(nodes), "relation": some(st.sampled_from(["click", "add"])),
                "dst_kind": some(kinds), "dst": some(nodes), "count": some(COUNT),
            },
            schema={"src_kind": pl.String, "src": pl.String, "relation": pl.String, "dst_kind": pl.String, "dst": pl.String, "count": pl.Float64},
        )  # fmt: skip
    if has["groups"]:
        tables["groups"] = pl.DataFrame(
            {
                "item_id": ids,
                "group": some(st.sampled_from(["x", "y"])),
                "split": some(st.sampled_from(SPLITS)),
            },
            schema=dict.fromkeys(("item_id", "group", "split"), pl.String),
        )
    if has["events"]:
        none = [None] * n
        tables["events"] = pl.DataFrame(
            {
                "event_id": ids,
                "query_id": none,
                "product_id": none,
                "shown_at": some(MOMENT),
                "converted_at": some(st.none() | MOMENT),
            },
            schema={
                "event_id": pl.String,
                "query_id": pl.String,
                "product_id": pl.String,
                "shown_at": pl.Datetime("us"),
                "converted_at": pl.Datetime("us"),
            },
        )
    return Dataset(name=draw(TEXT), scheme=BINARY, source="drawn", **tables)


@given(datasets())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_small_data_set_can_be_described_written_and_drawn(dataset: Dataset) -> None:
    description = describe(dataset, Thorough())
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert "fingerprint" in render(description)
    page = render_data_page(description)
    assert page.rstrip().endswith("</html>")


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return describe(make_shop(ShopConfig(size=2_000)), Thorough())


@pytest.fixture(scope="module")
def page(description: dict[str, Any]) -> str:
    return render_data_page(description)


@pytest.mark.parametrize(
    "section", ["tables", "labels", "lengths", "locales", "near", "graph", "conversions"]
)
def test_the_page_of_a_shop_has_every_section_and_leads_to_it(page: str, section: str) -> None:
    assert f'<section id="{section}"' in page
    assert f'<a href="#{section}">' in page


def test_what_a_data_set_does_not_have_is_not_on_its_page(page: str) -> None:
    assert '<section id="groups"' not in page
    assert '<section id="references"' not in page


def test_every_drawing_is_well_formed_and_told_in_words(page: str) -> None:
    drawings = [f"<svg{part.split('</svg>')[0]}</svg>" for part in page.split("<svg")[1:]]
    assert len(drawings) > 15
    for drawing in drawings:
        title, told = list(ET.fromstring(drawing))[:2]
        assert title.text and told.text


def test_identifiers_on_the_page_are_unique(page: str) -> None:
    found = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(found) == len(set(found))


def test_texts_of_the_data_are_escaped() -> None:
    title = "<script>alert(1)</script> of a long enough title"
    products = pl.DataFrame({"product_id": ["a", "b"], "locale": ["en"] * 2, "title": [title, f"{title}s"]})
    page = render_data_page(describe(Dataset(name="<b>", products=products), Thorough()))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_loads_nothing(page: str) -> None:
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_the_page_is_written_whole(tmp_path: Path, description: dict[str, Any], page: str) -> None:
    write_data_page(description, tmp_path / "data.html")
    assert (tmp_path / "data.html").read_text(encoding="utf-8") == page
    assert [file.name for file in tmp_path.iterdir()] == ["data.html"]


def test_the_summary_counts_what_is_there() -> None:
    products = pl.DataFrame({"product_id": ["a", "b"], "locale": ["en"] * 2, "title": ["x", "y"]})
    assert summary(describe(Dataset(name="p", products=products))) == "2 products."


def test_a_histogram_has_a_bar_for_each_bin_that_is_not_empty() -> None:
    found = {"low": 1, "width": 2, "counts": [3, 0, 5], "above": 2}
    root = ET.fromstring(data_charts.histogram_chart(found, "Queries", "Judgements per query", "h"))
    bars = [node[0].text for node in root.iter() if node.tag.endswith("rect")]
    assert bars == ["1 to 2: 3", "5 or more: 5"]


def test_the_law_is_drawn_where_it_holds() -> None:
    law = {
        "exponent": 2.0,
        "error": 0.1,
        "xmin": 2,
        "tail": 60,
        "share": 0.5,
        "distance": 0.01,
        "against_exponential": 3.0,
    }
    spread = {"survival": [[1, 1.0], [2, 0.5], [10, 0.1]], "law": law}
    root = ET.fromstring(data_charts.survival_chart([("groups", spread)], "Sizes", "Items", "s"))
    told = [node.text for node in root.iter() if node.tag.endswith("desc")]
    assert told == ["Items: groups: exponent 2.00 from 2."]
    assert len([node for node in root.iter() if node.tag.endswith("path")]) == 1


def test_the_interval_of_a_rate_by_hand() -> None:
    # Wilson for 0 of 10: from 0 to z^2 / (n + z^2).
    rate, low, high = data_charts._wilson(0, 10)
    assert (rate, low) == (0.0, 0.0)
    assert high == pytest.approx(1.96**2 / (10 + 1.96**2))
