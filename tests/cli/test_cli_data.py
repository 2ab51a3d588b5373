"""`data make`, `convert`, `describe`: which data set is read, how, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prodmatch_core.data.dataset import ESCI, Dataset


def dataset(**more: Any) -> Dataset:
    return Dataset(
        name="tiny",
        scheme=ESCI,
        products=pl.DataFrame({"product_id": ["p"], "locale": ["en"], "title": ["case"]}),
        queries=pl.DataFrame({"query_id": ["q"], "locale": ["en"], "text": ["phone case"]}),
        judgements=pl.DataFrame(
            {"query_id": ["q"], "product_id": ["p"], "label": ["exact"], "split": ["train"]}
        ),
        **more,
    )


@pytest.fixture
def world(stand_in: Callable[..., None]) -> dict[str, list[Any]]:
    """Put readers, the folder and `describe` in place; return what they were called with."""
    seen: dict[str, list[Any]] = {"read": [], "written": [], "described": [], "pages": []}

    def read(config: Any, context: Any) -> Dataset:
        seen["read"].append((config, context))
        return dataset(notes=("2 rows skipped",))

    def write_folder(data: Dataset, path: Path, overwrite: bool = False) -> None:
        seen["written"].append((data.name, path, overwrite))

    def describe(data: Dataset, thorough: Any) -> dict[str, Any]:
        seen["described"].append(thorough)
        return {"name": data.name}

    truth = pl.DataFrame({"true_label": ["exact"]})
    stand_in("fake.parts", Files=read, Shop=read)
    stand_in(
        "prodmatch_core.data.folder",
        write_folder=write_folder,
        read_folder=lambda path: dataset(truth={"judgements": truth}),
    )
    stand_in(
        "prodmatch_core.data.describe",
        describe=describe,
        render=lambda d: f"description of {d['name']}",
        Thorough=lambda **options: options,
    )
    stand_in(
        "prodmatch_core.report.data_page",
        write_data_page=lambda description, path: seen["pages"].append((description, path)),
    )
    stand_in(
        "prodmatch_core.data.shop.reference",
        reference_figures=lambda data, seed: {"majority": {"accuracy": 0.65, "macro_f1": 0.2}},
    )
    return seen


def test_make_reads_the_named_data_set_with_its_settings_and_writes_a_folder(invoke, world) -> None:
    result = invoke("data", "make", "fake.files", "--set", "path=a.csv", "--set", "rows=5", "-o", "out")
    assert result.exit_code == 0
    assert result.stdout == "out: tiny: products 1, queries 1, judgements 1\nnote: 2 rows skipped\n"
    config, context = world["read"][0]
    assert (config.path, config.rows, context.base) == ("a.csv", 5, Path.cwd())
    assert world["written"] == [("tiny", Path("out"), False)]


def test_make_can_overwrite(invoke, world) -> None:
    invoke("data", "make", "fake.shop", "-o", "out", "--overwrite")
    assert world["written"][0][2] is True


def test_make_without_out_is_wrong_usage(invoke, world) -> None:
    assert invoke("data", "make", "fake.shop").exit_code == 2
    assert world["read"] == []


def test_make_of_an_unknown_data_set_names_the_nearest(invoke, world) -> None:
    result = invoke("data", "make", "fake.shp", "-o", "out")
    assert (result.exit_code, result.stderr) == (
        2,
        'fake.shp: 1 problem\n  data.use: unknown dataset "fake.shp"; did you mean "fake.shop"?\n',
    )


def test_convert_takes_the_data_table_of_a_pipeline_file(invoke, world) -> None:
    Path("sub").mkdir()
    Path("p.toml").rename("sub/p.toml")
    result = invoke(
        "data",
        "convert",
        "sub/p.toml",
        "--set",
        "data.rows=7",
        "--set",
        "split.test=0.5",
        "--skip-bad-rows",
        "-o",
        "out",
    )
    assert result.exit_code == 0
    config, context = world["read"][0]
    assert (config.path, config.rows) == ("pairs.csv", 7)
    assert (context.base, context.split.test, context.skip_bad_rows) == (Path("sub"), 0.5, True)


def test_convert_needs_only_the_data_table(invoke, world) -> None:
    Path("d.toml").write_text('[data]\nuse = "fake.shop"\n')
    assert invoke("data", "convert", "d.toml", "-o", "out").exit_code == 0


def test_describe_prints_the_description(invoke, world) -> None:
    result = invoke("data", "describe", "fake.shop")
    assert (result.exit_code, result.stdout) == (0, "description of tiny\n")


def test_describe_of_a_shop_adds_the_reference_figures(invoke, world) -> None:
    Path("folder").mkdir()
    assert invoke("data", "describe", "folder").stdout == (
        "description of tiny\n\nreference  accuracy  macro_f1\nmajority      0.650     0.200\n"
    )


def test_describe_as_json(invoke, world) -> None:
    Path("folder").mkdir()
    assert json.loads(invoke("data", "describe", "folder", "--json").stdout) == {
        "name": "tiny",
        "reference_figures": {"majority": {"accuracy": 0.65, "macro_f1": 0.2}},
    }


def test_describe_of_a_file_that_is_not_there(invoke, world) -> None:
    result = invoke("data", "describe", "absent.toml")
    assert (result.exit_code, result.stderr) == (2, "absent.toml: no such file\n")


def test_describe_looks_thoroughly_with_the_options_given(invoke, world) -> None:
    invoke("data", "describe", "fake.shop")
    invoke("data", "describe", "fake.shop", "--near", "0.6", "--limit", "10", "--window", "30")
    assert world["described"] == [
        {"similarity": 0.8, "limit": 300_000, "window_days": None},
        {"similarity": 0.6, "limit": 10, "window_days": 30.0},
    ]


def test_quick_describe_leaves_out_what_is_slow(invoke, world) -> None:
    invoke("data", "describe", "fake.shop", "--quick")
    assert world["described"] == [None]


def test_describe_writes_a_page_with_the_reference_figures(invoke, world) -> None:
    Path("folder").mkdir()
    result = invoke("data", "describe", "folder", "-o", "page.html")
    assert result.stdout.splitlines()[-1] == "page: page.html"
    ((description, path),) = world["pages"]
    assert path == Path("page.html")
    assert description["reference_figures"] == {"majority": {"accuracy": 0.65, "macro_f1": 0.2}}


def test_describe_as_json_with_a_page_prints_json_alone(invoke, world) -> None:
    result = invoke("data", "describe", "fake.shop", "--json", "--html", "page.html")
    assert json.loads(result.stdout) == {"name": "tiny"}
    assert len(world["pages"]) == 1


def test_a_quick_page_is_wrong_usage(invoke, world) -> None:
    result = invoke("data", "describe", "fake.shop", "--quick", "--html", "page.html")
    assert result.exit_code == 2
    assert "Error: --quick leaves out what --html draws; give one of them.\n" in result.stderr
    assert world["read"] == []


def test_a_likeness_above_one_is_wrong_usage(invoke, world) -> None:
    assert invoke("data", "describe", "fake.shop", "--near", "1.5").exit_code == 2
