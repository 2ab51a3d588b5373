"""Whole runs: trees over members, members left out, explanations, scores by few members, more members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ConfigError, RunError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundata import dataset_of, pairs_of
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_ensemble.charts import frontier_chart

PIPELINES = Path(__file__).parent.parent / "pipelines"
TREES = {"use": "ensemble.lightgbm", "folds": 2, "rounds": 15, "patience": 0}
MEMBERS: list[dict[str, Any]] = [
    {"name": "overlap", "encoder": {"use": "core.overlap"}},
    {"name": "texts", "encoder": {"use": "ensemble.sgc", "relation": "texts", "width": 8, "rounds": 20}},
    {"name": "clicks", "encoder": {"use": "ensemble.sgc", "relation": "click", "width": 8, "rounds": 20}},
]
TREE: dict[str, Any] = {
    "pipeline": {"name": "t"},
    "data": {"use": "shop.synthetic", "size": 900},
    "member": MEMBERS,
    "aggregator": TREES
    | {
        "side": ["locale", "lengths", "degree"],
        "families": {"overlap": "words", "texts": "graph", "clicks": "graph"},
        "relations": {"clicks": "click"},
    },
    "evaluation": {"replicates": 100, "baselines": []},
}


def ran(tree: dict[str, Any], out: Path, **options: Any) -> Run:
    return run_pipeline(load_pipeline(tree), out=out, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ran(TREE, tmp_path_factory.mktemp("runs") / "run")


def scored(run: Run) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the run's decisions on test pairs, and what the loaded run says of the same pairs."""
    test = run.decisions.filter(pl.col("split") == "test").head(200)
    rows = pairs_of(test.select("query_id", "product_id", "locale"), dataset_of(run, ReadContext()))
    return test, Pipeline.load(run.path).predict(rows)


def test_a_loaded_ensemble_scores_as_its_run_did(run: Run) -> None:
    test, again = scored(run)
    names = [f"p_{label}" for label in run.scheme.labels]
    np.testing.assert_allclose(again.select(names).to_numpy(), test.select(names).to_numpy(), atol=1e-9)


def test_shapley_values_are_kept_by_member_class_locale_family_and_relation(run: Run) -> None:
    state = json.loads((run.path / "aggregator" / "ensemble.json").read_text())
    whole = state["whole"]
    assert whole["sources"] == ["overlap", "texts", "clicks", "locale", "lengths", "degree"]
    assert list(whole["by_class"]) == list(run.scheme.labels)
    assert set(whole["by_locale"]) == {"en", "es", "ja"}
    assert set(state["families"]) == {"words", "graph"} and set(state["relations"]) == {"click"}
    total = np.sum(list(whole["by_class"].values()), axis=0)
    assert state["families"]["graph"] == pytest.approx(total[1] + total[2])


def test_explain_shows_what_each_member_adds_to_the_scores(run: Run) -> None:
    words = [
        "explain",
        str(run.path),
        "--query",
        "phone case",
        "--title",
        "Slim case for Vexo X10",
        "--quiet",
    ]
    plain = CliRunner().invoke(cli, words)
    assert plain.exit_code == 0, plain.output
    assert "scores: how the aggregator's add up, Shapley values in log-odds" in plain.output
    found = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)["contributions"]
    assert [source["source"] for source in found["sources"]][:3] == ["overlap", "texts", "clicks"]
    for label in run.scheme.labels:
        added = found["base"][label] + sum(source["values"][label] for source in found["sources"])
        assert added == pytest.approx(found["total"][label], abs=1e-9)


def test_members_that_were_not_kept_are_neither_loaded_nor_explained(tmp_path: Path) -> None:
    tree = TREE | {"aggregator": TREES | {"use": "ensemble.select", "keep": 1, "subsets": 1}}
    run = ran(tree, tmp_path / "run")
    state = json.loads((run.path / "aggregator" / "ensemble.json").read_text())
    kept = state["selection"]["kept"]
    for name in {"overlap", "texts", "clicks"} - set(kept):
        (run.path / "members" / name / "config.json").unlink()  # who loads it fails
    test, again = scored(run)
    np.testing.assert_allclose(again["score"].to_numpy(), test["score"].to_numpy(), atol=1e-9)
    words = ["explain", str(run.path), "--query", "phone case", "--title", "Slim case", "--quiet", "--json"]
    steps = json.loads(CliRunner().invoke(cli, words).output)["steps"]
    assert [step["name"] for step in steps if step["kind"] == "member"] == kept


def test_a_budget_is_kept_by_measured_costs_and_a_cascade_scores_as_it_was_evaluated(tmp_path: Path) -> None:
    budget = {"use": "ensemble.select", "budget_ms": 1000.0, "cascade": 0.05, "subsets": 1}
    run = ran(TREE | {"member": MEMBERS[:2], "aggregator": TREES | budget}, tmp_path / "run")
    for name in ("overlap", "texts"):
        cost = json.loads((run.path / "members" / name / "cost.json").read_text())
        assert 0 < cost["p50_ms"] <= cost["p95_ms"] and cost["memory_mb"] >= 0
    tried = json.loads((run.path / "aggregator" / "ensemble.json").read_text())["selection"]["tried"]
    assert all(one["p95_ms"] > 0 for one in tried)
    written = json.loads((run.path / "aggregator" / "frontier.json").read_text())
    assert written["tried"] == tried and {one["frontier"] for one in tried} >= {True}
    assert "aggregator/frontier.json" in (run.path / "report.html").read_text(encoding="utf-8")
    test, again = scored(run)
    np.testing.assert_allclose(again["score"].to_numpy(), test["score"].to_numpy(), atol=1e-9)


