from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.evaluation import classification
from prodmatch_core.evaluation.evaluated import Evaluated, Measure

MATRIX = np.array([[50, 6, 1, 3], [10, 8, 0, 2], [2, 1, 1, 0], [4, 2, 0, 10]])
"Four classes, true by row: 60, 20, 4 and 16 of 100 rows; decided 66, 17, 2 and 15."


@pytest.fixture
def hundred() -> Evaluated:
    labels, decisions = np.repeat(np.argwhere(MATRIX >= 0), MATRIX.ravel(), axis=0).T
    return Evaluated(labels, np.eye(4)[decisions], decisions, np.arange(100) % 5, ESCI)


def value(measure: Measure, evaluated: Evaluated) -> float:
    return measure(evaluated)(evaluated.example_weights)


def test_confusion_matrix_counts_true_by_decided(hundred: Evaluated) -> None:
    assert classification.confusion_matrix(hundred).tolist() == MATRIX.tolist()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (classification.accuracy, 69 / 100),
        (classification.micro_f1, 69 / 100),
        (classification.macro_f1, (100 / 126 + 16 / 37 + 2 / 6 + 20 / 31) / 4),
        (classification.weighted_f1, (60 * 100 / 126 + 20 * 16 / 37 + 4 * 2 / 6 + 16 * 20 / 31) / 100),
        # Chance agreement: (60 * 66 + 20 * 17 + 4 * 2 + 16 * 15) / 100**2 = 0.4548.
        (classification.kappa, (0.69 - 0.4548) / (1 - 0.4548)),
        # Squared distances observed, 17 of 1, 7 of 4 and 7 of 9, over those of the margins by chance.
        (
            classification.quadratic_kappa,
            1
            - (17 + 4 * 7 + 9 * 7)
            * 100
            / (60 * 160 + 20 * (66 + 2 + 60) + 4 * (264 + 17 + 15) + 16 * (594 + 68 + 2)),
        ),
    ],
)
def test_four_class_confusion_matrix_by_hand(hundred: Evaluated, measure: Measure, expected: float) -> None:
    assert value(measure, hundred) == pytest.approx(expected, abs=1e-14)


def test_per_class_scores_by_hand(hundred: Evaluated) -> None:
    scores = classification.per_class_f1(hundred)[1]
    assert scores == classification.ClassScores("substitute", 8 / 17, 8 / 20, 16 / 37, 20.0)


@settings(max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize(
    ("measure", "reference"),
    [
        (classification.accuracy, metrics.accuracy_score),
        (classification.micro_f1, lambda *a, **k: metrics.f1_score(*a, average="micro", **k)),
        (classification.macro_f1, lambda *a, **k: metrics.f1_score(*a, average="macro", **k)),
        (classification.weighted_f1, lambda *a, **k: metrics.f1_score(*a, average="weighted", **k)),
    ],
    ids=["accuracy", "micro_f1", "macro_f1", "weighted_f1"],
)
def test_agrees_with_scikit_learn(
    data: st.DataObject,
    evaluateds: st.SearchStrategy[Evaluated],
    measure: Measure,
    reference: Callable[..., float],
) -> None:
    e = data.draw(evaluateds)
    expected = reference(e.labels, e.decisions, sample_weight=e.weights)
    assert value(measure, e) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize(
    ("measure", "cost"), [(classification.kappa, None), (classification.quadratic_kappa, "quadratic")]
)
def test_kappa_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], measure: Measure, cost: str | None
) -> None:
    e = data.draw(evaluateds)
    expected = metrics.cohen_kappa_score(
        e.labels,
        e.decisions,
        labels=range(len(e.scheme.labels)),
        weights=cost,
        sample_weight=e.weights,
        replace_undefined_by=np.nan,
    )
    assert value(measure, e) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=60)
@given(data=st.data())
def test_per_class_scores_agree_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated]
) -> None:
    e = data.draw(evaluateds)
    expected = metrics.precision_recall_fscore_support(
        e.labels,
        e.decisions,
        labels=range(len(e.scheme.labels)),
        sample_weight=e.weights,
        zero_division=np.nan,
    )
    ours = [(s.precision, s.recall, s.f1, s.support) for s in classification.per_class_f1(e)]
    np.testing.assert_allclose(np.transpose(ours), expected, atol=1e-12)


def test_a_class_neither_true_nor_decided_does_not_count_in_macro_f1() -> None:
    decisions = np.array([0, 0, 3])
    e = Evaluated([0, 3, 3], np.eye(4)[decisions], decisions, [0, 0, 0], ESCI)
    assert value(classification.macro_f1, e) == pytest.approx(2 / 3)
    assert np.isnan(classification.per_class_f1(e)[1].f1)


def test_kappa_of_one_class_alone_is_nan() -> None:
    e = Evaluated([0, 0], np.eye(4)[[0, 0]], [0, 0], [0, 0], ESCI)
    assert np.isnan(value(classification.kappa, e))
    assert np.isnan(value(classification.quadratic_kappa, e))
