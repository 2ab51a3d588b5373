from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from scipy.stats import beta, binom

from prodmatch_core.components.calibrator import Decisions
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_uncertainty.baselines import Cuts
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.calibrators import (
    BoundaryCalibrator,
    DpCalibrator,
    IsotonicCalibrator,
    LagrangianCalibrator,
    MistCalibrator,
    RectangleCalibrator,
    ThresholdCalibrator,
)
from prodmatch_uncertainty.configs import DpConfig, LineConfig, PlaneConfig, RectangleConfig
from prodmatch_uncertainty.grid import count, level_edges
from prodmatch_uncertainty.guarantee import binomial_tail, evidence, guaranteed, halves, lower_bound
from prodmatch_uncertainty.methods import METHODS, Settings
from prodmatch_uncertainty.sample import Goal, Outcome, Sample, outcome

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))
ALL: list[tuple[type[BoundaryCalibrator], type]] = [
    (DpCalibrator, DpConfig),
    (MistCalibrator, PlaneConfig),
    (LagrangianCalibrator, PlaneConfig),
    (RectangleCalibrator, RectangleConfig),
    (ThresholdCalibrator, LineConfig),
    (IsotonicCalibrator, LineConfig),
]
each = pytest.mark.parametrize(("kind", "config"), ALL, ids=[kind.name for kind, _ in ALL])


def scored(score: Any, uncertainty: Any = None) -> Decisions:
    score = np.asarray(score, dtype=np.float64)
    unsure = np.full(len(score), np.nan) if uncertainty is None else np.asarray(uncertainty, dtype=np.float64)
    return Decisions.plain(np.column_stack([score, 1 - score]), unsure, BINARY)


def world(seed: int = 0, n: int = 4000) -> tuple[Decisions, np.ndarray]:
    """Return rows where unsure ones match less often than their score says."""
    rng = np.random.default_rng(seed)
    score, unsure = rng.random(n), rng.random(n)
    return scored(score, unsure), (rng.random(n) >= score ** (1 + 2 * unsure)).astype(np.int64)


def fitted(kind: type[BoundaryCalibrator], config: Any, seed: int = 0) -> BoundaryCalibrator:
    calibrator = kind.build(config, BINARY)
    decisions, labels = world(seed)
    calibrator.fit(decisions, labels, np.ones(len(labels)))
    return calibrator


@each
def test_the_target_holds_on_the_rows_it_was_fitted_on(kind: type[BoundaryCalibrator], config: type) -> None:
    decisions, labels = world()
    decided = fitted(kind, config(target=0.8)).apply(decisions)
    assert (labels[decided.accepted] == 0).mean() >= 0.8
    np.testing.assert_array_equal(decided.labels, np.where(decided.accepted, 0, 1))


@each
def test_precision_is_greatest_under_a_recall_that_holds(
    kind: type[BoundaryCalibrator], config: type
) -> None:
    decisions, labels = world()
    decided = fitted(kind, config(objective="precision", target=0.5)).apply(decisions)
    assert decided.accepted[labels == 0].mean() >= 0.5
    assert (labels[decided.accepted] == 0).mean() > (labels == 0).mean() + 0.2


@each
def test_what_was_saved_decides_the_same(
    kind: type[BoundaryCalibrator], config: type, tmp_path: Path
) -> None:
    made = config(target=0.8, review=0.1)
    calibrator = fitted(kind, made)
    calibrator.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    loaded = kind.load(made, BINARY, tmp_path)
    unseen, _ = world(seed=1)
    for field in ("accepted", "labels", "for_review"):
        np.testing.assert_array_equal(
            getattr(loaded.apply(unseen), field), getattr(calibrator.apply(unseen), field)
        )
    json.loads((tmp_path / "state.json").read_text(), parse_constant=pytest.fail)


