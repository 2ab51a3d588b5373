"""`explain` on finished runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run


def explain(run: Run | Path, *words: str) -> Result:
    path = run.path if isinstance(run, Run) else run
    return CliRunner().invoke(cli, ["explain", str(path), *words])


def told(run: Run, *words: str) -> dict[str, Any]:
    result = explain(run, "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_pair_is_explained_as_it_is_predicted(finished: Run) -> None:
    found = told(finished, "--query", "red kettle", "--title", "kettle red no7")
    predicted = Pipeline.load(finished.path, "fp32").predict(
        pl.DataFrame({"query": ["red kettle"], "title": ["kettle red no7"]})
    )
    assert (found["kind"], found["decided"]) == ("pair", predicted["decided"][0])
    assert found["probabilities"] == pytest.approx(
        {label: predicted[f"p_{label}"][0] for label in ("match", "mismatch")}
    )
    assert [step["part"] for step in found["steps"]] == [
        "core.ngram",
        "core.overlap",
        "core.mean",
        "core.temperature",
        "core.threshold",
    ]


def test_the_word_that_makes_the_match_matters_most(finished: Run) -> None:
    found = told(finished, "--query", "red kettle", "--title", "kettle red no7")
    most = found["words"][0]
    assert most["word"] in ("red", "kettle") and most["effect"] > 0


def test_a_pair_of_the_runs_data_is_found_by_its_identifiers(finished: Run) -> None:
    row = finished.decisions.filter(pl.col("split") == "test").row(0, named=True)
    found = told(finished, "--query-id", row["query_id"], "--product-id", row["product_id"])
    assert (found["label"], found["decided"]) == (row["label"], row["decided"])
    assert found["score"] == pytest.approx(row["score"], abs=1e-6)


def test_a_summary_tells_of_a_sample(finished: Run) -> None:
    found = told(finished, "--rows", "10")
    assert list(found) == [
        "run",
        "task",
        "kind",
        "method",
        "sample",
        "words",
        "fields",
        "members",
        "mistakes",
    ]
    assert found["sample"] == {"pairs": 10, "words": found["sample"]["words"], "of": 72, "seed": 3}
    assert sum(member["share"] for member in found["members"]) == pytest.approx(1)
    assert sum(field["share"] for field in found["fields"]) == pytest.approx(1)


def test_a_summary_is_the_same_again(finished: Run) -> None:
    assert told(finished, "--rows", "5") == told(finished, "--rows", "5")


def test_the_surest_mistakes_of_the_run_are_explained(finished: Run) -> None:
    found = told(finished, "--rows", "1")
    known = [(wrong["query_id"], wrong["product_id"]) for wrong in finished.mistakes[:5]]
    assert [(wrong["query_id"], wrong["product_id"]) for wrong in found["mistakes"]] == known


def test_a_summary_prints_its_tables(finished: Run) -> None:
    result = explain(finished, "--rows", "5", "--quiet")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("5 of 72 test pairs, drawn by seed 3; ")
    titles = [line.partition(":")[0] for line in lines if line.startswith(("texts", "members", "words"))]
    assert titles == ["texts", "members", "words"]


def test_an_unknown_query_is_refused(finished: Run, tiny_dataset: Dataset) -> None:
    result = explain(finished, "--query-id", "q999", "--product-id", "p0-0")
    assert (result.exit_code, result.stderr) == (
        1,
        f'{tiny_dataset.source}: has no query "q999"; its identifiers look like "q0". Choose one that a judgement names.\n',
    )


def test_an_unknown_product_is_refused(finished: Run, tiny_dataset: Dataset) -> None:
    result = explain(finished, "--query-id", "q4", "--product-id", "p999")
    assert (result.exit_code, result.stderr) == (
        1,
        f'{tiny_dataset.source}: has no product "p999" in the locale of the query, en; its identifiers look like "p0-0". '
        "Choose one of that locale.\n",
    )


def test_half_a_pair_of_identifiers_is_refused(finished: Run) -> None:
    result = explain(finished, "--query-id", "q4")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: --query-id needs --product-id: a pair is a query and a product.",
    )


def test_other_data_than_the_runs_is_refused(finished: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    provenance = json.loads((copy / "provenance.json").read_text())
    provenance["fingerprint"] = "0123456789abcdef"
    (copy / "provenance.json").write_text(json.dumps(provenance))
    result = explain(copy)
    actual = finished.provenance["fingerprint"][:12]
    assert (result.exit_code, result.stderr) == (
        1,
        f"{tiny_dataset.source}: is not the data that {copy} was made with: its fingerprint is {actual}, the run's "
        "0123456789ab. Name the folder with the run's data by --data, or run the pipeline again.\n",
    )
