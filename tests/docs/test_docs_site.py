"""The site: it builds, asks nobody for anything, and a link or page that leads nowhere stops it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
REFERS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"Tags that make a browser fetch something -> the attribute that names it."
CODE = ("pre", "code", "script", "style")


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make site` does. Not with `--quiet`, under which MkDocs lets everything pass."""
    command = f"{sys.executable} -m mkdocs build --strict -f {project / 'mkdocs.yml'} -d {site}"
    return subprocess.run(
        command.split(),
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site; no test changes it."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """What a page fetches, where its tabs lead, and the text of its article outside code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tabs: list[str] = []
        self.lines: list[str] = []
        self.within: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in REFERS and found.get("rel") not in ("next", "prev", "canonical"):
            self.fetched.append(found.get(REFERS[tag]) or "")
        if tag == "a" and found.get("class") == "md-tabs__link":
            self.tabs.append(found["href"] or "")
        if tag in ("article", *CODE):
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.within and tag == self.within[-1]:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if self.within == ["article"]:
            self.lines += data.splitlines()


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_the_documentation_is_a_page_of_the_site(pages: dict[str, Page]) -> None:
    names = (path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md"))
    expected = {name.with_name("index.html") if name.stem == "README" else name for name in names}
    assert len(expected) > 100
    assert {Path(page) for page in pages} == expected | {Path("404.html")}


def test_the_tabs_lead_from_learning_to_looking_up(pages: dict[str, Page]) -> None:
    folders = [Path(tab).parts[0] for tab in pages["index.html"].tabs]
    assert folders == ["index.html", "tutorial", "how-to", "explanation", "reference", "adr"]


def test_no_page_fetches_anything_from_another_host(site: Path, pages: dict[str, Page]) -> None:
    fetched = {address for page in pages.values() for address in page.fetched}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    fetched |= set(re.findall(r"url\(['\"]?([^'\")]+)", styles)) | set(
        re.findall(r"@import\s+([^;]+)", styles)
    )
    assert any(address.endswith("site.css") for address in fetched)
    assert sorted(address for address in fetched if re.match(r"(?:[a-z]+:)?//", address)) == []


def test_lists_tables_and_code_are_read_as_such(pages: dict[str, Page]) -> None:
    raw = [
        f"{name}: {line}"
        for name, page in pages.items()
        for line in page.lines
        if re.match(r"[-*] |\||```", line) or re.search(r"`|\]\(|\*\*", line)
    ]
    assert raw == []


# -- what stops it -------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small documentation with the site's settings: a page of lists, and one page that it names."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for name in ("site_navigation.py", "site.css"):
        shutil.copy(ROOT / "docs" / name, docs)
    (docs / "README.md").write_text("# Docs\n\n## Tutorial\n\n- [Run](run.md)\n")
    (docs / "run.md").write_text("# Run\n\n## Begin\n\nBack to the [lists](README.md#tutorial).\n")
    return tmp_path


def test_a_documentation_whose_links_lead_somewhere_builds(project: Path, tmp_path: Path) -> None:
    assert build(project, tmp_path / "site").returncode == 0


@pytest.mark.parametrize(
    ("page", "text", "told"),
    [
        ("run.md", "# Run\n\n[Gone](gone.md)\n", "contains a link 'gone.md', but the target is not found"),
        ("run.md", "# Run\n\n[End](README.md#end)\n", "does not contain an anchor '#end'"),
        ("lost.md", "# Lost\n", 'not included in the "nav" configuration:\n  - lost.md'),
    ],
    ids=["broken link", "broken anchor", "page outside the navigation"],
)
def test_what_leads_nowhere_stops_the_build(
    project: Path, tmp_path: Path, page: str, text: str, told: str
) -> None:
    (project / "docs" / page).write_text(text)
    done = build(project, tmp_path / "site")
    assert done.returncode == 1
    assert told in done.stdout + done.stderr
