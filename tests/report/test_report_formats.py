from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5123, "0.512"),
        (-0.0312, "−0.031"),
        (-0.0001, "0.000"),
        (12.345, "12.3"),
        (1204.4, "1,204"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (True, "–"),
    ],
)
def test_figure(value: object, text: str) -> None:
    assert formats.figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "+0.100"), (-0.1, "−0.100"), (0.0, "0.000"), (-0.0001, "0.000"), (None, "–")]
)
def test_signed(value: object, text: str) -> None:
    assert formats.signed(value) == text


def test_span_of_negative_ends_needs_no_guessing() -> None:
    assert formats.span({"low": -0.01, "high": 0.02}) == "−0.010 to 0.020"


def test_span_with_an_unknown_end_is_empty() -> None:
    assert formats.span({"low": None, "high": 0.02}) == ""


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (1204.0, "1,204"), (17.5, "17.5"), (None, "–")])
def test_count(value: object, text: str) -> None:
    assert formats.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "12.3%"), (0.0001, "<0.1%"), (0.0, "0.0%"), (None, "–")]
)
def test_percent(value: object, text: str) -> None:
    assert formats.percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0005, "<0.001"), (0.032, "0.032"), (None, "–")])
def test_probability(value: object, text: str) -> None:
    assert formats.probability(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.314, "0.31 s"), (12.4, "12.4 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (None, "–")],
)
def test_duration(value: object, text: str) -> None:
    assert formats.duration(value) == text


def test_moment_is_written_for_a_person() -> None:
    assert formats.moment("2026-11-21T07:10:00+00:00") == "21 November 2026, 07:10 UTC"


def test_moment_that_is_no_time_is_left_alone() -> None:
    assert formats.moment("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("name", "text"),
    [("ndcg@10", "nDCG@10"), ("mean_gap", "mean gap"), ("acme.mean_gap@5", "acme.mean_gap@5")],
)
def test_measure(name: str, text: str) -> None:
    assert formats.measure(name) == text


def test_measures_stand_headline_first_then_the_core_s_then_others() -> None:
    names = ["acme.gap", "ece", "ndcg@10", "accuracy", "macro_f1"]
    assert formats.in_order(names, "ece") == ["ece", "macro_f1", "accuracy", "ndcg@10", "acme.gap"]


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_clean_text_can_be_written_and_read_as_xml(text: str) -> None:
    from xml.etree import ElementTree
    from xml.sax.saxutils import escape

    cleaned = formats.clean(text)
    root = ElementTree.fromstring(f"<a>{escape(cleaned)}</a>".encode())
    assert (root.text or "") == cleaned.replace("\r\n", "\n").replace("\r", "\n")


def test_leaves_of_nested_tables() -> None:
    assert list(formats.leaves({"load": 1, "members": {"a": 2}})) == [("load", 1), ("members / a", 2)]


@pytest.mark.parametrize(("count", "text"), [(1, "1 query"), (2, "2 queries"), (1204, "1,204 queries")])
def test_plural(count: int, text: str) -> None:
    assert formats.plural(count, "query") == text


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ((0.5,), 3),
        ((1.2, 40.0), 3),
        ((0.08, -0.01), 4),
        ((0.008, None), 5),
        ((1e-9,), 6),
        ((0.0,), 3),
        ((None,), 3),
    ],
)
def test_small_figures_get_more_decimals(values: tuple, digits: int) -> None:
    assert formats.decimals(*values) == digits


def test_an_interval_is_written_with_the_decimals_asked_for() -> None:
    assert formats.span({"low": 0.00012, "high": 0.00034}, 5) == "0.00012–0.00034"
