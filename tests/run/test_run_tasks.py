"""Whole runs of the tasks beside match, on small worlds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.errors import RunError
from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.registry import default_registry
from prodmatch_core.rundir import Run

Runs = Callable[..., Run]


def item_groups() -> Dataset:
    """Return 80 groups of 4 titles: two words that name the group among words that do not."""
    rng = np.random.default_rng(0)
    names = [
        f"{a}{b}" for a in ("kor", "vel", "mis", "tra", "lun") for b in ("ba", "do", "gi", "pe", "su", "xo")
    ]
    chosen = [(names[i % 30], names[(7 * i + i // 30) % 30]) for i in range(80)]
    rows = []
    for number, words in enumerate(chosen):
        split = ("train", "train", "train", "valid", "test")[number % 5]
        for copy in range(4):
            noise = rng.choice(["new", "sale", "best", "2024", "original", "promo"], 2, replace=False)
            title = " ".join(rng.permutation([*words, *noise]))
            rows.append({"id": f"i{number}-{copy}", "group": f"g{number}", "split": split, "title": title})
    frame = pl.DataFrame(rows)
    return Dataset(
        "groups",
        products=frame.select(product_id="id", locale=pl.lit("en"), title="title"),
        groups=frame.select(item_id="id", group="group", split="split"),
        source="made for tests",
    )


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