FAILS = {"name": "fails", "encoder": {"use": "ensemble.sgc", "relation": "no_such"}}


def test_a_failed_member_ends_the_run_unless_it_is_optional(tmp_path: Path) -> None:
    from prodmatch_core.errors import DataError

    tree = TREE | {"member": [MEMBERS[0], FAILS], "aggregator": TREES}
    with pytest.raises(DataError, match="no engagement has the relation"):
        ran(tree, tmp_path / "run")
    run = ran(tree | {"member": [MEMBERS[0], FAILS | {"optional": True}]}, tmp_path / "run")
    assert list(run.metrics["left_out"]) == ["fails"]
    assert 'no engagement has the relation "no_such"' in run.metrics["left_out"]["fails"]
    assert any(note.startswith("member fails was left out: ") for note in run.data["notes"])
    assert Pipeline.load(run.path).names == ("overlap",)


def test_members_fitted_side_by_side_say_what_they_say_in_turn(run: Run, tmp_path: Path) -> None:
    tree = TREE | {"member": [MEMBERS[0], FAILS | {"optional": True}], "aggregator": TREES}
    beside = ran(tree, tmp_path / "run", jobs=2)
    assert list(beside.metrics["left_out"]) == ["fails"]
    alone, before = (load_file(one.path / "members/overlap/predictions.safetensors") for one in (beside, run))
    for split in ("train", "valid", "test"):
        np.testing.assert_allclose(alone[split], before[split], atol=1e-6)


def test_extend_fits_what_is_new_and_says_what_each_member_is_worth(run: Run, tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        '[[member]]\nname = "copy"\nencoder = { use = "core.overlap" }\n', encoding="utf-8"
    )
    before = (run.path / "members" / "texts" / "stage.json").read_text()
    words = ["extend", str(run.path), str(tmp_path / "more.toml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, [*words, "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    found = {one["name"]: one for one in json.loads(result.output)["members"]}
    assert set(found) == {"overlap", "texts", "clicks", "copy"}
    assert sum(one["share"] for one in found.values()) == pytest.approx(1)
    assert found["copy"]["verdict"] != "helps"
    assert (
        tmp_path / "out" / "members" / "texts" / "stage.json"
    ).read_text() == before  # kept, not fitted again
    assert (run.path / "members").is_dir() and not (run.path / "members" / "copy").exists()


def test_a_file_that_is_no_member_is_refused_in_words(run: Run, tmp_path: Path) -> None:
    from prodmatch_core.registry import default_registry
    from prodmatch_ensemble.extending import extended

    file = tmp_path / "more.toml"
    file.write_text('[data]\nuse = "core.pairs"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        extended(run, file, (), default_registry())
    assert str(error.value) == (
        f"{file}: 2 problems\n  data: is no part of a member; a file that extends a run holds [[member]] and perhaps [aggregator]\n"
        "  member: missing; write at least one [[member]]"
    )
    without = {name: section for name, section in TREE.items() if name != "aggregator"}
    alone = ran(without | {"member": MEMBERS[:1]}, tmp_path / "alone")
    file.write_text('[[member]]\nencoder = { use = "core.overlap" }\n', encoding="utf-8")
    with pytest.raises(RunError) as refused:
        extended(alone, file, (), default_registry())
    assert str(refused.value) == (
        f"{alone.path}: has no aggregator, so another member has nowhere to go. Add [aggregator] with use = "
        f'"ensemble.lightgbm" to {file}; members without out-of-fold predictions are then fitted again.'
    )


@pytest.mark.parametrize("name", sorted(path.name for path in PIPELINES.glob("*.toml")))
def test_shipped_pipelines_are_valid(name: str) -> None:
    assert load_pipeline(PIPELINES / name).aggregator is not None


def test_the_report_shows_who_helps_where_who_agrees_and_why_one_label(run: Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for part in (
        "The ensemble&#39;s members",
        "Mean absolute Shapley value of each member, by class",
        "Ranking by locale",
        "Who agrees with whom",
        "Why this label: the surest mistake",
    ):
        assert part in page or part.replace("&#39;", "'") in page, part
    assert "By family: " in page and "By relation of the graph: click" in page


def test_the_report_of_a_selection_draws_the_sets_that_were_tried() -> None:
    tried = [
        {"members": ["a"], "quality": 0.4, "p95_ms": 1.0, "kept": False, "frontier": True},
        {"members": ["a", "b"], "quality": 0.5, "p95_ms": 3.0, "kept": True, "frontier": True},
        {"members": ["b"], "quality": 0.3, "p95_ms": 2.0, "kept": False, "frontier": False},
    ]
    drawn = frontier_chart(tried, "Macro F1", "t")
    assert drawn.count("<circle") == 3
    assert "Frontier: a 0.400; a, b 0.500." in drawn
