from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.evaluation import curves, probability
from prodmatch_core.evaluation.evaluated import Evaluated

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))


def binary(score: np.ndarray, labels: np.ndarray) -> Evaluated:
    return Evaluated(labels, np.stack([score, 1 - score], 1), labels, np.zeros(len(labels), int), BINARY)


@pytest.fixture
def large() -> Evaluated:
    generator = np.random.default_rng(3)
    score = generator.random(20_000)
    return binary(score, (generator.random(20_000) > score**2).astype(int))


@settings(max_examples=50)
@given(data=st.data())
def test_precision_recall_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    assume(e.matches.any())
    precision, recall, threshold = metrics.precision_recall_curve(e.matches, e.score, sample_weight=e.weights)
    curve = curves.precision_recall(e)
    np.testing.assert_array_equal(curve.threshold, threshold[::-1])
    np.testing.assert_allclose(curve.precision, precision[-2::-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall[-2::-1], atol=1e-12)


@settings(max_examples=50)
@given(data=st.data())
def test_mismatch_precision_recall_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    assume(not e.matches.all())
    precision, recall, _ = metrics.precision_recall_curve(~e.matches, -e.score, sample_weight=e.weights)
    curve = curves.mismatch_precision_recall(e)
    np.testing.assert_allclose(curve.precision, precision[-2::-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall[-2::-1], atol=1e-12)


@settings(max_examples=50)
@given(data=st.data())
def test_roc_agrees_with_scikit_learn(data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]) -> None:
    e = data.draw(evaluateds)
    assume(e.matches.any() and not e.matches.all())
    false_rate, true_rate, threshold = metrics.roc_curve(
        e.matches, e.score, sample_weight=e.weights, drop_intermediate=False
    )
    curve = curves.roc(e)
    np.testing.assert_array_equal(curve.threshold, threshold)
    np.testing.assert_allclose(curve.false_positive_rate, false_rate, atol=1e-12)
    np.testing.assert_allclose(curve.true_positive_rate, true_rate, atol=1e-12)


@settings(max_examples=50)
@given(data=st.data())
def test_ece_is_the_mean_gap_of_the_reliability_bins(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    bins = curves.reliability(e)
    gap = np.nansum(bins.weight * np.abs(bins.confidence - bins.observed)) / bins.weight.sum()
    assert gap == pytest.approx(probability.ece(e)(e.example_weights), abs=1e-12)


def test_a_large_curve_has_at_most_400_points_and_keeps_its_ends(large: Evaluated) -> None:
    roc, pr = curves.roc(large), curves.precision_recall(large)
    assert max(len(roc.threshold), len(pr.threshold)) <= 400
    assert (roc.false_positive_rate[0], roc.true_positive_rate[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.true_positive_rate[-1]) == (1, 1)
    assert (pr.recall[-1], pr.threshold[0]) == (1, large.score.max())


def test_thinning_hardly_moves_the_area(large: Evaluated) -> None:
    roc = curves.roc(large)
    area = metrics.auc(roc.false_positive_rate, roc.true_positive_rate)
    assert area == pytest.approx(probability.roc_auc(large)(large.example_weights), abs=1e-3)


def test_match_reliability_counts_rows_by_score() -> None:
    bins = curves.match_reliability(binary(np.array([0.2, 0.4, 0.9, 0.7]), np.array([1, 0, 0, 0])), bins=2)
    assert bins.count.tolist() == [2, 2]
    assert bins.observed.tolist() == [0.5, 1.0]
    assert bins.confidence.tolist() == pytest.approx([0.3, 0.8])
    assert bins.edges.tolist() == [0.0, 0.5, 1.0]


def test_an_empty_bin_is_nan_and_counts_no_row() -> None:
    bins = curves.match_reliability(binary(np.array([0.2]), np.array([1])), bins=2)
    assert bins.count.tolist() == [1, 0]
    assert np.isnan([bins.observed[1], bins.confidence[1]]).all()


def test_without_a_positive_there_is_no_curve() -> None:
    e = binary(np.array([0.2, 0.6]), np.array([1, 1]))
    assert len(curves.precision_recall(e).recall) == 0
    assert len(curves.roc(e).threshold) == 0
