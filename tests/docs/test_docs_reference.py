"""`docs/generate.py`: what it writes, and what it says of pages that are old or of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import generate


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a reference of the core's and some further parts, not yet written."""
    whole = generate.repository_registry()
    monkeypatch.setattr(generate, "repository_registry", lambda: whole)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "docs" / "reference")
    return tmp_path / "docs" / "reference"


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
