from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import ConfigError, DataError, RunError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Draft, Run
from prodmatch_core.runner import run_pipeline

Runs = Callable[..., Run]


def content(run: Run) -> dict[str, bytes]:
    """Return the files whose bytes depend on the pipeline, its data and its seed alone."""
    names = (
        "metrics.json",
        "mistakes.json",
        "predictions.parquet",
        "decisions.parquet",
        "run.trec",
        "qrels.trec",
    )
    return {name: (run.path / name).read_bytes() for name in names}


def test_a_run_leaves_everything_it_promises(finished: Run) -> None:
    promised = {
        "resolved.toml", "provenance.json", "data.json", "members", "aggregator", "calibrator", "predictions.parquet",
        "decisions.parquet", "metrics.json", "mistakes.json", "run.trec", "qrels.trec", "log.jsonl", "report.html",
    }  # fmt: skip
    assert {path.name for path in finished.path.iterdir()} == promised
    assert not Draft(finished.path).path.exists()


def test_lines_are_baselines_then_members_then_the_pipeline(finished: Run) -> None:
    lines = [(line["name"], line["kind"]) for line in finished.metrics["lines"]]
    assert lines == [
        ("majority class", "baseline"),
        ("word overlap", "baseline"),
        ("ngram", "member"),
        ("overlap", "member"),
        ("pipeline", "pipeline"),
    ]


def test_the_pipeline_learns_what_the_words_say(finished: Run) -> None:
    figures = {line["name"]: line["measures"]["macro_f1"]["value"] for line in finished.metrics["lines"]}
    assert figures["majority class"] < 0.4
    assert figures["pipeline"] > 0.9


def test_predictions_are_distributions_with_one_row_per_example(finished: Run, tiny_dataset: Dataset) -> None:
    table = finished.predictions
    held_out = tiny_dataset.judgements.filter(pl.col("split") != "train")
    assert table.height == held_out.height
    np.testing.assert_allclose(table.select("p_match", "p_mismatch").sum_horizontal(), 1, atol=1e-9)
    assert table["uncertainty"].is_finite().all()


def test_trec_files_agree_with_the_metrics(finished: Run) -> None:
    import ir_measures

    run = list(ir_measures.read_trec_run(str(finished.path / "run.trec")))
    qrels = list(ir_measures.read_trec_qrels(str(finished.path / "qrels.trec")))
    expected = ir_measures.calc_aggregate([ir_measures.nDCG], qrels, run)[ir_measures.nDCG]
    pipeline = finished.metrics["lines"][-1]["measures"]
    # TREC breaks ties by identifier, ours averages over them; without ties they are the same number.
    assert finished.metrics["tie_share"] > 0 or pipeline["ndcg"]["value"] == pytest.approx(expected, abs=1e-9)


def test_the_resolved_file_runs_to_the_same_result(finished: Run, run_tree: Runs, tmp_path: Path) -> None:
    import tomllib

    again = run_tree(tomllib.loads((finished.path / "resolved.toml").read_text()), tmp_path / "again")
    assert content(again) == content(finished)


def test_another_seed_gives_another_result(
    finished: Run, tree: dict[str, Any], run_tree: Runs, tmp_path: Path
) -> None:
    other = run_tree(tree, tmp_path / "other", ("pipeline.seed=4",))
    assert content(other)["predictions.parquet"] != content(finished)["predictions.parquet"]


NO_PICKLE = """
import sys
import numpy, polars as pl, torch  # they import pickle themselves, whatever we do

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PICKLES:
            raise ImportError(f"{name} was imported")

PICKLES = ("pickle", "_pickle", "cloudpickle", "dill", "joblib")
for name in [name for name in sys.modules if name.partition(".")[0] in PICKLES]:
    del sys.modules[name]
sys.meta_path.insert(0, Refuse())
from prodmatch_core.pipeline import Pipeline

pipeline = Pipeline.load(sys.argv[1])
frame = pipeline.predict(pl.DataFrame({"query": ["red kettle"], "title": ["kettle red no7"]}))
print(frame["decided"].item())
"""


