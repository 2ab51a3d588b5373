"""A run of relate from a file of edges to recommendations with titles."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli

PHONES, CASES = 24, 24
PIPELINE = """
[pipeline]
name = "next"
task = "relate"

[data]
use = "core.edges"
path = "edges.csv"
products = { path = "products.csv" }

[[member]]
name = "blade"
encoder = { use = "blade.dual", width = 16, upto = 6 }
sampler = { use = "blade.adaptive", fanouts = [6, 6] }
negatives = { use = "blade.negatives", count = 4 }
loss = [{ use = "core.in_batch_softmax" }, { use = "blade.asymmetric", weight = 0.1 }]
training = { batch_size = 64, epochs = 12, learning_rate = 0.03, patience = 0 }

[evaluation]
replicates = 100
"""


def prodmatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which each of four lines of phones is followed by the cases of its line, never the other way."""
    folder = tmp_path_factory.mktemp("next")
    rng = np.random.default_rng(0)
    with (folder / "products.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("product_id", "title"))
        rows.writerows((f"phone{n}", f"Vexo X{n} phone") for n in range(PHONES))
        rows.writerows((f"case{n}", f"Case for line {n % 4}") for n in range(CASES))
    with (folder / "edges.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("source", "target"))
        for phone in range(PHONES):
            fitting = [case for case in range(CASES) if case % 4 == phone % 4]
            rows.writerows((f"phone{phone}", f"case{case}") for case in rng.permutation(fitting)[:5])
    (folder / "next.toml").write_text(PIPELINE)
    done = prodmatch("run", str(folder / "next.toml"), "--data", str(folder), "--out", str(folder / "run"))
    assert done.exit_code == 0, done.output
    return folder / "run"


def asked(run: Path, product: str, *more: str) -> dict:
    done = prodmatch("recommend", str(run), "--product", product, "--data", str(run.parent), "--json", *more)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_the_case_follows_the_phone_and_the_phone_does_not_follow_the_case(run: Path) -> None:
    answer = asked(run, "phone6", "--top", "4")
    assert answer["title"] == "Vexo X6 phone"
    assert [row["title"] for row in answer["next"]] == ["Case for line 2"] * 4
    assert all(row["score"] > row["back"] for row in answer["next"])
    case = answer["next"][0]["product_id"]
    following = {row["product_id"]: row["score"] for row in asked(run, case, "--top", "47")["next"]}
    assert following["phone6"] < answer["next"][0]["score"]


def test_new_leaves_out_what_is_known(run: Path) -> None:
    known = {row["product_id"] for row in asked(run, "phone6", "--top", "47")["next"] if row["known"]}
    fresh = {row["product_id"] for row in asked(run, "phone6", "--top", "47", "--new")["next"]}
    assert len(known) == 5 and not known & fresh and "phone6" not in fresh


def test_the_table_has_titles(run: Path) -> None:
    done = prodmatch("recommend", str(run), "--product", "phone6", "--data", str(run.parent), "--top", "1")
    first, empty, head, row = done.output.splitlines()
    assert first == "after phone6  Vexo X6 phone" and empty == ""
    assert head.split() == ["rank", "score", "back", "known", "product", "title"]
    assert row.endswith("Case for line 2")


def test_an_unknown_product_is_named_with_the_nearest(run: Path) -> None:
    done = prodmatch("recommend", str(run), "--product", "phone66", "--data", str(run.parent))
    assert done.exit_code == 1
    assert 'its data has no product "phone66"; did you mean "phone6"?' in done.output


def test_the_run_tells_how_surely_it_knows_the_direction(run: Path) -> None:
    figures = json.loads((run / "metrics.json").read_text())["direction"]
    assert figures["edges"] == 24
    assert figures["low"] <= figures["auc"] <= figures["high"]
    assert figures["auc"] > 0.9
    assert "Direction AUC" in (run / "report.html").read_text()


def test_every_figure_of_the_run_is_given_by_quartile_of_known_edges(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    parts, ways = metrics["slices"], metrics["direction"]["slices"]
    assert [part["by"] for part in parts] == ["known edges"] * len(parts) and len(parts) >= 2
    assert [part["name"] for part in ways] == [part["name"] for part in parts]
    assert sum(part["edges"] for part in ways) == metrics["direction"]["edges"]
    assert all(part["low"] <= part["auc"] <= part["high"] for part in ways)
    assert "Direction AUC by slice" in (run / "report.html").read_text()
