"""Whole runs: pipeline file to decisions, report and scores."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.components.aggregator import MemberPredictions
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.errors import ConfigError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_uncertainty import charts
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.configs import DisagreementConfig
from prodmatch_uncertainty.disagreement import DisagreementAggregator
from prodmatch_uncertainty.plugin import prodmatch_report_sections
from prodmatch_uncertainty.sample import Sample

PIPELINES = Path(__file__).parent.parent / "pipelines"
NGRAM = {"use": "core.ngram", "width": 8, "buckets": 4096}
TREE: dict[str, Any] = {
    "pipeline": {"name": "t"},
    "data": {"use": "shop.synthetic", "size": 2500},
    "member": [
        {
            "name": "posterior",
            "encoder": {"use": "uncertainty.posterior", "encoder": NGRAM},
            "loss": [{"use": "uncertainty.uce"}],
            "training": {"epochs": 2, "learning_rate": 0.003},
        }
    ],
    "calibrator": [{"use": "core.isotonic"}, {"use": "uncertainty.dp", "target": 0.7, "review": 0.1}],
    "evaluation": {"replicates": 100},
}


def ran(tree: dict[str, Any], out: Path) -> Run:
    return run_pipeline(load_pipeline(tree), out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ran(TREE, tmp_path_factory.mktemp("runs") / "run")


def test_a_single_member_that_says_how_unsure_it_is_reaches_predictions_and_decisions(run: Run) -> None:
    assert run.predictions["uncertainty"].is_finite().all()
    assert run.decisions["uncertainty"].equals(run.predictions["uncertainty"])
    valid = run.decisions.filter(pl.col("split") == "valid")
    assert (valid.filter("accepted")["label"] == "exact").mean() >= 0.7
    assert valid["for_review"].mean() <= 0.1


def test_a_finished_run_decides_new_pairs_by_its_boundary(run: Run) -> None:
    frame = pl.DataFrame({"query": ["red kettle", "usb cable"], "title": ["Red kettle 1 l", "Garden hose"]})
    scored = Pipeline.load(run.path, "fp32").predict(frame)
    assert scored.columns[2:7] == ["decided", "accepted", "for_review", "score", "uncertainty"]
    state = (run.path / "calibrator" / "1" / "state.json").read_text()
    boundary = Boundary.restored(json.loads(state)["fitted"]["match"]["boundary"])
    expected = boundary.accepts(scored["score"].to_numpy(), scored["uncertainty"].to_numpy())
    assert scored["accepted"].to_list() == expected.tolist()


def test_the_report_draws_positivity_by_level_and_the_boundary(run: Run) -> None:
    report = (run.path / "report.html").read_text(encoding="utf-8")
    for wanted in (
        '<h2 id="section-1-heading">Score and uncertainty</h2>',
        "Share that matches against score, by level of uncertainty",
        "The boundary over score and uncertainty",
        "Recall at a precision, by method",
        "Reliability by level of uncertainty",
        "asks for a precision of at least 0.7",
    ):
        assert wanted in report


def test_the_report_has_every_method_on_both_splits(run: Run) -> None:
    (section,) = prodmatch_report_sections(run)
    table = section.html[section.html.index("Recall at a precision") :]
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', table[: table.index("</table>")])
    assert [name for name, _ in rows] == [
        "one threshold",
        "isotonic, one threshold",
        "rectangle",
        "Lagrangian",
        "MIST",
        "dynamic programme",
    ]
    assert {cells.count("<td") for _, cells in rows} == {8}


def test_the_report_says_that_a_target_is_out_of_reach(tmp_path: Path) -> None:
    tree = {**TREE, "calibrator": [{"use": "uncertainty.mist", "target": 1.0, "levels": 2, "bins": 1}]}
    found = ran(tree, tmp_path / "run")
    (section,) = prodmatch_report_sections(found)
    assert re.search(
        r"<strong>Out of reach:</strong> no boundary of <code>uncertainty.mist</code> has a precision of at least 1 on "
        r"the hold-out; the best in reach is 0\.\d{3}\. Nothing is accepted\.",
        section.html,
    )
    assert not found.decisions["accepted"].any()


def test_a_run_without_uncertainty_has_no_such_section(tmp_path: Path) -> None:
    tree = {**TREE, "member": [{"encoder": {"use": "core.overlap"}}], "calibrator": []}
    assert list(prodmatch_report_sections(ran(tree, tmp_path / "run"))) == []


def test_a_boundary_over_uncertainty_needs_a_part_that_gives_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline({**TREE, "member": [{"encoder": {"use": "core.overlap"}}]})
    (problem,) = caught.value.problems
    assert problem.path == "calibrator[1].use"
    assert problem.message.startswith(
        "uncertainty.dp needs uncertainty (a number per prediction that says how unsure it is), which no earlier part gives"
    )
    assert "uncertainty.disagreement (aggregator)" in problem.message


@pytest.mark.parametrize("file", sorted(PIPELINES.glob("*.toml")), ids=lambda file: file.stem)
def test_shipped_pipelines_are_valid(file: Path) -> None:
    assert load_pipeline(file).calibrator[-1].part.name.startswith("uncertainty.")


def members(probabilities: Any, unsure: Any = None) -> MemberPredictions:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    n = len(probabilities)
    made = MemberPredictions(("a", "b"), probabilities, np.full(n, -1), np.arange(n), np.ones(n))
    return made if unsure is None else attrs.evolve(made, uncertainty=np.asarray(unsure))


SAID = [[[0.2, 0.5, 0.2, 0.1], [0.6, 0.1, 0.2, 0.1]]]


def test_disagreement_is_the_members_mean_and_the_variance_of_their_match() -> None:
    combined = DisagreementAggregator.build(DisagreementConfig(), ESCI).combine(members(SAID))
    np.testing.assert_allclose(combined.probabilities, [[0.4, 0.3, 0.2, 0.1]])
    np.testing.assert_allclose(combined.uncertainty, [0.04])


def test_disagreement_may_be_the_members_own_doubt_by_their_weights() -> None:
    config = DisagreementConfig(measure="members", weights=(3.0, 1.0))
    combined = DisagreementAggregator.build(config, ESCI).combine(members(SAID, [[1.0, 5.0]]))
    np.testing.assert_allclose(combined.uncertainty, [2.0])


def test_members_that_say_nothing_are_named() -> None:
    aggregator = DisagreementAggregator.build(DisagreementConfig(measure="members"), ESCI)
    with pytest.raises(ConfigError) as caught:
        aggregator.combine(members(SAID, [[1.0, np.nan]]))
    assert caught.value.problems[0].message == (
        '"members" averages what members say of their own doubt, and b says nothing. Wrap its encoder in '
        'uncertainty.mc_dropout or uncertainty.posterior, or use "variance"'
    )


def test_the_wrong_number_of_weights_is_refused() -> None:
    aggregator = DisagreementAggregator.build(DisagreementConfig(weights=(1.0,)), ESCI)
    with pytest.raises(ConfigError) as caught:
        aggregator.combine(members(SAID))
    assert caught.value.problems[0].message == "expected 2 numbers, one each for a, b; got 1"


def test_curves_have_the_positivity_of_their_level_by_rising_score() -> None:
    sample = Sample.of(np.tile([0.2, 0.8], 80), np.repeat([0.0, 1.0], 80), np.tile([0, 1, 0, 0], 40))
    curves = charts.positivity_curves(sample, np.array([1.0]), points=2)
    assert [[(p.score, p.positivity, p.rows) for p in curve] for curve in curves] == [
        [(pytest.approx(0.2), 0, 40), (pytest.approx(0.8), 0.5, 40)]
    ] * 2


def test_the_plane_tells_each_level_s_threshold_to_those_who_cannot_see_it() -> None:
    sample = Sample.of([0.2, 0.9], [0.0, 1.0], [0, 1])
    drawn = charts.plane_chart(sample, Boundary(np.array([0.5]), np.array([0.8, np.inf])), None, "id")
    assert "Accepted: level 1 from 0.800; level 2 never." in drawn
