from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.evaluation.curves import PrecisionRecall, Reliability
from prodmatch_core.report import charts
from prodmatch_core.report.svg import Plot, columns, element, shorten, text, tick_labels, ticks, width_of

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def words(drawing: str) -> list[str]:
    return [node.text or "" for node in parsed(drawing).iter(f"{SVG}text")]


def notes(drawing: str) -> list[str]:
    return [title.text or "" for node in parsed(drawing).iter() for title in node.findall(f"{SVG}title")][1:]


finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_evenly_spaced(low: float, width: float) -> None:
    found = ticks(low, low + width)
    slack = 1e-6 * max(abs(low), width)
    assert all(low - slack <= tick <= low + width + slack for tick in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0] if len(steps) else 0, rtol=1e-3, atol=slack)


def test_ticks_of_an_empty_range_are_its_only_value() -> None:
    assert ticks(0.5, 0.5) == [0.5]


def test_tick_labels_have_the_decimals_of_their_step() -> None:
    assert tick_labels([-0.05, 0.0, 0.05]) == ["−0.05", "0.00", "0.05"]
    assert tick_labels([0.0, 500.0, 1000.0]) == ["0", "500", "1,000"]


def test_values_at_the_edges_stand_on_the_frame() -> None:
    plot = Plot(10, 20, 100, 50, (0.0, 2.0), (1.0, 3.0))
    assert (plot.x(0.0), plot.x(2.0)) == (10, 110)
    assert (plot.y(1.0), plot.y(3.0)) == (70, 20)


def test_texts_and_attributes_are_escaped() -> None:
    root = parsed(element("g", text(0, 0, "a < b & c"), class_='"quoted" <'))
    assert root.attrib == {"class": '"quoted" <'}
    assert root[0].text == "a < b & c"


@given(st.text(), st.integers(1, 40))
def test_shortened_text_fits(content: str, width: int) -> None:
    assert columns(shorten(content, width)) <= width


def test_wide_characters_take_two_columns() -> None:
    assert columns("検索ab") == 6
    assert shorten("検索エンジン", 5) == "検索…"


def test_dot_plot_tells_every_value_and_interval() -> None:
    dots = [charts.Dot("first", 0.5, 0.4, 0.6, strong=True), charts.Dot("second", 0.3)]
    drawing = charts.dot_plot(dots, "Lines", "Macro F1", "lines")
    assert notes(drawing) == ["first: 0.500 (0.400–0.600)", "second: 0.300 (no interval)"]
    assert {"first", "0.500", "second", "0.300", "Macro F1"} <= set(words(drawing))
    assert parsed(drawing)[1].text == "Macro F1: first 0.500 (0.400–0.600); second 0.300 (no interval)."


def test_dot_plot_without_any_value_shows_dashes() -> None:
    drawing = charts.dot_plot([charts.Dot("first", None)], "Lines", "Macro F1", "lines")
    assert "–" in words(drawing)
    assert not list(parsed(drawing).iter(f"{SVG}circle"))


def test_dot_plot_names_each_group_once() -> None:
    dots = [
        charts.Dot(name, 0.5, group=group)
        for group, name in [("locale", "es"), ("locale", "us"), ("part", "a")]
    ]
    found = words(charts.dot_plot(dots, "Slices", "F1", "slices"))
    assert (found.count("locale"), found.count("part")) == (1, 1)


def curve(*points: tuple[float, float]) -> PrecisionRecall:
    recall, precision = (
        (np.array(values) for values in zip(*points, strict=True)) if points else (np.empty(0),) * 2
    )
    return PrecisionRecall(threshold=np.linspace(1, 0, len(recall)), precision=precision, recall=recall)


def test_precision_recall_curve_is_drawn_in_steps() -> None:
    drawing = charts.precision_recall_chart(curve((0.5, 1.0), (1.0, 0.5)), 0.5, None, "match")
    (path,) = parsed(drawing).iter(f"{SVG}path")
    points = [tuple(map(float, point.split())) for point in path.attrib["d"].removeprefix("M").split("L")]
    assert len(points) == 3
    assert points[0][1] == points[1][1]
    assert points[1][0] == points[2][0]


def test_precision_recall_chart_marks_the_labels_decided() -> None:
    drawing = charts.precision_recall_chart(curve((0.5, 1.0), (1.0, 0.5)), 0.5, (0.75, 0.6), "match")
    assert notes(drawing) == ["labels decided: precision 0.600, recall 0.750"]


def test_precision_recall_chart_without_matches_says_so() -> None:
    root = parsed(charts.precision_recall_chart(curve(), 0.0, None, "match"))
    assert root[1].text == "No pair matches, so there is no curve."
    assert not list(root.iter(f"{SVG}path"))