@each
def test_a_target_out_of_reach_accepts_nothing_and_says_what_is_in_reach(
    kind: type[BoundaryCalibrator], config: type, caplog: pytest.LogCaptureFixture
) -> None:
    calibrator = kind.build(config(target=0.95, **({"bins": 1} if hasattr(config, "bins") else {})), BINARY)
    decisions = scored([0.9] * 8 + [0.1] * 8, [0.5] * 16)
    labels = np.array([0] * 6 + [1] * 2 + [1] * 8)
    with caplog.at_level(logging.WARNING, "prodmatch"):
        calibrator.fit(decisions, labels, np.ones(16))
    best = 0.375 if hasattr(config, "bins") and kind is not DpCalibrator else 0.75
    assert caplog.messages == [
        f"calibrator uncertainty.{kind.name}: no boundary reaches precision 0.95 for matches on the validation rows; the "
        f"best in reach is {best:.3f}. Nothing is accepted. Lower the target, or give it more rows or better members."
    ]
    assert not calibrator.apply(decisions).accepted.any()
    state = calibrator.state()["fitted"]["match"]
    assert (state["reachable"], state["best"], state["recall"]) == (False, best, 0)


@each
def test_rows_for_a_person_keep_the_budget_and_are_never_accepted(
    kind: type[BoundaryCalibrator], config: type
) -> None:
    decisions, labels = world()
    decided = fitted(kind, config(target=0.9, review=0.15)).apply(decisions)
    assert decided.for_review is not None
    assert 0.12 < decided.for_review.mean() <= 0.15
    assert not (decided.accepted & decided.for_review).any()
    rejected = ~decided.accepted & ~decided.for_review
    assert (labels[decided.for_review] == 0).mean() > 2 * (labels[rejected] == 0).mean()


def test_without_a_budget_nobody_is_asked() -> None:
    assert fitted(DpCalibrator, DpConfig()).apply(world()[0]).for_review is None


def test_rows_without_uncertainty_are_refused_by_name() -> None:
    calibrator = DpCalibrator.build(DpConfig(), BINARY)
    with pytest.raises(DataError) as caught:
        calibrator.fit(scored([0.2, 0.8], [np.nan, 0.1]), np.array([1, 0]), np.ones(2))
    assert str(caught.value) == (
        "calibrator uncertainty.dp: 1 of 2 validation rows have no uncertainty. Use an aggregator or encoders that give "
        "it to every row, or uncertainty.threshold, which needs none."
    )


def test_one_threshold_needs_no_uncertainty() -> None:
    calibrator = ThresholdCalibrator.build(LineConfig(target=1.0), BINARY)
    calibrator.fit(scored([0.2, 0.8, 0.9]), np.array([1, 0, 0]), np.ones(3))
    assert calibrator.apply(scored([0.79, 0.8])).accepted.tolist() == [False, True]


@each
def test_unknown_labels_and_weights_of_zero_are_left_out(
    kind: type[BoundaryCalibrator], config: type
) -> None:
    decisions, labels = world(n=600)
    weights = np.ones(600)
    weights[400:500], labels[500:] = 0, -1
    some, full = kind.build(config(target=0.8), BINARY), kind.build(config(target=0.8), BINARY)
    some.fit(decisions, labels, weights)
    kept = Decisions(
        decisions.probabilities[:400],
        decisions.uncertainty[:400],
        decisions.labels[:400],
        decisions.accepted[:400],
    )
    full.fit(kept, labels[:400], np.ones(400))
    assert some.state() == full.state()