def test_law_6_a_run_loads_and_scores_with_pickle_made_to_raise_on_import(finished: Run) -> None:
    command = [sys.executable, "-c", NO_PICKLE, str(finished.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "match"


def test_scoring_the_test_split_gives_the_decisions_of_the_run(finished: Run, tiny_dataset: Dataset) -> None:
    rows = finished.decisions.filter(pl.col("split") == "test")
    frame = rows.select("query_id", "product_id").join(
        tiny_dataset.queries.select("query_id", query="text"), on="query_id", how="left", maintain_order="left"
    ).join(
        tiny_dataset.products.select("product_id", "title"), on="product_id", how="left", maintain_order="left"
    )  # fmt: skip
    scored = Pipeline.load(finished.path, "fp32").predict(frame)
    assert scored["product_id"].to_list() == rows["product_id"].to_list()
    assert scored["decided"].to_list() == rows["decided"].to_list()
    np.testing.assert_allclose(scored["score"], rows["score"], atol=1e-6)


def member_stamps(path: Path) -> dict[str, float]:
    return {stage.parent.name: stage.stat().st_mtime_ns for stage in path.glob("members/*/stage.json")}


@pytest.fixture
def stopped(tree: dict[str, Any], run_tree: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the name of a run that was stopped after its members, before anything else."""
    from prodmatch_core.answers.classes import ClassAnswer

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ClassAnswer, "_aggregate", stop)
        with pytest.raises(KeyboardInterrupt):
            run_tree(tree, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    return tmp_path / "run"


def test_law_7_a_stage_is_reused_when_nothing_it_depends_on_has_changed(
    stopped: Path, finished: Run, tree: dict[str, Any], run_tree: Runs
) -> None:
    before = member_stamps(Draft(stopped).path)
    run = run_tree(tree, stopped)
    assert member_stamps(run.path) == before
    assert content(run) == content(finished)


@pytest.mark.parametrize(
    ("settings", "refitted"),
    [
        (("member.0.training.epochs=2",), {"ngram"}),
        (("member.1.encoder.l2=2.0",), {"overlap"}),
        (("pipeline.seed=9",), {"ngram", "overlap"}),
        (("calibrator.0.use=\"core.isotonic\"",), set()),
    ],
)  # fmt: skip
def test_law_7_a_stage_is_made_again_when_its_configuration_has_changed(
    stopped: Path, tree: dict[str, Any], run_tree: Runs, settings: tuple[str, ...], refitted: set[str]
) -> None:
    before = member_stamps(Draft(stopped).path)
    after = member_stamps(run_tree(tree, stopped, settings).path)
    assert {name for name in after if after[name] != before[name]} == refitted


def test_law_7_a_stage_is_made_again_when_the_data_have_changed(
    stopped: Path, tree: dict[str, Any], run_tree: Runs, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    import attrs

    from prodmatch_core.data.folder import write_folder

    titles = tiny_dataset.products.with_columns(title=pl.col("title").str.replace("kettle", "teapot"))
    write_folder(attrs.evolve(tiny_dataset, products=titles), tmp_path / "changed")
    before = member_stamps(Draft(stopped).path)
    after = member_stamps(run_tree(tree, stopped, (f'data.path="{tmp_path / "changed"}"',)).path)
    assert all(after[name] != before[name] for name in before)


def test_law_7_a_stage_is_made_again_when_a_plugin_has_another_version(
    stopped: Path, tree: dict[str, Any], run_tree: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prodmatch_core import member_stages

    known = member_stages.versions
    monkeypatch.setattr(member_stages, "versions", lambda names: {**known(names), "prodmatch-core": "0.0.1"})
    before = member_stamps(Draft(stopped).path)
    after = member_stamps(run_tree(tree, stopped).path)
    assert all(after[name] != before[name] for name in before)


@pytest.mark.slow
def test_law_8_a_run_killed_at_any_moment_resumes_to_the_same_result(
    finished: Run, tree: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text((finished.path / "resolved.toml").read_text())
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "prodmatch_core", "run", str(file), "--out", str(out), "--quiet"]
    waits = iter((1.5, 2.5, 3.0, 3.5))
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        limit = next(waits, 60.0)
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < limit:
            time.sleep(0.05)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed += 1
        if out.exists():  # killed after its last act, the renaming
            break
    assert killed >= 1
    assert content(Run.open(out)) == content(finished)


def test_an_empty_split_is_refused_before_anything_is_trained(
    tiny_dataset: Dataset, tree: dict[str, Any], run_tree: Runs, tmp_path: Path
) -> None:
    import attrs

    from prodmatch_core.data.folder import write_folder

    rows = tiny_dataset.judgements.filter(pl.col("split") != "test")
    write_folder(attrs.evolve(tiny_dataset, judgements=rows), tmp_path / "data")
    with pytest.raises(DataError, match="split test is empty"):
        run_tree(tree, tmp_path / "run", (f'data.path="{tmp_path / "data"}"',))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_an_earlier_attempt_left_of_other_members_is_taken_out(
    stopped: Path, tree: dict[str, Any], run_tree: Runs
) -> None:
    alone = {**tree, "member": tree["member"][1:]}
    del alone["aggregator"]
    run = run_tree(alone, stopped)
    assert [path.name for path in run.path.glob("members/*")] == ["overlap"]
    assert run.log() == []
    assert not (run.path / "aggregator").exists()


def test_learned_aggregator_is_given_out_of_fold_predictions(
    tree: dict[str, Any], run_tree: Runs, tmp_path: Path
) -> None:
    run = run_tree(tree, tmp_path / "stacked", ('aggregator={use="core.logistic", folds=3}',))
    assert set(run.predictions["split"].unique()) == {"train", "valid", "test"}
    assert (run.path / "aggregator" / "logistic.json").is_file()
    assert run.metrics["lines"][-1]["measures"]["macro_f1"]["value"] > 0.9


def test_the_positive_labels_can_be_chosen(tree: dict[str, Any], run_tree: Runs, tmp_path: Path) -> None:
    run = run_tree(tree, tmp_path / "turned", ('data.positive=["mismatch"]', "calibrator=[]"))
    assert run.scheme.positive == ("mismatch",)
    np.testing.assert_allclose(run.decisions["score"], run.decisions["p_mismatch"])


def test_a_damaged_member_is_named_with_the_remedy(finished: Run, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    (copy / "members" / "ngram" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunError, match="member ngram cannot be loaded"):
        Pipeline.load(copy)


def test_a_run_whose_plugin_is_gone_says_which_part(finished: Run, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    text = (copy / "resolved.toml").read_text().replace("core.overlap", "gone.part")
    (copy / "resolved.toml").write_text(text)
    with pytest.raises(ConfigError, match=r'unknown encoder "gone\.part"'):
        Pipeline.load(copy)


def test_a_tracker_hears_the_run_and_one_that_fails_costs_nothing(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    from types import ModuleType

    from prodmatch_core import hookimpl
    from prodmatch_core.config import load_pipeline
    from prodmatch_core.plugins import PluginState, add_plugin, load_plugins
    from prodmatch_core.records import Section
    from prodmatch_core.registry import Registry

    heard: list[str] = []
    tracker, broken = ModuleType("tracker"), ModuleType("broken")

    @hookimpl
    def prodmatch_run_started(run: Run) -> None:
        heard.append("started")

    @hookimpl
    def prodmatch_epoch_finished(run: Run, member: str, metrics: Any) -> None:
        heard.append(f"{member} {sorted(metrics)}")

    @hookimpl
    def prodmatch_run_finished(run: Run, report: Any) -> None:
        heard.append(f"finished {report['name']}")

    @hookimpl
    def prodmatch_report_sections(run: Run) -> list[Section]:
        return [Section(title="From the tracker", html="<p>a thought</p>")]

    for function in (
        prodmatch_run_started,
        prodmatch_epoch_finished,
        prodmatch_run_finished,
        prodmatch_report_sections,
    ):
        setattr(tracker, function.__name__, function)

    def failing(run: Run) -> None:
        raise RuntimeError("no network")

    failing.__name__ = "prodmatch_run_started"
    broken.prodmatch_run_started = hookimpl(failing)  # type: ignore[attr-defined]
    manager, states = load_plugins()
    for module in (tracker, broken):
        state = PluginState(module.__name__, f"acme-{module.__name__}", "1.0", module.__name__)
        add_plugin(manager, module, state)
        states.append(state)
    registry = Registry(manager, states)
    pipeline = load_pipeline(tree, ("member.0.training.epochs=1",), registry)
    run = run_pipeline(pipeline, out=tmp_path / "run", registry=registry)
    assert heard == ["started", "ngram ['loss', 'macro_f1']", "finished tiny"]
    assert "From the tracker" in (run.path / "report.html").read_text()


def test_metrics_are_json_a_browser_can_read(finished: Run) -> None:
    assert "NaN" not in (finished.path / "metrics.json").read_text()
    json.loads((finished.path / "metrics.json").read_text())


def test_members_see_neither_test_labels_nor_the_truth(
    tree: dict[str, Any], run_tree: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prodmatch_core.builtin.overlap import OverlapEncoder

    seen = []
    fit = OverlapEncoder.fit.__func__

    def watch(cls: type, config: Any, data: Any, rng: Any) -> Any:
        seen.append((set(data.dataset.judgements["split"].unique()), dict(data.dataset.truth)))
        return fit(cls, config, data, rng)

    monkeypatch.setattr(OverlapEncoder, "fit", classmethod(watch))
    run_tree(tree, tmp_path / "run")
    assert len(seen) == 2
    assert all(view == ({"train", "valid"}, {}) for view in seen)


@pytest.mark.parametrize("options", [{"precision": "fp8"}, {"backend": "onnx"}])
def test_unknown_precision_or_backend_is_refused(finished: Run, options: dict[str, str]) -> None:
    told = "expected a precision of ('auto', 'fp32', 'bf16') and a backend of ('torch', 'onnx-int8')"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        Pipeline.load(finished.path, **options)
