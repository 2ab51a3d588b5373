"""Whole runs of the tasks beside match, on small worlds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file

from prodmatch_core.cli import cli
from prodmatch_core.data.folder import write_folder
from prodmatch_core.errors import RunError
from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.registry import default_registry
from prodmatch_core.rundir import Run
from prodmatch_core.testing.worlds import item_groups

Runs = Callable[..., Run]


MEMBER: dict[str, dict[str, Any]] = {
    "embed": {"encoder": {"use": "core.ngram", "mode": "two_tower", "buckets": 4096, "width": 32}},
    "relate": {"encoder": {"use": "core.node_vectors", "width": 32}},
    "convert": {"encoder": {"use": "core.event_features", "buckets": 1024}},
}


@pytest.fixture(scope="module")
def runs(run_tree: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return one finished run of each task."""
    folder = tmp_path_factory.mktemp("tasks")
    write_folder(item_groups(), folder / "groups")
    shop = {"use": "shop.synthetic", "size": 2000}
    data = {
        "embed": {"use": "core.folder", "path": str(folder / "groups")},
        "relate": shop,
        "convert": shop,
    }
    finished = {}
    for task, source in data.items():
        training = {"epochs": 2, "batch_size": 64, "learning_rate": 0.01}
        tree = {
            "pipeline": {"name": task, "task": task, "seed": 1},
            "data": source,
            "member": [{**MEMBER[task], "name": "only", "training": training}],
            "evaluation": {"replicates": 100},
        }
        if task == "relate":
            tree["relate"] = {"relation": "bought_next"}
        finished[task] = run_tree(tree, folder / task)
    return finished


def test_every_task_has_a_report_and_a_baseline_beside_its_line(runs: dict[str, Run]) -> None:
    for task, run in runs.items():
        kinds = {line["kind"] for line in run.metrics["lines"]}
        assert {"baseline", "pipeline"} <= kinds, task
        assert run.metrics["headline"] == run.task.headline
        assert "Content-Security-Policy" in (run.path / "report.html").read_text(encoding="utf-8")


def test_neighbours_on_disk_give_the_figures_of_the_run(runs: dict[str, Run]) -> None:
    run = runs["embed"]
    found = run.retrieved()
    line = next(line for line in run.metrics["lines"] if line["kind"] == "pipeline")
    assert default_registry().measure("hit_rate@1").load()(found)(found.example_weights) == pytest.approx(
        line["measures"]["hit_rate@1"]["value"]
    )
    assert run.neighbours.filter(pl.col("neighbour") == pl.col("query")).is_empty()


def test_the_items_kept_of_embed_have_their_titles(runs: dict[str, Run]) -> None:
    run = runs["embed"]
    wrong = json.loads((run.path / "mistakes.json").read_text(encoding="utf-8"))
    titles = dict(zip(run.items["item_id"], run.items["title"], strict=True))
    assert wrong
    assert [titles[each["product_id"]] for each in wrong] == [each["title"] for each in wrong]


def test_the_vectors_kept_of_embed_have_their_items(runs: dict[str, Run]) -> None:
    run = runs["embed"]
    vectors = load_file(run.path / "members" / "only" / "predictions.safetensors")
    sizes = run.items["split"].value_counts()
    assert dict(zip(sizes["split"], sizes["count"], strict=True)) == {"valid": 64, "test": 64}
    assert (len(vectors["valid"]), len(vectors["candidates"])) == (64, 64)
    test = run.items.filter(pl.col("split") == "test")["item_id"].to_list()
    nearest = cosine_scorer(vectors["candidates"], vectors["candidates"])(np.array([0]))[0].copy()
    nearest[0] = -1
    first = run.neighbours.filter((pl.col("query") == test[0]) & (pl.col("rank") == 1))
    assert first["score"].item() == pytest.approx(float(nearest.max()), abs=1e-5)


def test_embed_learns_which_words_matter(runs: dict[str, Run]) -> None:
    figures = {
        line["name"]: line["measures"]["hit_rate@1"]["value"] for line in runs["embed"].metrics["lines"]
    }
    assert figures["pipeline"] > 0.8


def test_relate_ranks_no_edge_that_training_knew(runs: dict[str, Run]) -> None:
    run = runs["relate"]
    assert run.metrics["counts"]["test_queries"] == run.neighbours["query"].n_unique()
    figures = {line["name"]: line["measures"]["hit_rate@10"]["value"] for line in run.metrics["lines"]}
    assert set(figures) == {"popularity", "co-occurrence", "pipeline"}


def test_convert_writes_decisions_by_event(runs: dict[str, Run]) -> None:
    run = runs["convert"]
    assert run.decisions.columns[:4] == ["event_id", "hour", "split", "label"]
    assert run.evaluated().n_groups == run.metrics["counts"]["test_queries"]


def test_the_same_seed_gives_the_same_run(runs: dict[str, Run], run_tree: Runs, tmp_path: Path) -> None:
    import tomllib

    run = runs["relate"]
    again = run_tree(tomllib.loads((run.path / "resolved.toml").read_text()), tmp_path / "again")
    for name in ("metrics.json", "neighbours.parquet"):
        assert (run.path / name).read_bytes() == (again.path / name).read_bytes()


def test_pairs_are_not_scored_with_a_run_that_ranks(runs: dict[str, Run]) -> None:
    with pytest.raises(RunError, match="a run of the task embed does not score pairs of query and title"):
        Pipeline.load(runs["embed"].path)


def explain(run: Run, *words: str) -> Result:
    return CliRunner().invoke(cli, ["explain", str(run.path), *words])


def test_explain_shows_the_neighbours_of_an_item(runs: dict[str, Run]) -> None:
    result = explain(runs["embed"], "--query-id", "i4-0", "--top", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("i4-0: ")
    assert lines[1:4] == ["group g4; 3 neighbours are right", "", lines[3]]
    assert lines[3].split() == ["rank", "neighbour", "cosine", "right", "title"]
    assert [line.split()[0] for line in lines[4:]] == ["1", "2"]


def test_explain_tells_what_a_run_that_ranks_offers(runs: dict[str, Run]) -> None:
    run = runs["embed"]
    first = run.neighbours["query"][0]
    result = explain(run, "--query", "red", "--title", "red lamp")
    assert (result.exit_code, result.stderr) == (
        1,
        f"{run.path}: a run of the task embed ranks neighbours and decides on no pairs. Name one of its test items by "
        f'--query-id, e.g. --query-id "{first}", to see what was found for it; `prodmatch report` shows its surest '
        "mistakes.\n",
    )


def test_explain_knows_test_items_only(runs: dict[str, Run]) -> None:
    run = runs["embed"]
    result = explain(run, "--query-id", "i0-0")
    assert (result.exit_code, result.stderr) == (
        1,
        f'{run.path}: "i0-0" is none of the 64 test items whose neighbours were kept; the first is '
        f'"{run.neighbours["query"][0]}". neighbours.parquet lists them.\n',
    )


def test_explain_has_no_words_for_events(runs: dict[str, Run]) -> None:
    run = runs["convert"]
    result = explain(run)
    assert (result.exit_code, result.stderr) == (
        1,
        f"{run.path}: a run of the task convert decides on events, which have features and no words. `prodmatch "
        "report` shows what its figures rest on; decisions.parquet has its answer on every event.\n",
    )