@each
def test_a_weight_of_two_is_a_row_twice(kind: type[BoundaryCalibrator], config: type) -> None:
    rng = np.random.default_rng(3)
    score, unsure = np.round(rng.random(300), 2), np.round(rng.random(300), 1)
    labels = (rng.random(300) >= score).astype(np.int64)
    twice = np.repeat(np.arange(300), np.where(np.arange(300) % 3 == 0, 2, 1))
    settings = {"target": 0.75} | ({"bins": 0} if hasattr(config, "bins") else {})
    if hasattr(config, "levels"):
        settings["levels"] = 1
    weighted, repeated = kind.build(config(**settings), BINARY), kind.build(config(**settings), BINARY)
    weighted.fit(scored(score, unsure), labels, np.where(np.arange(300) % 3 == 0, 2.0, 1.0))
    repeated.fit(scored(score[twice], unsure[twice]), labels[twice], np.ones(len(twice)))
    assert weighted.state()["fitted"]["match"]["boundary"] == repeated.state()["fitted"]["match"]["boundary"]


def esci_world(n: int = 6000) -> tuple[Decisions, np.ndarray]:
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([0.8, 0.4, 0.2, 0.5], n)
    labels = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    return Decisions.plain(probabilities, rng.random(n), ESCI), labels


def test_a_boundary_a_class_holds_the_precision_of_every_label() -> None:
    decisions, labels = esci_world()
    calibrator = DpCalibrator.build(DpConfig(target=0.8, per_class=True), ESCI)
    calibrator.fit(decisions, labels, np.ones(len(labels)))
    passes = calibrator._passes(decisions.probabilities, decisions.uncertainty)
    for number in range(4):
        assert (labels[passes[:, number]] == number).mean() >= 0.8
    decided = calibrator.apply(decisions)
    sure = passes.any(axis=1)
    np.testing.assert_array_equal(decided.labels[~sure], decisions.labels[~sure])
    np.testing.assert_array_equal(decided.accepted, sure & (decided.labels == 0))


def test_of_boundaries_passed_the_one_passed_by_most_decides() -> None:
    calibrator = ThresholdCalibrator.build(LineConfig(per_class=True), BINARY)
    line = {"edges": [], "reachable": True}
    calibrator.restore(
        {
            "fitted": {
                label: {"boundary": {**line, "thresholds": [threshold]}, "review": None}
                for label, threshold in (("match", 0.3), ("mismatch", 0.55))
            },
            "doubtful": None,
        }
    )
    # 0.4 passes the first by 0.1 and the second by 0.05; 0.32 passes the first by 0.02 and the second by 0.13.
    assert calibrator.apply(scored([0.4, 0.32])).labels.tolist() == [0, 1]


def test_rows_sure_of_no_class_are_left_to_a_person_least_sure_first() -> None:
    decisions, labels = esci_world()
    calibrator = DpCalibrator.build(DpConfig(target=0.9, per_class=True, review=0.1), ESCI)
    calibrator.fit(decisions, labels, np.ones(len(labels)))
    decided = calibrator.apply(decisions)
    assert decided.for_review is not None
    assert 0.095 < decided.for_review.mean() <= 0.1
    sure = calibrator._passes(decisions.probabilities, decisions.uncertainty).any(axis=1)
    likeliest = decisions.probabilities.max(axis=1)
    others = ~sure & ~decided.for_review
    assert likeliest[decided.for_review].max() < likeliest[others].min()


def test_esci_labels_stay_where_only_the_match_has_a_boundary() -> None:
    decisions, labels = esci_world()
    calibrator = MistCalibrator.build(PlaneConfig(target=0.8), ESCI)
    calibrator.fit(decisions, labels, np.ones(len(labels)))
    np.testing.assert_array_equal(calibrator.apply(decisions).labels, decisions.labels)


def test_the_bound_of_the_lagrangian_certifies_its_gap() -> None:
    state = fitted(LagrangianCalibrator, PlaneConfig(target=0.8)).state()["fitted"]["match"]
    best = fitted(DpCalibrator, DpConfig(target=0.8)).state()["fitted"]["match"]
    assert state["recall"] <= best["recall"] <= state["bound"]
    assert state["bound"] - state["recall"] < 0.01


