"""The page of a comparison: what it says, that nothing can break out of it, and that it loads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from made_runs import make_comparison
from prodmatch_core.report.compare_page import render_compare_page, verdict, write_compare_page
from prodmatch_core.report.formats import decimals


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_comparison(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(figures: dict[str, Any]) -> str:
    return render_compare_page(figures)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    inside = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link rel=\"stylesheet", inside)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in page


def test_the_page_leads_with_what_is_clear(page: str, figures: dict[str, Any]) -> None:
    value = figures["differences"][0]["value"]
    said = f"In macro F1, core.focal is better than core.cross_entropy by {value:.3f}. 1 comparison is not clear."
    assert f'<p class="verdict">{said}</p>' in page


def test_every_arm_and_measure_has_a_row_with_interval_p_and_count(
    page: str, figures: dict[str, Any]
) -> None:
    shown = text_of(page)
    for one in figures["differences"]:
        counts = one["queries"]
        won = f"{counts['wins']} / {counts['ties']} / {counts['losses']}" if counts else "–"
        assert won in shown
        digits = decimals(one["value"], one["low"], one["high"])
        assert f"{abs(one['value']):.{digits}f}" in shown


def test_there_is_one_forest_plot_a_measure(page: str, figures: dict[str, Any]) -> None:
    assert page.count("Differences in ") >= len(figures["directions"])
    assert len(set(re.findall(r'id="(forest-\d+)-title"', page))) == 3


def test_ids_are_unique(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_settings_that_differ_are_shown(page: str) -> None:
    assert "member.0.loss.0.use" in page


def test_notes_and_failures_are_shown(figures: dict[str, Any]) -> None:
    page = render_compare_page({**figures, "failed": {"broken": "seed 0: no memory"}})
    assert "measured on something" in page
    assert '<a href="#failed">1 arm failed</a>' in page
    assert "seed 0: no memory" in page


def test_what_is_not_html_cannot_become_html(figures: dict[str, Any]) -> None:
    bad = "<script>alert(1)</script>"
    arms = [{**arm, "name": bad} for arm in figures["arms"]]
    differences = [{**one, "arm": bad, "against": bad} for one in figures["differences"]]
    settings = {bad: [bad, bad, bad]}
    page = render_compare_page(
        {
            **figures,
            "arms": arms,
            "differences": differences,
            "settings": settings,
            "notes": [bad],
            "failed": {bad: bad},
        }
    )
    assert "<script" not in page


def test_the_page_is_written_whole(figures: dict[str, Any], tmp_path: Path) -> None:
    write_compare_page(figures, tmp_path / "compare.html")
    assert (tmp_path / "compare.html").read_text().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["compare.html"]


def of(*standings: str) -> str:
    differences = [
        {"arm": f"arm{n}", "against": "base", "measure": "nll", "value": -0.01 * n, "standing": kind}
        for n, kind in enumerate(standings, 1)
    ]
    return verdict({"headline": "nll", "grouped": "hours", "differences": differences})


@pytest.mark.parametrize(
    ("standings", "said"),
    [
        ((), "There is one arm, and nothing to compare it with."),
        (("better",), "In log loss, arm1 is better than base by 0.0100."),
        (("open", "open"), "In log loss, no difference is clear on these hours."),
        (("worse", "open"), "In log loss, arm1 is worse than base by 0.0100. 1 comparison is not clear."),
        (("same",), "1 comparison found no difference at all."),
        (("unknown",), "Log loss has no value on these hours."),
        (
            ("better",) * 5,
            "In log loss, arm1 is better than base by 0.0100; arm2 is better than base by 0.0200; arm3 is better than "
            "base by 0.0300; 2 more differences are clear.",
        ),
    ],
)
def test_the_verdict_in_words(standings: tuple[str, ...], said: str) -> None:
    assert of(*standings) == said
