from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Evaluated, mean_of

GRADED = LabelScheme("graded", ("full", "partial", "none"), (2, 1, 0), ("full", "partial"))


@pytest.fixture
def three() -> Evaluated:
    return Evaluated(
        labels=[0, 1, 2],
        probabilities=[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.25, 0.0, 0.75]],
        decisions=[0, 1, 0],
        groups=[0, 0, 1],
        scheme=GRADED,
    )


def test_score_is_the_sum_over_the_positive_labels(three: Evaluated) -> None:
    assert three.score.tolist() == [0.75, 1.0, 0.25]


def test_matches_are_the_rows_whose_label_is_positive(three: Evaluated) -> None:
    assert three.matches.tolist() == [True, True, False]


def test_decided_matches_follow_the_decision_not_the_probabilities(three: Evaluated) -> None:
    assert three.decided_matches.tolist() == [True, True, True]


def test_absent_weights_are_ones(three: Evaluated) -> None:
    assert three.example_weights.tolist() == [1.0, 1.0, 1.0]


def test_arrays_are_of_the_documented_types(three: Evaluated) -> None:
    types = [array.dtype for array in (three.labels, three.probabilities, three.decisions, three.groups)]
    assert types == [np.int64, np.float64, np.int64, np.int64]


def test_subset_numbers_the_queries_anew(three: Evaluated) -> None:
    subset = attrs.evolve(three, weights=[1, 2, 3]).subset(np.array([False, True, True]))
    assert subset.groups.tolist() == [0, 1]
    assert subset.weights is not None
    assert subset.weights.tolist() == [2, 3]
    assert subset.subset(np.array([1])).groups.tolist() == [0]


def test_a_score_spread_evenly_is_the_share_of_rows_below_it() -> None:
    scores = np.array([0.9, 0.2, 0.2, 0.99])
    even = binary(scores).evenly_scored()
    # The two that tie take places 0 and 1 of 4: half of 2 is below them.
    assert even.score.tolist() == [2.5 / 4, 1 / 4, 1 / 4, 3.5 / 4]
    assert even.decisions.tolist() == [0, 0, 0, 0]


def test_scores_spread_evenly_keep_order_and_ties_over_several_positive_labels(three: Evaluated) -> None:
    # As sums of labels in another order these two scores might differ in the last bit.
    tied = attrs.evolve(three, probabilities=[[0.1, 0.2, 0.7], [0.2, 0.1, 0.7], [0.3, 0.3, 0.4]])
    assert tied.evenly_scored().score.tolist() == [2 / 6, 2 / 6, 2.5 / 3]


def binary(scores: np.ndarray) -> Evaluated:
    scheme = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))
    zeros = np.zeros(len(scores), dtype=int)
    return Evaluated(zeros, np.stack([scores, 1 - scores], axis=1), zeros, np.arange(len(scores)), scheme)


def test_no_rows_have_no_queries() -> None:
    nothing = Evaluated(labels=[], probabilities=np.empty((0, 4)), decisions=[], groups=[], scheme=ESCI)
    assert nothing.n_groups == 0


def test_a_mean_without_weight_is_nan() -> None:
    assert np.isnan(mean_of(np.array([1.0, 2.0]))(np.zeros(2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"decisions": [0, 1]},
            "evaluated decisions: expected shape (3,) for 3 labels of the 3 classes of graded, got (2,). "
            "Pass one entry per row.",
        ),
        (
            {"probabilities": [[0.5, 0.5]] * 3},
            "evaluated probabilities: expected shape (3, 3) for 3 labels of the 3 classes of graded, got (3, 2). "
            "Pass one entry per row.",
        ),
        (
            {"labels": [0, 3, 2]},
            "evaluated labels[1]: expected a class index from 0 to 2, got 3 (1 rows in all). "
            "Check the predictions and the order of the label scheme.",
        ),
        (
            {"decisions": [0, 1, -1]},
            "evaluated decisions[2]: expected a class index from 0 to 2, got -1 (1 rows in all). "
            "Check the predictions and the order of the label scheme.",
        ),
        (
            {"labels": [0.0, 0.5, 1.0]},
            "evaluated labels: expected whole numbers, got float64. Pass class indices and query numbers.",
        ),
        (
            {"groups": [0, 2, 2]},
            "evaluated groups: query 1 has no row (1 in all), expected every number from 0 to 2. "
            "Number the queries without gaps.",
        ),
        (
            {"groups": [-1, 0, 0]},
            "evaluated groups[0]: expected a query number from 0, got -1 (1 rows in all). "
            "Check the predictions and the order of the label scheme.",
        ),
        (
            {"probabilities": [[0.5, 0.25, 0.25], [0.5, 0.5, 0.5], [0.25, 0.0, 0.75]]},
            "evaluated probabilities[1]: expected values of at least 0 that sum to 1, got [0.5, 0.5, 0.5] "
            "(1 rows in all). Check the predictions and the order of the label scheme.",
        ),
        (
            {"probabilities": [[0.5, 0.25, 0.25], [np.nan, 0.5, 0.5], [1.5, -0.5, 0.0]]},
            "evaluated probabilities[1]: expected values of at least 0 that sum to 1, got [nan, 0.5, 0.5] "
            "(2 rows in all). Check the predictions and the order of the label scheme.",
        ),
        (
            {"weights": [1.0, -1.0, np.inf]},
            "evaluated weights[1]: expected a finite number of at least 0, got -1.0 (2 rows in all). "
            "Check the predictions and the order of the label scheme.",
        ),
    ],
)
def test_what_is_no_prediction_is_refused(three: Evaluated, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        attrs.evolve(three, **change)
    assert str(error.value) == message