# -- boundaries and grids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 4, 60])
def test_deciding_is_the_look_up_it_is_said_to_be(levels: int) -> None:
    rng = np.random.default_rng(levels)
    edges = np.sort(rng.random(levels - 1))
    thresholds = rng.random(levels)
    score, unsure = (
        rng.random(2000),
        np.append(rng.random(1990), np.repeat(edges[:1], 10) if levels > 1 else rng.random(10)),
    )
    expected = score >= thresholds[[sum(edge <= u for edge in edges) for u in unsure]]
    np.testing.assert_array_equal(Boundary(edges, thresholds).accepts(score, unsure), expected)


@pytest.mark.parametrize("levels", [4, 60])
def test_what_has_no_uncertainty_is_decided_as_the_most_doubtful(levels: int) -> None:
    thresholds = np.append(np.zeros(levels - 1), 0.9)
    boundary = Boundary(np.arange(levels - 1.0), thresholds)
    assert boundary.accepts(np.array([0.8, 0.95]), np.full(2, np.nan)).tolist() == [False, True]


def test_levels_and_bins_have_equally_many_rows() -> None:
    rng = np.random.default_rng(0)
    grid = count(Sample.of(rng.random(1000), rng.random(1000), rng.random(1000) < 0.5), 5, 20)
    assert (grid.rows == 10).all() and (grid.bins == 20).all()


def test_levels_and_bins_may_be_equally_wide() -> None:
    score = np.array([0.0, 0.1, 0.2, 1.0])
    grid = count(Sample.of(score, [0.0, 0.1, 0.2, 1.0], [1, 1, 0, 1]), 2, 2, "width")
    assert grid.edges.tolist() == [1.0]
    assert grid.bins.tolist() == [2, 1]
    # 0.2 to 0 is divided at 0.1; the row on the line belongs to the upper bin.
    assert grid.rows[0].tolist() == [2, 1]
    assert grid.positives[0].tolist() == [1, 1]


def test_rows_that_tie_are_never_parted() -> None:
    rng = np.random.default_rng(1)
    score, unsure = rng.integers(5, size=500) / 5, rng.integers(3, size=500) / 3
    grid = count(Sample.of(score, unsure, rng.random(500) < 0.5), 7, 50)
    assert grid.levels == 3 and (grid.bins == 5).all()
    assert grid.rows.sum() == 500


def test_a_constant_uncertainty_is_one_level() -> None:
    assert level_edges(np.full(10, 0.3), 5).tolist() == []


def test_the_rectangle_keeps_to_the_side_that_serves() -> None:
    # Sure rows match by their score; unsure ones never do.
    score = np.tile(np.linspace(0.1, 1, 10), 2)
    sample = Sample.of(score, np.repeat([0.0, 1.0], 10), np.append(score[:10] > 0.5, np.zeros(10)))
    boundary = METHODS["rectangle"].best(sample, Settings(levels=2), Goal("recall", 1.0))
    assert boundary.edges.tolist() == [1.0]
    np.testing.assert_allclose(boundary.thresholds, [0.6, np.inf])


def test_isotonic_keeps_thresholds_between_different_positivities_only() -> None:
    sample = Sample.of([0.9, 0.8, 0.7, 0.6, 0.5], np.zeros(5), [1, 0, 1, 0, 0])
    assert Cuts.of(sample).calibrated().thresholds.tolist() == [0.9, 0.7, 0.5]


# -- guarantees ----------------------------------------------------------------------------------------------


def test_the_tail_is_the_binomial_one() -> None:
    assert binomial_tail(20, 17, 0.7) == pytest.approx(binom.sf(16, 20, 0.7))
    assert binomial_tail(20, 0, 0.7) == 1


def test_the_lower_bound_is_that_of_clopper_and_pearson() -> None:
    assert lower_bound(20, 17, 0.95) == pytest.approx(beta.ppf(0.05, 17, 4))


