"""`docs/generate.py`: what it writes, and what it says of pages that are old or of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import generate
from prodmatch_core.registry import Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return the parts of all distributions of this repository."""
    return generate.repository_registry()


@pytest.fixture(scope="module")
def made(registry: Registry) -> dict[str, str]:
    """Return the pages of the reference, made once."""
    return generate.pages(registry)


@pytest.fixture
def reference(
    tmp_path: Path, registry: Registry, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the folder that the reference is to be written to, not there yet."""
    monkeypatch.setattr(generate, "repository_registry", lambda: registry)
    monkeypatch.setattr(generate, "pages", lambda registry: made)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "docs" / "reference")
    return tmp_path / "docs" / "reference"


def test_the_same_code_makes_the_same_pages(registry: Registry, made: dict[str, str]) -> None:
    assert generate.pages(registry) == made


def test_a_second_run_has_nothing_to_write(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([]) == 0
    assert "docs/reference/parts/core.focal.md: written\n" in capsys.readouterr().out
    assert (generate.main([]), generate.main(["--check"])) == (0, 0)
    assert capsys.readouterr().out == ""


def test_a_page_that_differs_is_named_and_written_anew(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main([])
    page = reference / "parts" / "core.focal.md"
    before = page.read_text()
    page.write_text(before.replace("core.focal", "core.fokal"))
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        "docs/reference/parts/core.focal.md: differs; run python docs/generate.py\n"
    )
    generate.main([])
    assert page.read_text() == before


@pytest.mark.parametrize("folder", ["hooks", "parts"])
def test_a_page_of_something_that_is_gone_is_named_and_deleted(
    reference: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main([])
    page = reference / folder / "core.gone.md"
    page.write_text("# core.gone\n")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        f"docs/reference/{folder}/core.gone.md: left over; run python docs/generate.py\n"
    )
    assert page.exists()
    generate.main([])
    assert not page.exists()
