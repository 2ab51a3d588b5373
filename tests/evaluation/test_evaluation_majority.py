from __future__ import annotations

import numpy as np
import pytest

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.classification import accuracy, macro_f1
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.majority import majority


@pytest.fixture
def hundred() -> Evaluated:
    labels = np.repeat([0, 1, 2, 3], [65, 20, 3, 12])
    return Evaluated(labels, np.eye(4)[labels], labels, np.arange(100) % 4, ESCI, weights=np.ones(100))


def test_it_decides_the_most_frequent_class_of_training(hundred: Evaluated) -> None:
    found = majority(hundred, np.array([3, 1, 3, 0]))
    assert found.decisions.tolist() == [3] * 100
    assert found.probabilities.tolist() == [[0.25, 0.25, 0.0, 0.5]] * 100


def test_truth_queries_and_weights_stay(hundred: Evaluated) -> None:
    found = majority(hundred, np.array([0]))
    assert found.labels.tolist() == hundred.labels.tolist()
    assert found.groups.tolist() == hundred.groups.tolist()
    assert found.example_weights.tolist() == hundred.example_weights.tolist()


def test_of_equally_frequent_classes_the_best_match_wins(hundred: Evaluated) -> None:
    assert majority(hundred, np.array([2, 1, 2, 1])).decisions[0] == 1


def test_all_exact_on_esci_shares_has_the_known_figures(hundred: Evaluated) -> None:
    found = majority(hundred, hundred.labels)
    assert accuracy(found)(found.example_weights) == 0.65
    assert macro_f1(found)(found.example_weights) == pytest.approx(2 * 65 / 165 / 4)


@pytest.mark.parametrize(("labels", "got"), [([], "none"), ([0, 4], "0 to 4"), ([-1, 0], "-1 to 0")])
def test_training_labels_out_of_the_scheme_are_refused(
    hundred: Evaluated, labels: list[int], got: str
) -> None:
    with pytest.raises(DataError) as error:
        majority(hundred, np.array(labels))
    assert str(error.value) == (
        f"majority: expected training labels, class indices from 0 to 3, got {got}. "
        "Pass the labels of the training split."
    )