def test_halves_share_no_group() -> None:
    sample = Sample.of(np.arange(100.0), np.zeros(100), np.ones(100), groups=np.arange(100) // 7)
    one, other = halves(sample, np.random.default_rng(0))
    assert not set(one.groups) & set(other.groups)
    assert len(one) + len(other) == 100


def test_rows_that_repeat_count_once() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.8
    alone = Sample.of(np.ones(400), np.zeros(400), right)
    groups = np.repeat(np.arange(400), 5)
    repeated = Sample.of(np.ones(2000), np.zeros(2000), right[groups], groups=groups)
    everything = Boundary(np.empty(0), np.zeros(1))
    rows, hits = evidence(repeated, everything, Goal("recall", 0.7))
    expected, _ = evidence(alone, everything, Goal("recall", 0.7))
    assert expected == 400
    assert rows == pytest.approx(400, rel=0.02)
    assert hits / rows == pytest.approx(right.mean())


def drawn(seed: Any, n: int) -> Sample:
    rng = np.random.default_rng(seed)
    score, unsure = rng.random(n), rng.random(n)
    return Sample.of(score, unsure, rng.random(n) < score ** (1 + 2 * unsure))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["recall", "precision"])
@pytest.mark.parametrize("name", ["dp", "mist", "threshold"])
def test_a_promise_with_confidence_is_broken_no_more_often_than_it_says(name: str, objective: str) -> None:
    unseen, goal = drawn(10**6, 200_000), Goal(objective, 0.8 if objective == "recall" else 0.6)
    settings, broken, given = Settings(levels=4, bins=25), 0, 0
    for seed in range(150):
        rng = np.random.default_rng([seed, 1])
        boundary = guaranteed(METHODS[name], drawn([seed, 0], 1500), settings, goal, 0.9, rng).boundary
        if boundary is not None:
            given += 1
            broken += not goal.met(outcome(unseen, boundary.accepts(unseen.score, unseen.uncertainty)))
    assert given > 100
    # 150 draws of a chance of 0.1: more than 24 are broken once in a hundred times.
    assert broken <= 24


@pytest.mark.slow
def test_without_confidence_the_promise_is_broken_about_half_the_time_or_more() -> None:
    unseen, goal, broken = drawn(10**6, 200_000), Goal("recall", 0.8), 0
    for seed in range(60):
        boundary = METHODS["dp"].best(drawn([seed, 0], 1500), Settings(levels=4, bins=25), goal)
        broken += not goal.met(outcome(unseen, boundary.accepts(unseen.score, unseen.uncertainty)))
    assert broken > 20


def test_confidence_costs_recall_and_is_told_when_it_asks_too_much(caplog: pytest.LogCaptureFixture) -> None:
    plain = fitted(DpCalibrator, DpConfig(target=0.8)).state()["fitted"]["match"]
    sure = fitted(DpCalibrator, DpConfig(target=0.8, confidence=0.95)).state()["fitted"]["match"]
    assert 0 < sure["recall"] < plain["recall"]
    with caplog.at_level(logging.WARNING, "prodmatch"):
        state = fitted(DpCalibrator, DpConfig(target=0.99, confidence=0.95)).state()["fitted"]["match"]
    assert "reaches precision 0.99 with confidence 0.95 for matches" in caplog.text
    assert not state["reachable"] and 0.5 < state["best"] < 0.99


def test_queries_are_not_divided_where_they_are_known() -> None:
    decisions, labels = world(n=400)
    grouped = attrs.evolve(decisions, groups=np.zeros(400, dtype=np.int64))
    calibrator = DpCalibrator.build(DpConfig(target=0.6, confidence=0.8), BINARY)
    calibrator.fit(grouped, labels, np.ones(400))
    # One query cannot both propose and test.
    assert not calibrator.state()["fitted"]["match"]["reachable"]


def test_accepting_nothing_reaches_no_precision() -> None:
    assert not Goal("recall", 0.5).met(Outcome(0.0, 0.0, 10.0))
    assert Goal("recall", 0.55).met(Outcome(20.0, 11.0, 20.0))
