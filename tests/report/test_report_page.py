from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest

from prodmatch_core import hookimpl
from prodmatch_core.errors import RunError
from prodmatch_core.records import Section
from prodmatch_core.registry import Registry
from prodmatch_core.report.page import render, write_report
from prodmatch_core.rundir import Run

VOID = {"meta", "link", "br", "hr", "img", "input"}

HEADINGS = [
    "Result",
    "Pipeline",
    "Each class",
    "Confusion",
    "Precision and recall of the match",
    "Reliability",
    "Slices",
    "Learning curves",
    "Most confident mistakes",
    "Data",
    "Provenance",
]


class Page(HTMLParser):
    """A strict reader: every element is closed where it was opened, and ids are unique."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names), f"<{tag}> repeats an attribute"
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((tag, ""))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes itself outside a drawing"
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> was never opened"
        assert self.open.pop() == tag, f"</{tag}> at line {self.getpos()[0]} closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            tag, text = self.headings[-1]
            self.headings[-1] = (tag, text + data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def of(self, heading: str) -> list[str]:
        return [text for tag, text in self.headings if tag == heading]


def changed(run: Run, folder: Path, name: str, change: Any) -> Run:
    """A copy of a run in which `change` was applied to one of its JSON files."""
    copy = folder / "copy"
    shutil.copytree(run.path, copy)
    value = json.loads((copy / name).read_text(encoding="utf-8"))
    value = change(value) or value
    (copy / name).write_text(json.dumps(value), encoding="utf-8")
    return Run(copy)


@pytest.fixture(scope="module")
def esci_html(esci_run: Run, report_registry: Registry) -> str:
    return render(esci_run, registry=report_registry)


@pytest.fixture(scope="module")
def esci_page(esci_html: str) -> Page:
    return Page(esci_html)


@pytest.fixture(scope="module")
def binary_page(binary_run: Run, report_registry: Registry) -> Page:
    return Page(render(binary_run, registry=report_registry))


def test_sections_stand_in_order(esci_page: Page, binary_page: Page) -> None:
    assert esci_page.of("h2") == HEADINGS
    assert binary_page.of("h2") == HEADINGS


def test_every_section_says_how_to_read_it(esci_html: str) -> None:
    assert len(re.findall(r'<h2 [^>]*>[^<]*</h2>\n<p class="how">', esci_html)) == len(HEADINGS)


def test_navigation_leads_to_every_section(esci_page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in esci_page.tags}
    targets = [a["href"][1:] for tag, a in esci_page.tags if tag == "a" and a.get("href", "").startswith("#")]
    assert len(targets) >= len(HEADINGS)
    assert set(targets) <= ids


def test_headings_go_down_one_level_at_a_time(esci_page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in esci_page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique(esci_page: Page) -> None:
    ids = [a["id"] for _, a in esci_page.tags if "id" in a]
    assert sorted(ids) == sorted(set(ids))


def test_what_describes_an_element_exists(esci_page: Page) -> None:
    ids = {a.get("id") for _, a in esci_page.tags}
    named = " ".join(a["aria-labelledby"] for _, a in esci_page.tags if "aria-labelledby" in a).split()
    assert named
    assert set(named) <= ids


def test_every_table_has_a_caption_and_headers_with_scope(esci_html: str) -> None:
    tables = re.findall(r"<table.*?</table>", esci_html, re.DOTALL)
    assert len(tables) >= 8
    assert all("<caption>" in table and 'scope="col"' in table and 'scope="row"' in table for table in tables)
    assert not re.search(r"<th(?! scope)[ >]", esci_html)


def test_hostile_title_is_shown_as_text(esci_html: str, esci_page: Page) -> None:
    assert "<script" not in esci_html
    assert "<script>alert('title')</script> & \"quotes\" \ufffd <b>bold" in esci_page.text


def test_page_loads_nothing_and_runs_nothing(esci_page: Page) -> None:
    tags = {tag for tag, _ in esci_page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in esci_page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"<{tag} {name}>"
            if name in ("src", "href") and tag != "a":
                assert value.startswith("data:"), f"<{tag} {name}={value}>"
    policy = [a["content"] for _, a in esci_page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0].startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_style_sheet_names_no_address(esci_html: str) -> None:
    style = re.search(r"<style>(.*?)</style>", esci_html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_every_drawing_is_well_formed_xml_with_a_title(esci_html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", esci_html, re.DOTALL)
    assert len(drawings) == 11
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root[0].tag == "{http://www.w3.org/2000/svg}title"
        assert root[0].text
        assert root[1].tag == "{http://www.w3.org/2000/svg}desc"


def test_verdict_opens_the_page(esci_page: Page) -> None:
    assert (
        "“demo-shop” reaches a macro F1 of 0.548 (95% interval 0.536–0.560): clearly better than the majority class "
        "(+0.348, interval 0.318–0.378) and word overlap (+0.157, interval 0.127–0.187)." in esci_page.text
    )


def test_best_value_of_every_column_is_bold_whatever_its_direction(esci_html: str) -> None:
    table = re.search(r'<table class="lines">.*?</table>', esci_html, re.DOTALL)
    assert table is not None
    assert re.findall(r"<strong>(.*?)</strong>", table[0]) == [
        "0.548",
        "0.688",
        "0.658",
        "0.448",
        "0.748",
        "0.798",
        "0.928",
        "1.052",
        "0.055",
    ]


def test_lines_that_show_the_same_value_share_the_bold(
    esci_run: Run, report_registry: Registry, tmp_path: Path
) -> None:
    def tie(metrics: dict[str, Any]) -> None:
        metrics["lines"][2]["measures"]["macro_f1"]["value"] = 0.5481

    text = render(changed(esci_run, tmp_path, "metrics.json", tie), registry=report_registry)
    assert text.count("<strong>0.548</strong>") == 2


def test_undefined_values_are_en_dashes(esci_html: str, esci_page: Page) -> None:
    assert '<td class="n">–</td>' in esci_html
    assert "frequency tail 64 768 – 0.660" in esci_page.text
    assert "Characters per title, median –" in esci_page.text
    assert not re.search(r"\b(None|nan|null|undefined)\b", esci_page.text)


def test_run_of_nulls_is_rendered(esci_run: Run, report_registry: Registry, tmp_path: Path) -> None:
    def empty(metrics: dict[str, Any]) -> dict[str, Any]:
        nothing = {"value": None, "low": None, "high": None}
        for line in metrics["lines"]:
            line["measures"] = dict.fromkeys(line["measures"], nothing)
        for piece in metrics["slices"]:
            piece["measures"] = dict.fromkeys(piece["measures"], nothing)
        for difference in metrics["differences"]:
            difference.update(value=None, low=None, high=None, p=None)
        return {
            **metrics,
            "per_class": None,
            "confusion": None,
            "tie_share": None,
            "seconds": None,
            "counts": None,
        }

    page = Page(render(changed(esci_run, tmp_path, "metrics.json", empty), registry=report_registry))
    assert "“demo-shop” has no macro F1: it is undefined on this test set." in page.text
    assert page.of("h2") == HEADINGS


def test_confusion_matrix_shows_counts_and_shares_of_the_row(esci_run: Run, esci_html: str) -> None:
    first = esci_run.metrics["confusion"][0]
    share = first[0] / sum(first)
    assert f'style="--share:{share:.3f}">{first[0]}<small>{share:.1%}</small>' in esci_html


def test_slice_with_few_queries_is_marked(esci_page: Page) -> None:
    assert "locale es †" in esci_page.text
    assert "† fewer than 30 queries: its interval is too narrow to be trusted." in esci_page.text


def test_member_without_epochs_is_named(esci_page: Page) -> None:
    assert "No epochs were logged for gbdt" in esci_page.text


def test_splits_stand_in_the_order_they_are_used(esci_html: str) -> None:
    table = re.search(r'<table class="splits">.*?</table>', esci_html, re.DOTALL)
    assert table is not None
    assert re.findall(r'<th scope="row">(\w+)</th>', table[0]) == ["train", "valid", "test"]


def test_japanese_texts_carry_their_language(esci_html: str) -> None:
    assert '<p class="query" dir="auto" lang="ja">ワイヤレス' in esci_html


def test_warnings_are_announced_at_the_head(esci_page: Page) -> None:
    assert "1 warning" in esci_page.text
    assert "plugin acme 0.1 (acme.plugin) failed to import" in esci_page.text


def test_same_run_gives_the_same_page(esci_run: Run, report_registry: Registry, esci_html: str) -> None:
    assert render(Run(esci_run.path), registry=report_registry) == esci_html


def with_section(title: str) -> list[str]:
    place = HEADINGS.index("Most confident mistakes")
    return [*HEADINGS[:place], title, *HEADINGS[place:]]


def test_sections_of_plugins_come_before_the_mistakes(binary_run: Run, report_registry: Registry) -> None:
    sections = [
        Section(title="Risk & <coverage>", html="<p>Kept <em>as it is</em>.</p>", note="Lower is better.")
    ]
    text = render(binary_run, sections, registry=report_registry)
    page = Page(text)
    assert page.of("h2") == with_section("Risk & <coverage>")
    assert "<p>Kept <em>as it is</em>.</p>" in text
    assert "Lower is better." in page.text


def test_report_outlives_the_plugins_of_its_run(binary_run: Run, report_registry: Registry) -> None:
    page = Page(render(binary_run, registry=attrs.evolve(report_registry, plugins=[])))
    assert "parts it names are not installed" in page.text
    assert 'unknown encoder "core.ngram"' in page.text
    assert page.of("h2") == HEADINGS


def test_metrics_without_lines_are_refused(esci_run: Run, report_registry: Registry, tmp_path: Path) -> None:
    run = changed(esci_run, tmp_path, "metrics.json", lambda metrics: {**metrics, "lines": []})
    with pytest.raises(RunError) as caught:
        render(run, registry=report_registry)
    assert str(caught.value) == (
        f"{run.path / 'metrics.json'}: lines missing or empty, so there is nothing to report. Run the pipeline again."
    )


def test_missing_file_is_named(esci_run: Run, report_registry: Registry, tmp_path: Path) -> None:
    shutil.copytree(esci_run.path, tmp_path / "copy")
    (tmp_path / "copy" / "resolved.toml").unlink()
    with pytest.raises(RunError, match=r"resolved\.toml: cannot be read: .*Run the pipeline again\."):
        render(Run(tmp_path / "copy"), registry=report_registry)


class Reporting:
    """A plugin that adds one good section and one thing that is none."""

    @hookimpl
    def prodmatch_report_sections(self, run: Run) -> list[object]:
        return [Section(title=f"About {run.path.name}", html="<p>From a plugin.</p>"), "not a section"]


class Failing:
    """A plugin whose section cannot be made."""

    @hookimpl
    def prodmatch_report_sections(self, run: Run) -> list[object]:
        raise ValueError("no picture")


def test_write_report_asks_plugins_and_survives_the_broken_ones(
    binary_run: Run, report_registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(binary_run.path, tmp_path / "homedepot")
    plugins = [Reporting(), Failing()]
    for plugin in plugins:
        report_registry.manager.register(plugin)
    try:
        path = write_report(Run(tmp_path / "homedepot"), report_registry)
    finally:
        for plugin in plugins:
            report_registry.manager.unregister(plugin)
    assert path == tmp_path / "homedepot" / "report.html"
    assert Page(path.read_text(encoding="utf-8")).of("h2") == with_section("About homedepot")
    assert "left out 'not a section'" in caplog.text
    assert "no picture" in caplog.text


def test_drawing_a_pipeline_loads_nothing_heavy() -> None:
    heavy = ["torch", "polars", "numpy", "sklearn", "matplotlib", "jinja2"]
    code = f"import sys, prodmatch_core.report.drawing; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
