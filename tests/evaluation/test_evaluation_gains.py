from __future__ import annotations

import numpy as np
import pytest

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.data.gains import PROFILES, misfit, of_grades, text, with_profile
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.trec import grades

GRADED = LabelScheme("graded", ("best", "good", "poor"), (9, 4, 0), ("best", "good"))


@pytest.mark.parametrize(
    ("profile", "gains"),
    [
        ("scheme", (1, 0.1, 0.01, 0)),
        ("esci", (1, 0.1, 0.01, 0)),
        ("esci-official-script", (1, 0.01, 0.1, 0)),
        ("linear", (3, 2, 1, 0)),
        ("exponential", (7, 3, 1, 0)),
        ("binary", (1, 0, 0, 0)),
    ],
)
def test_the_gains_of_each_profile_on_the_esci_labels(profile: str, gains: tuple[float, ...]) -> None:
    assert with_profile(ESCI, profile).gains == gains


def test_binary_gains_follow_what_counts_as_a_match() -> None:
    assert with_profile(GRADED, "binary").gains == (1, 1, 0)


def test_the_published_scripts_gains_are_written_to_qrels() -> None:
    assert grades(with_profile(ESCI, "esci-official-script")) == (100, 1, 10, 0)


def test_initials_of_the_esci_labels_do() -> None:
    assert misfit("esci", ("E", "S", "C", "I")) is None


def test_an_esci_profile_for_other_labels_is_refused() -> None:
    with pytest.raises(DataError) as error:
        with_profile(GRADED, "esci")
    assert str(error.value) == (
        'evaluation.gain_profile: "esci" is for the labels exact, substitute, complement, irrelevant; this data has '
        "best, good, poor. Use linear, exponential or binary, or leave it out for the label scheme's own gains."
    )


def test_the_text_of_a_profile_names_it_and_every_gain() -> None:
    shown = text("esci", with_profile(ESCI, "esci"))
    assert shown == "esci: exact 1, substitute 0.1, complement 0.01, irrelevant 0"
    assert text("scheme", GRADED) == "the label scheme's own: best 9, good 4, poor 0"


@pytest.mark.parametrize(
    ("profile", "grade", "gain"),
    [
        ("linear", [3, 0, -1], [3, 0, 0]),
        ("exponential", [3, 0, -1], [7, 0, 0]),
        ("binary", [3, 1, 2], [1, 0, 1]),
        ("esci", [100, 10, 1, 0], [1, 0.1, 0.01, 0]),
        ("esci", [0, 1, 2, 3], [0, 0.01, 0.1, 1]),
        ("esci-official-script", [100, 10, 1, 0], [1, 0.01, 0.1, 0]),
    ],
)
def test_the_gain_of_grades(profile: str, grade: list[int], gain: list[float]) -> None:
    assert of_grades(profile, np.array(grade), 2).tolist() == gain


@pytest.mark.parametrize(
    ("profile", "grade", "message"),
    [
        (
            "esci",
            [100, 3],
            "gain profile esci: is for the grades 100, 10, 1, 0 or 3, 2, 1, 0 of the labels exact, substitute, "
            "complement, irrelevant; the judgements have 3, 100. Use linear, exponential or binary.",
        ),
        (
            "exponential",
            [1001],
            "gain profile exponential: grade 1001 is beyond 1000, 2 to its power is too great a number. Use linear.",
        ),
    ],
)
def test_grades_that_do_not_fit_are_refused(profile: str, grade: list[int], message: str) -> None:
    with pytest.raises(DataError) as error:
        of_grades(profile, np.array(grade), 1)
    assert str(error.value) == message


@pytest.mark.parametrize("profile", PROFILES)
def test_no_grade_at_all_has_no_gain(profile: str) -> None:
    assert of_grades(profile, np.zeros(0, np.int64), 1).tolist() == []
