"""Counts the tests of every distribution and refuses a run that leaves a test file out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
pytest_plugins = ["prodmatch_core.testing.fixtures"]


def distribution(path: Path) -> str:
    """Return which distribution a test file belongs to."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] in ("plugins", "contrib") else "prodmatch-core"


def test_files() -> set[Path]:
    """Return every test file of the repository."""
    found = (path for top in ("tests", "plugins", "contrib") for path in (ROOT / top).rglob("test_*.py"))
    return set(found)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail when a whole run (no paths, no selection) collected nothing from a test file."""
    session.config.stash[COLLECTED] = Counter(distribution(item.path) for item in session.items)
    option = session.config.option
    whole = not session.config.invocation_params.args or all(
        arg.startswith("-") for arg in session.config.invocation_params.args
    )
    if not whole or option.keyword or option.markexpr:
        return
    missing = sorted(test_files() - {item.path for item in session.items})
    if missing:
        names = ", ".join(str(path.relative_to(ROOT)) for path in missing)
        raise pytest.UsageError(f"no test was collected from {names}")


COLLECTED = pytest.StashKey[Counter]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many tests each distribution has."""
    counts = config.stash.get(COLLECTED, Counter())
    if counts:
        terminalreporter.section("tests per distribution")
        for name, count in sorted(counts.items()):
            terminalreporter.line(f"{name}: {count}")