def bins(counts: list[int]) -> Reliability:
    count = np.array(counts)
    middle = np.where(count > 0, (np.arange(len(count)) + 0.5) / len(count), np.nan)
    edges = np.linspace(0, 1, len(count) + 1)
    return Reliability(
        edges=edges, confidence=middle, observed=middle - 0.1, count=count, weight=count.astype(float)
    )


def test_reliability_chart_has_a_point_and_a_bar_for_every_bin_in_use() -> None:
    root = parsed(charts.reliability_chart(bins([0, 0, 50, 5, 100]), 0.1, "reliability"))
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    assert len(list(root.iter(f"{SVG}rect"))) == 3


def test_reliability_bin_of_few_pairs_is_hollow() -> None:
    circles = list(
        parsed(charts.reliability_chart(bins([50, 19, 20]), 0.1, "reliability")).iter(f"{SVG}circle")
    )
    assert ["paper" in circle.attrib["fill"] for circle in circles] == [False, True, False]


def test_reliability_chart_tells_each_bin() -> None:
    assert "0.00 to 0.50: 1,204 pairs, stated 0.250, true 0.150" in notes(
        charts.reliability_chart(bins([1204, 3]), 0.1, "reliability")
    )


def test_reliability_chart_of_nothing_is_drawn() -> None:
    root = parsed(charts.reliability_chart(bins([0, 0, 0]), None, "reliability"))
    assert not list(root.iter(f"{SVG}circle"))


def epochs(*valid: float | None) -> list[charts.Epoch]:
    return [charts.Epoch("main", 1.0 / (n + 1), value) for n, value in enumerate(valid)]


@pytest.mark.parametrize(
    ("higher", "note"), [(True, "best: 0.500 at epoch 2"), (False, "best: 0.300 at epoch 1")]
)
def test_learning_chart_marks_the_best_epoch_in_its_direction(higher: bool, note: str) -> None:
    assert note in words(charts.learning_chart("a", epochs(0.3, 0.5, 0.4), "Macro F1", higher, "learning"))


def test_learning_chart_marks_the_first_of_equally_good_epochs() -> None:
    assert "best: 0.500 at epoch 2" in words(
        charts.learning_chart("a", epochs(0.3, 0.5, 0.5), "F1", True, "learning")
    )


def test_learning_chart_of_one_epoch_has_no_line() -> None:
    root = parsed(charts.learning_chart("a", epochs(0.3), "Macro F1", True, "learning"))
    assert not list(root.iter(f"{SVG}path"))


def test_learning_chart_without_validation_figures_shows_the_loss() -> None:
    drawing = charts.learning_chart("a", epochs(None, None), "Macro F1", True, "learning")
    assert notes(drawing) == ["epoch 1: loss 1.000", "epoch 2: loss 0.500"]
    assert not [word for word in words(drawing) if "validation" in word]


def test_a_long_measure_leaves_room_for_its_best_value() -> None:
    for measure, title in (("F1", "F1 on validation"), ("Mismatch average precision",) * 2):
        drawing = charts.learning_chart("a", epochs(0.1, 0.2), measure, True, "learning")
        (best,) = [word for word in words(drawing) if word.startswith("best")]
        assert title in words(drawing)
        assert width_of(title) + width_of(best) <= 336


def test_learning_chart_names_phases_where_there_are_several() -> None:
    two = [charts.Epoch("warm", 1.0, 0.1), charts.Epoch("main", 0.9, 0.2)]
    assert {"warm", "main"} <= set(words(charts.learning_chart("a", two, "F1", True, "learning")))
    assert "main" not in words(charts.learning_chart("a", epochs(0.1, 0.2), "F1", True, "learning"))


def test_the_names_of_short_phases_stay_inside_the_chart() -> None:
    phases = [
        charts.Epoch(f"region {locale}", 1.0 / n, 0.1 * n) for n, locale in enumerate(("en", "es", "ja"), 1)
    ]
    root = parsed(charts.learning_chart("a", phases, "F1", True, "learning"))
    found = {mark.text: mark for mark in root.iter() if mark.text and mark.text.startswith("region")}
    assert len(found) == 3
    for name, mark in found.items():
        assert float(mark.get("x", "nan")) + width_of(name) <= charts.WIDTH


def test_share_bar_is_as_wide_as_its_shares() -> None:
    root = parsed(charts.share_bar([("exact", 0.75), ("irrelevant", 0.25)], "labels", "Shares"))
    widths = [
        float(rect.attrib["width"]) for rect in root.iter(f"{SVG}rect") if "fill-opacity" in rect.attrib
    ]
    assert widths == [0.75 * charts.WIDTH - 1, 0.25 * charts.WIDTH - 1]
