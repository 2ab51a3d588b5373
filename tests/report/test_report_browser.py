"""The report in a real browser: nothing wider than the page, no message on the console, both themes."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from made_runs import make_comparison
from prodmatch_core.data.describe import Thorough, describe
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.records import Section
from prodmatch_core.registry import Registry
from prodmatch_core.report.compare_page import render_compare_page
from prodmatch_core.report.data_page import render_data_page
from prodmatch_core.report.page import render
from prodmatch_core.rundir import Run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium, chromium-browser or google-chrome on PATH"
)

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--allow-file-access-from-files",
    "--window-size=1400,900",
    "--virtual-time-budget=10000",
    "--dump-dom",
)

# A window may not be narrower than about 500 pixels, a frame may; the frame's page is read from outside,
# because its own policy lets no script run.
MEASURE = """
<!doctype html><meta charset="utf-8"><body>%s<pre id="result"></pre><script>
addEventListener("load", () => {
  const pages = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement, width = root.clientWidth;
    const held = (element) => element.closest(".scroll, .extra, pre, caption");
    const wide = [...page.querySelectorAll("body *")].filter((element) =>
      element.getBoundingClientRect().right > width + 1 && !held(element));
    const spilt = [...page.querySelectorAll("svg text")].filter((text) => {
      const own = text.getBoundingClientRect(), svg = text.closest("svg");
      const frames = [...svg.querySelectorAll("rect")].map((rect) => rect.getBoundingClientRect());
      const around = frames.find((box) => box.left <= own.left && own.left < box.right &&
        box.top <= own.top && own.top < box.bottom) ?? svg.getBoundingClientRect();
      return own.width && (own.right > around.right + 1 || own.left < around.left - 1 || own.bottom > around.bottom + 1);
    });
    return {
      spilt: spilt.map((text) => text.textContent), page: frame.id, width, scroll: root.scrollWidth, title: page.title,
      wide: wide.map((element) => element.tagName + "." + element.getAttribute("class")),
      ground: getComputedStyle(root).backgroundColor, ink: getComputedStyle(root).color,
      across: page.querySelector(".across")?.getBoundingClientRect().height > 0,
      down: page.querySelector(".down")?.getBoundingClientRect().height > 0,
    };
  });
  document.getElementById("result").textContent = JSON.stringify(pages);
});
</script></body>
"""


def browse(folder: Path, pages: dict[str, tuple[str, tuple[int, ...]]], theme: str) -> Any:
    """Open each page at its widths; return what was measured and what the console said."""
    frames = []
    for name, (text, widths) in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
        frames += [
            f'<iframe id="{name}-{width}" src="{name}.html" style="border:0;width:{width}px;height:800px"></iframe>'
            for width in widths
        ]
    (folder / "all.html").write_text(MEASURE % "".join(frames), encoding="utf-8")
    assert BROWSER is not None
    command = [
        BROWSER,
        *FLAGS,
        f"--user-data-dir={folder / f'profile-{theme}'}",
        f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}",
        (folder / "all.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    measured = {page["page"]: page for page in json.loads(html.unescape(found[1]))}
    return measured, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module", params=["light", "dark"])
def opened(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    esci_run: Run,
    binary_run: Run,
    report_registry: Registry,
) -> Any:
    wide = Section(title="Wide", html=f"<table><tr>{'<td>a cell of some width</td>' * 40}</tr></table>")
    esci = render(esci_run, [wide], registry=report_registry)
    figures = make_comparison(tmp_path_factory.mktemp("compared"), [(1, 0), (2, 0), (2, 1)])
    compared = render_compare_page({**figures, "failed": {"broken": "seed 0: no memory " * 20}})
    both = (1280, 390)
    pages = {
        "esci": (esci, both),
        "binary": (render(binary_run, registry=report_registry), both),
        # What the sheet of a printer shows, on a screen as wide as A4 between its margins.
        "printed": (esci.replace("@media print", "@media all"), (718,)),
        "compare": (compared, both),
        "data": (render_data_page(describe(make_shop(ShopConfig(size=2000)), Thorough())), both),
        "unbounded": ("<!doctype html><title>unbounded</title><div style='width:3000px'>wide</div>", (390,)),
    }
    return request.param, *browse(tmp_path_factory.mktemp("browser"), pages, request.param)


@pytest.mark.parametrize(
    ("name", "width"),
    [(name, width) for name in ("esci", "binary", "compare", "data") for width in (1280, 390)]
    + [("printed", 718)],
)
def test_nothing_is_wider_than_the_page(opened: Any, name: str, width: int) -> None:
    _, measured, _ = opened
    page = measured[f"{name}-{width}"]
    assert page["width"] >= width - 20  # a scroll bar
    assert page["scroll"] == page["width"]
    assert page["wide"] == []


@pytest.mark.parametrize(
    "page",
    [
        "esci-1280",
        "esci-390",
        "binary-1280",
        "binary-390",
        "compare-1280",
        "compare-390",
        "data-1280",
        "data-390",
    ],
)
def test_no_text_of_a_drawing_leaves_its_box(opened: Any, page: str) -> None:
    _, measured, _ = opened
    assert measured[page]["spilt"] == []


def test_a_page_that_overflows_would_be_noticed(opened: Any) -> None:
    _, measured, _ = opened
    assert measured["unbounded-390"]["scroll"] > 390
    assert measured["unbounded-390"]["wide"] == ["DIV.null"]


def test_console_is_silent(opened: Any) -> None:
    _, _, messages = opened
    assert messages == []


def test_page_follows_the_reader_s_theme(opened: Any) -> None:
    theme, measured, _ = opened
    ground, ink = {
        "light": ("rgb(252, 251, 248)", "rgb(29, 33, 38)"),
        "dark": ("rgb(20, 23, 27)", "rgb(230, 227, 221)"),
    }[theme]
    assert (measured["esci-1280"]["ground"], measured["esci-1280"]["ink"]) == (ground, ink)


def test_pipeline_is_drawn_across_on_a_desktop_and_down_on_a_phone(opened: Any) -> None:
    _, measured, _ = opened
    shown = {
        width: (measured[f"esci-{width}"]["across"], measured[f"esci-{width}"]["down"])
        for width in (1280, 390)
    }
    assert shown == {1280: (True, False), 390: (False, True)}


def test_script_in_a_section_does_not_run(tmp_path: Path, binary_run: Run, report_registry: Registry) -> None:
    script = Section(title="Script", html="<script>document.title = 'it ran'</script>")
    page = render(binary_run, [script], registry=report_registry)
    measured, messages = browse(tmp_path, {"script": (page, (1280,))}, "light")
    assert measured["script-1280"]["title"] == "homedepot: prodmatch report"
    assert any("Content Security Policy" in message for message in messages)
