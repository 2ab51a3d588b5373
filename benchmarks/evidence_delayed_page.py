"""The page of `evidence_delayed.py`, from its files of predictions."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/evidence/delayed.md"


def page(runs: Path) -> str:
    return ""
