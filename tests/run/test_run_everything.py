"""Parts of all methods in one pipeline: the shipped file on a small shop trains, reports, explains and scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run

ROOT = Path(__file__).parents[2]
EVERYTHING = ROOT / "pipelines" / "everything.toml"
SMALL = (
    "data.size=500",
    "member.0.negatives.after=1",
    "member.0.negatives.tuples=60",
    "member.0.negatives.epochs=1",
    "member.0.training.epochs=2",
    "member.1.training.phase.0.epochs=1",
    "member.1.training.phase.1.epochs=1",
    "member.2.training.epochs=1",
    "member.4.training.epochs=1",
    "aggregator.rounds=20",
    "aggregator.budget_ms=10000",  # of a few pairs a call costs more than the pairs
    "evaluation.replicates=100",
)
SECTIONS = ("Score and uncertainty", "Texts and graph: salam", "Generated queries of text", "The ensemble")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "everything"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = CliRunner().invoke(cli, ["run", str(EVERYTHING), "--out", str(out), "--quiet", *settings])
    assert done.exit_code == 0, done.output
    return Run.open(out)


def test_seven_methods_stand_in_one_file() -> None:
    text = EVERYTHING.read_text(encoding="utf-8")
    families = ("quarts.", "tcm.", "salam.", "blade.", "ensemble.", "uncertainty.")
    assert [family for family in families if f'use = "{family}' not in text] == []
    assert len(load_pipeline(EVERYTHING).member) == 5


def test_the_report_has_a_section_of_every_method(run: Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert [title for title in SECTIONS if title not in page] == []


def test_the_budget_decides_who_stays_and_the_boundary_accepts(run: Run) -> None:
    chosen = json.loads((run.path / "aggregator" / "ensemble.json").read_text(encoding="utf-8"))
    kept = chosen["selection"]["kept"]
    costs = dict(zip(chosen["members"], chosen["costs"], strict=True))
    assert kept
    assert sum(costs[name]["p95_ms"] for name in kept) <= 10_000.0
    assert "accepted" in run.decisions.columns


def test_a_pair_is_explained_member_by_member(run: Run) -> None:
    words = ["--query", "phone case", "--title", "Slim Case for Vexo X10, Black", "--json"]
    done = CliRunner().invoke(cli, ["explain", str(run.path), *words])
    assert done.exit_code == 0, done.output
    assert "lexical" in done.output


def test_pairs_are_scored_as_the_run_decided(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    pairs = pl.DataFrame({"query": ["phone case", "red mug"], "title": ["Slim phone case", "Mug, red"]})
    pairs.write_csv(tmp_path / "pairs.csv")
    out = tmp_path / "scored.parquet"
    words = ["score", str(tmp_path / "run"), str(tmp_path / "pairs.csv"), "-o", str(out), "--quiet"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    scored, predicted = pl.read_parquet(out), Pipeline.load(run.path).predict(pairs)
    assert scored["decided"].to_list() == predicted["decided"].to_list()
    assert scored["score"].to_list() == pytest.approx(predicted["score"].to_list())
