from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.builtin.configs import IsotonicConfig, ThresholdConfig
from prodmatch_core.builtin.isotonic import IsotonicCalibrator
from prodmatch_core.builtin.temperature import BOUNDS, TemperatureCalibrator
from prodmatch_core.builtin.threshold import ThresholdCalibrator
from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.records import NoConfig

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def decisions(probabilities: np.ndarray, scheme: LabelScheme = ESCI) -> Decisions:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    return Decisions.plain(probabilities, np.full(len(probabilities), np.nan), scheme)


def scored(scores: Any) -> Decisions:
    scores = np.asarray(scores, dtype=np.float64)
    return decisions(np.column_stack([scores, 1 - scores]), BINARY)


def softmax(scores: np.ndarray) -> np.ndarray:
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def planted(temperature: float, n: int = 20_000) -> tuple[Decisions, np.ndarray]:
    """Return predictions that are `temperature` times too sure, and labels drawn from the honest ones."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, 4)) * 1.5
    labels = (softmax(scores).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    return decisions(softmax(scores * temperature)), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_recovers_a_planted_temperature(temperature: float) -> None:
    stated, labels = planted(temperature)
    calibrator = TemperatureCalibrator.build(NoConfig(), ESCI)
    calibrator.fit(stated, labels, np.ones(len(labels)))
    assert calibrator.temperature == pytest.approx(temperature, rel=0.03)


def test_temperature_of_two_scores_by_hand() -> None:
    # Stated 0.9, observed 3 of 4: odds 9 must become odds 3, so T = ln 9 / ln 3 = 2.
    calibrator = TemperatureCalibrator.build(NoConfig(), BINARY)
    calibrator.fit(scored([0.9] * 4), np.array([0, 0, 0, 1]), np.ones(4))
    assert calibrator.temperature == pytest.approx(2)
    np.testing.assert_allclose(calibrator.apply(scored([0.9])).probabilities, [[0.75, 0.25]])


def test_temperature_counts_rows_by_weight_and_leaves_out_unknown_labels() -> None:
    calibrator = TemperatureCalibrator.build(NoConfig(), BINARY)
    calibrator.fit(scored([0.9, 0.9, 0.2, 0.2]), np.array([0, 1, -1, 0]), np.array([3.0, 1.0, 9.0, 0.0]))
    assert calibrator.temperature == pytest.approx(2)


def test_temperature_never_changes_a_decision() -> None:
    stated, labels = planted(2.5, n=500)
    calibrator = TemperatureCalibrator.build(NoConfig(), ESCI)
    calibrator.fit(stated, labels, np.ones(500))
    calibrated = calibrator.apply(stated)
    np.testing.assert_array_equal(calibrated.probabilities.argmax(1), stated.probabilities.argmax(1))
    np.testing.assert_array_equal(calibrated.labels, stated.labels)
    np.testing.assert_array_equal(calibrated.accepted, stated.accepted)


def test_temperature_softens_one_hot_predictions_that_are_wrong_at_times() -> None:
    labels = np.arange(400) % 4
    wrong = labels.copy()
    wrong[:40] = (wrong[:40] + 1) % 4
    calibrator = TemperatureCalibrator.build(NoConfig(), ESCI)
    calibrator.fit(decisions(np.eye(4)[wrong]), labels, np.ones(400))
    calibrated = calibrator.apply(decisions(np.eye(4)[wrong])).probabilities
    assert np.isfinite(calibrated).all()
    assert calibrated.max(axis=1).mean() == pytest.approx(0.9, abs=0.02)


def test_temperature_stays_within_bounds_where_all_is_right() -> None:
    calibrator = TemperatureCalibrator.build(NoConfig(), ESCI)
    calibrator.fit(decisions(np.eye(4) * 0.6 + 0.1), np.arange(4), np.ones(4))
    assert calibrator.temperature == pytest.approx(BOUNDS[0])


def test_temperature_without_a_labelled_row_changes_nothing() -> None:
    calibrator = TemperatureCalibrator.build(NoConfig(), ESCI)
    calibrator.fit(decisions(np.full((3, 4), 0.25)), np.full(3, -1), np.ones(3))
    assert calibrator.temperature == 1


def test_isotonic_curves_never_fall() -> None:
    stated, labels = planted(2.5, n=3000)
    calibrator = IsotonicCalibrator.build(IsotonicConfig(), ESCI)
    calibrator.fit(stated, labels, np.ones(3000))
    for curve in calibrator.curves:
        assert curve is not None
        assert (np.diff(curve[0]) > 0).all()
        assert (np.diff(curve[1]) >= 0).all()


def test_isotonic_by_hand_with_weights() -> None:
    # Observed at 0.2, 0.4, 0.6: 1, 0, 1 with weights 1, 3, 1. The first two violate the order and are pooled.
    calibrator = IsotonicCalibrator.build(IsotonicConfig(floor=0.0), BINARY)
    calibrator.fit(scored([0.2, 0.4, 0.6]), np.array([0, 1, 0]), np.array([1.0, 3.0, 1.0]))
    np.testing.assert_allclose(
        calibrator.apply(scored([0.1, 0.3, 0.5, 0.9])).probabilities[:, 0], [0.25, 0.25, 0.625, 1.0]
    )


def test_isotonic_brings_stated_and_observed_together() -> None:
    stated, labels = planted(2.5)
    calibrator = IsotonicCalibrator.build(IsotonicConfig(), ESCI)
    calibrator.fit(stated, labels, np.ones(len(labels)))
    rows = np.arange(len(labels))

    def nll(probabilities: np.ndarray) -> float:
        return float(-np.log(probabilities[rows, labels]).mean())

    calibrated = calibrator.apply(stated)
    assert nll(calibrated.probabilities) < nll(stated.probabilities) - 0.2
    np.testing.assert_allclose(calibrated.probabilities.sum(axis=1), 1)
    assert calibrated.probabilities.min() > 0


def test_isotonic_keeps_which_rows_belong_together() -> None:
    stated = attrs.evolve(scored([0.2, 0.6]), groups=np.array([0, 1]))
    calibrator = IsotonicCalibrator.build(IsotonicConfig(), BINARY)
    calibrator.fit(stated, np.array([1, 0]), np.ones(2))
    assert calibrator.apply(stated).groups is stated.groups


def test_isotonic_leaves_a_class_it_never_saw_as_stated() -> None:
    calibrator = IsotonicCalibrator.build(IsotonicConfig(), ESCI)
    calibrator.fit(decisions(np.full((4, 4), 0.25)), np.array([0, 1, 3, 3]), np.ones(4))
    assert calibrator.curves[2] is None
    assert calibrator.apply(decisions(np.array([[0.1, 0.1, 0.7, 0.1]]))).labels.tolist() == [2]


def test_isotonic_without_a_floor_keeps_a_row_whose_curves_are_all_zero() -> None:
    calibrator = IsotonicCalibrator.build(IsotonicConfig(floor=0.0), BINARY)
    calibrator.restore({"curves": [{"stated": [0.0, 1.0], "observed": [0.0, 0.0]}] * 2})
    np.testing.assert_allclose(calibrator.apply(scored([0.3])).probabilities, [[0.3, 0.7]])


pairs = st.lists(
    st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans(), st.integers(1, 3)),
    min_size=1,
    max_size=25,
)


def brute_force(
    rows: list[tuple[float, bool, int]], objective: str, target: float
) -> tuple[float, float] | None:
    """Return (best value of the objective, threshold), the highest threshold among equals."""
    best = None
    matches = sum(w for _, m, w in rows if m)
    for threshold in sorted({score for score, _, _ in rows}, reverse=True):
        accepted = sum(w for s, _, w in rows if s >= threshold)
        right = sum(w for s, m, w in rows if s >= threshold and m)
        if objective == "f1":
            value = 2 * right / (accepted + matches)
        elif right / accepted >= target:
            value = right / matches
        else:
            continue
        if best is None or value > best[0]:
            best = (value, threshold)
    return best


@settings(max_examples=200, deadline=None)
@given(pairs, st.sampled_from(["f1", "precision"]), st.sampled_from([0.0, 0.5, 0.75, 1.0]))
def test_threshold_is_the_best_of_all(
    rows: list[tuple[float, bool, int]], objective: str, target: float
) -> None:
    calibrator = ThresholdCalibrator.build(ThresholdConfig(objective=objective, target=target), BINARY)
    scores, matches, weights = (np.array(column) for column in zip(*rows, strict=True))
    calibrator.fit(scored(scores), np.where(matches, 0, 1), weights.astype(np.float64))
    expected = brute_force(rows, objective, target) if matches.any() else None
    assert calibrator.threshold == (None if expected is None else expected[1])
    accepted = calibrator.apply(scored(scores)).accepted
    np.testing.assert_array_equal(accepted, scores >= (np.inf if expected is None else expected[1]))


def test_threshold_reaches_the_precision_it_promises() -> None:
    calibrator = ThresholdCalibrator.build(ThresholdConfig(objective="precision", target=0.75), BINARY)
    calibrator.fit(scored([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 1, 0, 0, 1]), np.ones(5))
    assert calibrator.state() == {
        "reachable": True,
        "threshold": 0.6,
        "precision": 0.75,
        "recall": 1.0,
        "best_precision": 1.0,
    }


def test_an_unreachable_precision_accepts_nothing_and_says_so() -> None:
    calibrator = ThresholdCalibrator.build(ThresholdConfig(objective="precision", target=0.95), BINARY)
    calibrator.fit(scored([0.9, 0.8, 0.7]), np.array([1, 0, 0]), np.ones(3))
    state = calibrator.state()
    assert (state["reachable"], state["threshold"]) == (False, None)
    assert state["best_precision"] == pytest.approx(2 / 3)
    decided = calibrator.apply(scored([0.99, 1.0]))
    assert not decided.accepted.any()
    assert decided.labels.tolist() == [1, 1]


def test_threshold_decides_binary_labels() -> None:
    calibrator = ThresholdCalibrator.build(ThresholdConfig(), BINARY)
    calibrator.fit(scored([0.4, 0.3, 0.1]), np.array([0, 0, 1]), np.ones(3))
    decided = calibrator.apply(scored([0.35, 0.29]))
    assert decided.labels.tolist() == [0, 1]
    assert decided.accepted.tolist() == [True, False]


def test_threshold_decides_binary_labels_whichever_label_is_the_match() -> None:
    scheme = LabelScheme("turned", ("mismatch", "match"), (0.0, 1.0), ("match",))
    calibrator = ThresholdCalibrator.build(ThresholdConfig(), scheme)
    stated = decisions(np.array([[0.6, 0.4], [0.9, 0.1]]), scheme)
    calibrator.fit(stated, np.array([1, 0]), np.ones(2))
    assert calibrator.apply(stated).labels.tolist() == [1, 0]


def test_threshold_leaves_graded_labels_as_they_are() -> None:
    stated, labels = planted(1.0, n=200)
    calibrator = ThresholdCalibrator.build(ThresholdConfig(), ESCI)
    calibrator.fit(stated, labels, np.ones(200))
    decided = calibrator.apply(stated)
    np.testing.assert_array_equal(decided.labels, stated.labels)
    np.testing.assert_array_equal(decided.accepted, stated.probabilities[:, 0] >= calibrator.threshold)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (TemperatureCalibrator, NoConfig()),
        (IsotonicCalibrator, IsotonicConfig()),
        (ThresholdCalibrator, ThresholdConfig()),
        (ThresholdCalibrator, ThresholdConfig(objective="precision", target=1.0)),
    ],
)
def test_calibrators_load_to_the_same_output_without_pickle(
    kind: type[Calibrator], config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated, labels = planted(2.0, n=300)
    calibrator = kind.build(config, ESCI)
    calibrator.fit(stated, labels, np.ones(300))
    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, None)
    calibrator.save(tmp_path)
    assert json.loads((tmp_path / "state.json").read_text()) == calibrator.state()
    loaded = kind.load(config, ESCI, tmp_path).apply(stated)
    expected = calibrator.apply(stated)
    for name in ("probabilities", "labels", "accepted"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(expected, name))


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=14))
def test_threshold_of_best_macro_f1_is_the_best_of_all(rows: list[tuple[int, bool]]) -> None:
    matches = np.array([match for _, match in rows])
    if not matches.any():
        return
    score = np.array([value / 8 for value, _ in rows])
    probabilities = np.column_stack([score, 1 - score])
    calibrator = ThresholdCalibrator.build(ThresholdConfig(objective="macro_f1"), BINARY)
    calibrator.fit(
        Decisions.plain(probabilities, np.full(len(rows), np.nan), BINARY),
        (~matches).astype(np.int64),
        np.ones(len(rows)),
    )

    def macro_f1(threshold: float) -> float:
        accepted = score >= threshold
        both = [(accepted, matches), (~accepted, ~matches)]
        return sum(2 * (a & b).sum() / max(a.sum() + b.sum(), 1) for a, b in both) / 2

    assert calibrator.threshold is not None
    assert macro_f1(calibrator.threshold) == pytest.approx(max(macro_f1(t) for t in np.unique(score)))
