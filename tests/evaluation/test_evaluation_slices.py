from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.slices import Slice, by_frequency, by_locale, by_quartile


def with_groups(groups: np.ndarray) -> Evaluated:
    rows = len(groups)
    zeros = np.zeros(rows, int)
    return Evaluated(zeros, np.eye(4)[zeros], zeros, groups, ESCI)


def queries_of(slices: tuple[Slice, ...], evaluated: Evaluated) -> dict[str, list[int]]:
    return {s.name: np.unique(evaluated.groups[s.mask]).tolist() for s in slices}


def test_each_locale_is_a_slice_in_alphabetical_order() -> None:
    us, es = by_locale(with_groups(np.array([0, 0, 1, 2])), ["us", "us", "es", "us"])[::-1]
    assert (us.name, us.mask.tolist(), us.queries, us.rows) == ("locale us", [True, True, False, True], 2, 3)
    assert (es.name, es.mask.tolist(), es.queries, es.rows) == (
        "locale es",
        [False, False, True, False],
        1,
        1,
    )


def test_head_torso_and_tail_each_make_about_a_third_of_traffic() -> None:
    e = with_groups(np.arange(33))
    assert queries_of(by_frequency(e, np.array([1] * 30 + [15, 30, 15])), e) == {
        "frequency head": [31],
        "frequency torso": [30, 32],
        "frequency tail": list(range(30)),
    }


def test_frequency_defaults_to_the_number_of_judged_rows() -> None:
    e = with_groups(np.repeat([0, 1, 2, 3, 4, 5], [6, 3, 3, 2, 2, 2]))
    assert queries_of(by_frequency(e), e) == queries_of(by_frequency(e, np.array([6, 3, 3, 2, 2, 2])), e)


def test_queries_of_one_frequency_stay_together() -> None:
    e = with_groups(np.arange(7))
    assert queries_of(by_frequency(e, np.ones(7)), e) == {"frequency torso": list(range(7))}


def test_queries_of_unknown_frequency_make_their_own_slice() -> None:
    e = with_groups(np.arange(2))
    assert queries_of(by_frequency(e, np.array([np.nan, 1.0])), e) == {
        "frequency torso": [1],
        "frequency unknown": [0],
    }


def test_queries_nobody_asks_are_tail() -> None:
    e = with_groups(np.arange(2))
    assert queries_of(by_frequency(e, np.zeros(2)), e) == {"frequency tail": [0, 1]}


def test_slices_of_one_kind_divide_the_rows() -> None:
    e = with_groups(np.arange(50) % 20)
    slices = by_frequency(e, np.random.default_rng(0).pareto(1, 20))
    assert np.sum([s.mask for s in slices], axis=0).tolist() == [1] * 50


def test_a_slice_under_thirty_queries_is_small() -> None:
    small, enough = (by_locale(with_groups(np.arange(n)), ["us"] * n)[0] for n in (29, 30))
    assert (small.small, enough.small) == (True, False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: by_locale(e, ["us"]), "slices: locales has shape (1,), expected (3,): one per row."),
        (
            lambda e: by_frequency(e, [1, 2, 3]),
            "slices: frequency has shape (3,), expected (2,): one per query.",
        ),
        (lambda e: by_frequency(e, [1, -2]), "slices: frequency of query 1 is -2.0, expected at least 0."),
    ],
)
def test_what_is_no_slicing_is_refused(call: Callable[[Evaluated], object], message: str) -> None:
    with pytest.raises(DataError) as error:
        call(with_groups(np.array([0, 0, 1])))
    assert str(error.value) == message


def test_quartiles_keep_equal_values_together_and_are_named_by_their_range() -> None:
    parts = by_quartile("known edges", np.array([0, 0, 0, 1, 2, 3, 3, 9]))
    assert [(by, name, int(mask.sum())) for by, name, mask in parts] == [
        ("known edges", "0", 3),
        ("known edges", "1", 1),
        ("known edges", "2 to 3", 3),
        ("known edges", "9", 1),
    ]


def test_values_that_are_all_equal_make_one_quartile() -> None:
    ((_, name, mask),) = by_quartile("known edges", np.full(5, 2))
    assert name == "2" and mask.all()
    assert by_quartile("known edges", np.empty(0, dtype=np.int64)) == []
