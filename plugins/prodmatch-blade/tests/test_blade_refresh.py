"""Vectors kept beside a run: what a refresh computes, and that the result is what computing all gives."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli

LINES, EACH = 12, 10
PIPELINE = """
[pipeline]
name = "next"
task = "relate"

[data]
use = "core.edges"
path = "edges.csv"
products = {{ path = "products.csv" }}

[[member]]
name = "blade"
encoder = {{ use = "blade.dual", width = 8, text = {{ use = "core.ngram", mode = "two_tower", width = 8, buckets = 512 }}{more} }}
sampler = {{ use = "blade.adaptive", fanouts = [4, 4] }}
negatives = {{ use = "blade.negatives", count = 2 }}
loss = [{{ use = "blade.asymmetric" }}]
training = {{ batch_size = 64, epochs = 2, learning_rate = 0.03, patience = 0 }}

[evaluation]
replicates = 100
"""


def prodmatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def write(path: Path, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def products() -> list[tuple[str, str]]:
    return [
        (f"{kind}{line}-{n}", f"{kind} of line {line}, version {n}")
        for line in range(LINES)
        for kind in ("phone", "case")
        for n in range(EACH)
    ]


def edges() -> list[tuple[str, str]]:
    """Return edges from phones to cases of the same line: lines do not read each other."""
    rng = np.random.default_rng(0)
    return [
        (f"phone{line}-{n}", f"case{line}-{case}")
        for line in range(LINES)
        for n in range(EACH)
        for case in rng.permutation(EACH)[:3]
    ]


def made(folder: Path, more: str = "") -> Path:
    write(folder / "products.csv", ("product_id", "title"), products())
    write(folder / "edges.csv", ("source", "target"), edges())
    (folder / "next.toml").write_text(PIPELINE.format(more=more))
    done = prodmatch("run", str(folder / "next.toml"), "--data", str(folder), "--out", str(folder / "run"))
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module", params=["", ", upto = 6", ", upto = 6, cold = 2", ', vectors = "shared"'])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("refresh"), request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("plain"))


def refresh(folder: Path, out: str = "vectors", *more: str) -> dict[str, Any]:
    done = prodmatch(
        "refresh", str(folder / "run"), "--data", str(folder), "--out", str(folder / out), "--json", *more
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def changed(folder: Path, target: Path) -> Path:
    """Return a copy of a world with a product more in the middle, an edge gone, two edges more, and a text changed."""
    shutil.copytree(folder, target)
    rows = [
        (name, "phone, now in red") if name == "phone7-1" else (name, title) for name, title in products()
    ]
    rows.insert(30, ("case3-new", "case of line 3, just in"))
    write(target / "products.csv", ("product_id", "title"), rows)
    gone = edges()[100]
    fresh = [("phone3-0", "case3-new"), ("phone3-4", "case3-new")]
    write(target / "edges.csv", ("source", "target"), [*(edge for edge in edges() if edge != gone), *fresh])
    return target


def test_a_refresh_after_changes_is_what_computing_everything_gives(world: Path, tmp_path: Path) -> None:
    refresh(world)
    now = changed(world, tmp_path / "now")
    told = refresh(now)
    anew = refresh(now, "anew", "--all")
    kept, whole = (pl.read_parquet(now / name / "vectors.parquet") for name in ("vectors", "anew"))
    assert kept["product_id"].to_list() == whole["product_id"].to_list()
    for side in ("source", "target"):
        np.testing.assert_allclose(kept[side].to_numpy(), whole[side].to_numpy(), atol=2e-5)
    old = pl.read_parquet(world / "vectors" / "vectors.parquet").filter(pl.col("product_id") == "phone7-1")
    moved = whole.filter(pl.col("product_id") == "phone7-1")
    assert np.abs(old["source"].to_numpy() - moved["source"].to_numpy()).max() > 1e-3
    assert told["new"] == 1 and told["retold"] == 1
    assert anew["computed"] == [anew["places"]] * 3


def test_a_refresh_computes_the_places_that_changed_and_those_that_read_them(
    plain: Path, tmp_path: Path
) -> None:
    first = refresh(plain)
    assert first["computed"] == [480, 480, 480] and not first["kept"]
    told = refresh(changed(plain, tmp_path / "now"))
    # First vectors: both places of the new product and of the one with another text. Layer 1: those, and the places
    # whose edges came or went (two phones and the two ends of the edge that is gone), and the readers of the text.
    assert told["computed"][0] == 4
    readers = 3  # the cases that read phone7-1
    assert told["computed"][1] == 4 + 2 + 2 + readers
    assert told["computed"][1] < told["computed"][2] < 0.2 * told["places"]
    # The two phones and both ends of the edge that is gone; the new product is counted as new.
    assert told["moved"] == 4


def test_where_nothing_changed_nothing_is_computed(plain: Path) -> None:
    refresh(plain, "still")
    before = (plain / "still" / "vectors.parquet").read_bytes()
    assert refresh(plain, "still")["computed"] == [0, 0, 0]
    assert (plain / "still" / "vectors.parquet").read_bytes() == before


def test_refreshed_vectors_recommend_a_product_the_run_never_saw(plain: Path, tmp_path: Path) -> None:
    now = changed(plain, tmp_path / "now")
    refresh(now, "fresh")
    common = (
        "recommend",
        str(now / "run"),
        "--data",
        str(now),
        "--product",
        "phone3-0",
        "--top",
        "60",
        "--json",
    )
    stale = prodmatch(*common)
    assert stale.exit_code == 1 and "is not the data that" in stale.output
    done = prodmatch(*common, "--vectors", str(now / "fresh"))
    assert done.exit_code == 0, done.output
    rows = {row["product_id"]: row for row in json.loads(done.output)["next"]}
    assert "case3-new" in rows and rows["case3-new"]["known"] is True


def test_refreshed_vectors_rank_as_the_run_does_but_for_edges_it_was_not_shown(plain: Path) -> None:
    refresh(plain, "same")
    common = (
        "recommend",
        str(plain / "run"),
        "--data",
        str(plain),
        "--product",
        "phone5-5",
        "--json",
        "--top",
        "20",
    )
    left, right = (
        json.loads(prodmatch(*common, *more).output) for more in ((), ("--vectors", str(plain / "same")))
    )
    scores = [{row["product_id"]: row["score"] for row in answer["next"]} for answer in (left, right)]
    shared = scores[0].keys() & scores[1].keys()
    assert len(shared) >= 15
    assert np.corrcoef([[part[name] for name in sorted(shared)] for part in scores])[0, 1] > 0.8


def test_vectors_of_other_products_are_refused_with_the_remedy(plain: Path, tmp_path: Path) -> None:
    refresh(plain, "older")
    now = changed(plain, tmp_path / "now")
    done = prodmatch(
        "recommend",
        str(now / "run"),
        "--data",
        str(now),
        "--product",
        "phone1-1",
        "--vectors",
        str(plain / "older"),
    )
    assert done.exit_code == 1
    assert (
        f"has vectors of other products than the data. Bring them up to date: prodmatch refresh {now / 'run'}"
        in (done.output)
    )


def test_a_folder_of_something_else_is_not_replaced(plain: Path) -> None:
    done = prodmatch("refresh", str(plain / "run"), "--data", str(plain), "--out", str(plain / "run"))
    assert done.exit_code == 1
    assert "was not written by prodmatch refresh (no refresh.json). Choose another --out." in done.output
    assert (plain / "run" / "provenance.json").is_file()


def test_the_table_tells_how_much_was_computed(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "told")
    where = ("--data", str(plain), "--out", str(tmp_path / "told" / "vectors"))
    assert prodmatch("refresh", str(plain / "run"), *where, "--all").output.splitlines()[:4] == [
        "240 products: all vectors are computed",
        "",
        "               computed   of   share",
        "first vectors       480  480  100.0%",
    ]
    assert prodmatch("refresh", str(plain / "run"), *where).output.splitlines()[0] == (
        "240 products: 0 new, 0 with other texts, 0 with other edges"
    )


def test_a_run_without_a_graph_is_refused(tmp_path: Path) -> None:
    folder = tmp_path
    write(folder / "products.csv", ("product_id", "title"), products())
    write(folder / "edges.csv", ("source", "target"), edges())
    text = PIPELINE.format(more="").split("encoder = ")[0] + (
        'encoder = { use = "core.node_vectors", width = 8 }\n'
        "training = { batch_size = 64, epochs = 1, patience = 0 }\n\n[evaluation]\nreplicates = 100\n"
    )
    (folder / "next.toml").write_text(text.replace("{{", "{").replace("}}", "}"))
    done = prodmatch("run", str(folder / "next.toml"), "--data", str(folder), "--out", str(folder / "run"))
    assert done.exit_code == 0, done.output
    done = prodmatch("refresh", str(folder / "run"), "--data", str(folder))
    assert done.exit_code == 1
    assert (
        "member blade (core.node_vectors) does not read a graph, so its vectors do not change with edges."
        in (done.output)
    )
