from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pages import blocks
from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[pc]*/*/README.md")])


def pipelines() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for page in PAGES:
        for number, (_, block) in enumerate(blocks(page)):
            if block.startswith("[pipeline]"):
                toml = block.partition("\nprodmatch ")[0]
                found.append((f"{page.relative_to(ROOT)}-{number}", tomllib.loads(toml)))
    return found


def commands() -> list[str]:
    """Return every `prodmatch ...` command that a page shows, without the comment behind it."""
    lines = (line for page in PAGES for _, block in blocks(page) for line in block.splitlines())
    shown = (re.sub(r"^\.venv/bin/", "", line.partition(" #")[0]).strip() for line in lines)
    return sorted({line for line in shown if line.startswith("prodmatch ")})


def test_the_pages_show_pipelines_and_commands() -> None:
    assert len(pipelines()) >= 2
    assert len(commands()) >= 8


@pytest.mark.parametrize("tree", [pytest.param(tree, id=name) for name, tree in pipelines()])
def test_every_pipeline_shown_is_valid(tree: dict[str, Any]) -> None:
    load_pipeline(tree)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("pipelines/*.toml"), *ROOT.glob("[pc]*/*/pipelines/*.toml")]), ids=str
)
def test_every_shipped_pipeline_is_valid(path: Path) -> None:
    load_pipeline(path)


@pytest.mark.parametrize("command", commands())
def test_every_command_shown_exists_with_its_options(command: str) -> None:
    words = command.split()[1:]
    names = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]+", word), words))
    tried = next((names[:n] for n in (2, 1) if exists(names[:n])), None)
    assert tried, command
    help_text = CliRunner().invoke(cli, [*tried, "--help"]).output
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", help_text), f"{command}: {option}"


def exists(names: list[str]) -> bool:
    return bool(names) and CliRunner().invoke(cli, [*names, "--help"]).exit_code == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^):]+?)\)", page.read_text(encoding="utf-8"))
    missing = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


def anchors(page: Path) -> set[str]:
    """Return what GitHub and the site call the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["docs/README.md", "docs/adr/README.md"])
def test_a_list_of_pages_names_each_once_and_decisions_in_order(page: str) -> None:
    named = re.findall(
        r"^- \[(?:(\d+)\. )?[^]]+\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    targets = [target for _, target in named]
    assert targets
    assert [target for target in targets if targets.count(target) > 1] == []
    numbers = [int(number) for number, _ in named if number]
    assert numbers == sorted(numbers)
