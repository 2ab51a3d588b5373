"""The page of evidence_blade.py, from its rows."""

from __future__ import annotations

from typing import Any


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page as Markdown."""
    return ""
