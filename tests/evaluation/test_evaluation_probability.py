from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.evaluation import probability
from prodmatch_core.evaluation.evaluated import Evaluated, Measure

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))


def value(measure: Measure, evaluated: Evaluated) -> float:
    return measure(evaluated)(evaluated.example_weights)


def binary(scores: list[float], labels: list[int], **more: object) -> Evaluated:
    score = np.asarray(scores)
    probabilities = np.stack([score, 1 - score], axis=1)
    return Evaluated(
        labels, probabilities, probabilities.argmax(axis=1), np.zeros(len(labels), int), BINARY, **more
    )


@settings(max_examples=60)
@given(data=st.data())
def test_nll_agrees_with_scikit_learn(data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]) -> None:
    e = data.draw(evaluateds)
    expected = metrics.log_loss(
        e.labels, e.probabilities, labels=range(len(e.scheme.labels)), sample_weight=e.weights
    )
    assert value(probability.nll, e) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(max_examples=60)
@given(data=st.data())
def test_brier_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    classes = len(e.scheme.labels)
    if classes == 2:
        expected = metrics.brier_score_loss(e.labels == 1, e.probabilities[:, 1], sample_weight=e.weights)
    else:
        expected = metrics.brier_score_loss(
            e.labels, e.probabilities, labels=range(classes), sample_weight=e.weights
        )
    assert value(probability.brier, e) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(data=st.data())
def test_average_precision_of_the_match_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    assume(e.matches.any())
    expected = metrics.average_precision_score(e.matches, e.score, sample_weight=e.weights)
    assert value(probability.average_precision, e) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(data=st.data())
def test_average_precision_of_the_mismatch_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    assume(not e.matches.all())
    expected = metrics.average_precision_score(~e.matches, -e.score, sample_weight=e.weights)
    assert value(probability.mismatch_average_precision, e) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(data=st.data())
def test_roc_auc_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    assume(e.matches.any() and not e.matches.all())
    expected = metrics.roc_auc_score(e.matches, e.score, sample_weight=e.weights)
    assert value(probability.roc_auc, e) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(data=st.data())
def test_match_and_mismatch_f1_agree_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    for measure, positive in ((probability.match_f1, True), (probability.mismatch_f1, False)):
        expected = metrics.f1_score(
            e.matches, e.decided_matches, pos_label=positive, sample_weight=e.weights, zero_division=np.nan
        )
        assert value(measure, e) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_sure_mistake_costs_36_nats() -> None:
    assert value(probability.nll, binary([0.0], [0])) == pytest.approx(36.04365338911715)


def test_brier_of_four_classes_by_hand() -> None:
    e = Evaluated([1], [[0.5, 0.25, 0.25, 0.0]], [0], [0], ESCI)
    assert value(probability.brier, e) == 0.25 + 0.5625 + 0.0625


def test_ece_by_hand() -> None:
    # Confidences 0.9 (right, wrong) share a bin of 15, gap 0.4; 0.6 (right) is alone, gap 0.4; 0.75 (right), 0.25.
    e = binary([0.9, 0.9, 0.6, 0.25], [0, 1, 0, 1])
    assert value(probability.ece, e) == pytest.approx((2 * 0.4 + 0.4 + 0.25) / 4)


def test_ece_weighs_the_examples() -> None:
    e = binary([0.9, 0.9, 0.6, 0.25], [0, 1, 0, 1], weights=[9, 1, 0, 0])
    assert value(probability.ece, e) == pytest.approx(0.0, abs=1e-15)


def test_ece_reads_the_most_probable_class_not_the_decided_one() -> None:
    e = Evaluated([0, 0], [[1.0, 0.0], [1.0, 0.0]], [1, 1], [0, 0], BINARY)
    assert value(probability.ece, e) == 0.0


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = probability.confidence_bins(np.array([0.0, 0.5, 0.51, 1.0]), np.ones(4), bins=2).bin
    assert bins.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("measure", "labels"),
    [
        (probability.average_precision, [1, 1]),
        (probability.mismatch_average_precision, [0, 0]),
        (probability.roc_auc, [0, 0]),
        (probability.roc_auc, [1, 1]),
    ],
)
def test_an_absent_class_leaves_the_value_undefined(measure: Measure, labels: list[int]) -> None:
    assert np.isnan(value(measure, binary([0.75, 0.25], labels)))


def test_f1_of_a_class_neither_true_nor_decided_is_nan() -> None:
    assert np.isnan(value(probability.match_f1, binary([0.25, 0.25], [1, 1])))
    assert np.isnan(value(probability.mismatch_f1, binary([0.75, 0.75], [0, 0])))


def test_scores_that_differ_in_the_last_bits_do_not_tie_for_the_mismatch() -> None:
    # 1 - 1e-17 and 1 - 2e-17 are the same number; the negated scores are not.
    e = binary([2e-17, 1e-17], [0, 1])
    assert value(probability.mismatch_average_precision, e) == 1.0
