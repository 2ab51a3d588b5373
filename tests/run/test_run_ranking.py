"""Ranking settings from the pipeline file to metrics.json, the TREC files, provenance and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ir_measures
import pytest
from click.testing import CliRunner
from ir_measures import AP, RR, P, R, Success, nDCG

from prodmatch_core.cli import cli
from prodmatch_core.rundir import Run

MEASURES = {
    "ndcg": nDCG,
    "ndcg@2": nDCG @ 2,
    "mrr": RR,
    "map": AP,
    "recall@2": R @ 2,
    "precision@3": P @ 3,
    "hit_rate@1": Success @ 1,
}


@pytest.fixture(scope="module")
def ranked(
    tree: dict[str, Any], run_tree: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    settings = {"replicates": 100, "measures": list(MEASURES), "ties": "trec", "gain_profile": "exponential"}
    one = {**tree, "member": tree["member"][1:], "evaluation": settings}
    del one["aggregator"]
    return run_tree(one, tmp_path_factory.mktemp("ranked") / "ranked")


def test_under_trec_evals_tie_rule_all_figures_are_those_of_ir_measures_on_the_written_files(
    ranked: Run,
) -> None:
    assert ranked.metrics["ties"]["rule"] == "trec"
    run = list(ir_measures.read_trec_run(str(ranked.path / "run.trec")))
    qrels = list(ir_measures.read_trec_qrels(str(ranked.path / "qrels.trec")))
    expected = ir_measures.calc_aggregate(list(MEASURES.values()), qrels, run)
    pipeline = ranked.metrics["lines"][-1]["measures"]
    for name, measure in MEASURES.items():
        assert pipeline[name]["value"] == pytest.approx(expected[measure], abs=1e-9)


def test_the_command_gives_the_figures_of_the_run(ranked: Run) -> None:
    import json

    files = [str(ranked.path / "run.trec"), str(ranked.path / "qrels.trec")]
    asked = [word for name in MEASURES for word in ("--measure", name)]
    result = CliRunner().invoke(cli, ["evaluate", *files, *asked, "--ties", "trec", "--json"])
    pipeline = ranked.metrics["lines"][-1]["measures"]
    for name, found in json.loads(result.stdout)["measures"].items():
        assert found["value"] == pytest.approx(pipeline[name]["value"], abs=1e-12)


def test_the_gain_profile_and_the_tie_rule_are_written_wherever_figures_are(ranked: Run) -> None:
    assert ranked.provenance["gain_profile"] == "exponential"
    assert ranked.provenance["ties"] == "trec"
    assert ranked.metrics["gain_profile"] == {"name": "exponential", "gains": {"match": 1.0, "mismatch": 0.0}}
    page = (ranked.path / "report.html").read_text()
    assert "exponential: match 1, mismatch 0" in page
    assert "trec_eval" in page


def test_a_run_that_is_read_again_has_its_tie_rule(ranked: Run, finished: Run) -> None:
    assert ranked.evaluated().tie_break is not None
    assert finished.evaluated().tie_break is None
    assert finished.provenance["gain_profile"] == "scheme"
