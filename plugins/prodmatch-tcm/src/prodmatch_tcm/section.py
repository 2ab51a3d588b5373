"""The report's section on thresholds."""

from __future__ import annotations

from prodmatch_core.records import Section
from prodmatch_core.rundir import Run


def sections(run: Run) -> list[Section]:
    """Return nothing."""
    return []
