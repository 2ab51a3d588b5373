from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.registry import Registry
from prodmatch_core.report.drawing import TEXT_WIDTH, draw, draw_text
from prodmatch_core.report.flow import Row, flow
from prodmatch_core.report.svg import columns
from prodmatch_core.rundir import Run
from prodmatch_core.sections import PipelineFile
from prodmatch_core.testing.worlds import task_pipeline

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def three_members(esci_run: Run, report_registry: Registry) -> PipelineFile:
    return load_pipeline(esci_run.path / "resolved.toml", registry=report_registry)


def one_member(registry: Registry, **changes: Any) -> PipelineFile:
    tree: dict[str, Any] = {
        "pipeline": {"name": "small"},
        "data": {"use": "shop.synthetic"},
        "member": [{"encoder": {"use": "core.ngram"}}],
        **changes,
    }
    return load_pipeline(tree, registry=registry)


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        ("match", "label and P(match)"),
        ("embed", "the nearest items of each"),
        ("relate", "products ranked for each"),
        ("convert", "label and P(conversion)"),
    ],
)
def test_the_drawing_ends_in_what_the_task_answers(task: str, outcome: str) -> None:
    assert flow(task_pipeline(task)).decisions.title == outcome


def boxes(drawing: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawing).iter(f"{SVG}rect"))


def test_settings_at_their_default_are_left_out(report_registry: Registry) -> None:
    block = flow(one_member(report_registry)).members[0]
    assert block.rows == (
        Row("encoder", "core.ngram"),
        Row("loss", "the task's default"),
        Row("training", "5 epochs"),
    )


def test_settings_nested_parts_and_weights_are_told(three_members: PipelineFile) -> None:
    ngram, stack, gbdt = flow(three_members).members
    assert Row("", "dim 256", detail=True) in ngram.rows
    assert Row("negatives", "quarts.generated") in ngram.rows
    assert Row("", "0.25 × tcm.margin") in ngram.rows
    assert Row("", "text: core.ngram", detail=True) in stack.rows
    assert Row("", "text.mode siamese", detail=True) in stack.rows
    assert Row("", "frozen: encoder", detail=True) in stack.rows
    assert gbdt.rows == (Row("encoder", "baselines.gbdt"), Row("training", "fits itself"))


def test_positive_labels_and_split_stand_with_the_data(report_registry: Registry) -> None:
    data = {"use": "shop.synthetic", "positive": ["exact"], "split": {"test": 0.3}}
    rows = flow(one_member(report_registry, data=data)).source.rows
    assert rows == (Row("", "match: exact", detail=True), Row("", "split.test 0.3", detail=True))


def test_parts_follow_the_members_in_order(three_members: PipelineFile) -> None:
    assert [(block.kind, block.title) for block in flow(three_members).after] == [
        ("aggregator", "ensemble.stacked"),
        ("calibrator 1", "core.temperature"),
        ("calibrator 2", "core.threshold"),
        ("decisions", "label and P(match)"),
    ]


@pytest.mark.parametrize("down", [False, True])
def test_every_part_has_a_box_inside_the_drawing(three_members: PipelineFile, down: bool) -> None:
    drawing = draw(three_members, down=down)
    root = ElementTree.fromstring(drawing)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    found = boxes(drawing)
    assert len(found) == 8
    for box in found:
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


@pytest.mark.parametrize("down", [False, True])
def test_boxes_do_not_overlap(three_members: PipelineFile, down: bool) -> None:
    places = [
        tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        for box in boxes(draw(three_members, down=down))
    ]
    for index, (x, y, w, h) in enumerate(places):
        for u, v, a, b in places[index + 1 :]:
            assert x + w <= u or u + a <= x or y + h <= v or v + b <= y


@pytest.mark.parametrize("down", [False, True])
def test_every_connection_has_an_arrow_head(three_members: PipelineFile, down: bool) -> None:
    heads = list(ElementTree.fromstring(draw(three_members, down=down)).iter(f"{SVG}polygon"))
    assert (
        len(heads) == 9
    )  # into three members, out of them, aggregator - calibrator - calibrator - decisions


def test_drawing_is_told_in_words(report_registry: Registry) -> None:
    root = ElementTree.fromstring(draw(one_member(report_registry)))
    assert root[0].text == "Pipeline small"
    assert root[1].text == (
        "Data shop.synthetic goes to the members ngram (encoder core.ngram, loss the task's default, "
        "training 5 epochs); their predictions go to decisions label and P(match)."
    )


def test_drawing_for_a_phone_is_no_wider_than_one(three_members: PipelineFile) -> None:
    assert float(ElementTree.fromstring(draw(three_members, down=True)).attrib["width"]) <= 350


def test_text_drawing_of_one_member(report_registry: Registry) -> None:
    assert draw_text(one_member(report_registry, calibrator=[{"use": "core.threshold"}])) == (
        "╭─ data ───────────────────────────────────────────────────────────────╮\n"
        "│ shop.synthetic                                                       │\n"
        "╰──┬───────────────────────────────────────────────────────────────────╯\n"
        "   │   ╭─ member ────────────────────────────────────────────────╮\n"
        "   ╰──▶│ ngram                                                   │──╮\n"
        "       │ encoder   core.ngram                                    │  │\n"
        "       │ loss      the task's default                            │  │\n"
        "       │ training  5 epochs                                      │  │\n"
        "       ╰─────────────────────────────────────────────────────────╯  │\n"
        "╭─ calibrator ──────────────────────────────────────────────────────▼──╮\n"
        "│ core.threshold                                                       │\n"
        "╰───────────────────────────────────┬──────────────────────────────────╯\n"
        "╭─ decisions ───────────────────────▼──────────────────────────────────╮\n"
        "│ label and P(match)                                                   │\n"
        "╰──────────────────────────────────────────────────────────────────────╯"
    )


def test_text_drawing_fits_a_terminal_whatever_it_holds(report_registry: Registry) -> None:
    wide = {"use": "core.ngram", "mode": "検索" * 60}
    lines = draw_text(one_member(report_registry, member=[{"encoder": wide}])).splitlines()
    assert max(map(columns, lines)) == TEXT_WIDTH
    assert all(columns(line) in (TEXT_WIDTH, 66, 69) for line in lines)


def test_text_drawing_leads_into_and_out_of_every_member(three_members: PipelineFile) -> None:
    lines = draw_text(three_members).splitlines()
    entries = [line[3:7] for line in lines if "▶" in line]
    exits = [line[-3:] for line in lines if "▶" in line]
    assert entries == ["├──▶", "├──▶", "╰──▶"]
    assert exits == ["──╮", "──┤", "──┤"]
