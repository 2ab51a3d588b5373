"""Counts the tests of every distribution and refuses a run that leaves a test file out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

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


COLLECTED = pytest.StashKey[Counter]()
LEFT_OUT = pytest.StashKey[list]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that install distributions first, so that no processor waits for their files at the end."""
    items.sort(key=lambda item: item.path.parent.name != "installed")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count what was collected, and note the test files from which a whole run (no paths, no selection) took nothing.

    Where several processes share the tests, each collects all of them, and the one that hands them out none.
    """
    config = session.config
    if config.pluginmanager.hasplugin("dsession"):
        return
    worker = getattr(config, "workerinput", None)
    arguments = worker["mainargv"][1:] if worker else config.invocation_params.args
    chosen = any((ROOT / argument.partition("::")[0]).exists() for argument in arguments)
    left = set() if chosen or config.option.keyword or config.option.markexpr else test_files()
    left -= {item.path for item in session.items}
    told = {
        "collected": dict(Counter(distribution(item.path) for item in session.items)),
        "left_out": sorted(str(path.relative_to(ROOT)) for path in left),
    }
    if worker is None:
        _keep(config, told)
    else:
        config.workeroutput.update(told)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep what a process that ran tests has collected; each of them has collected all."""
    if "collected" in (told := getattr(node, "workeroutput", {})):
        _keep(node.config, told)


def _keep(config: pytest.Config, told: dict[str, Any]) -> None:
    config.stash[COLLECTED], config.stash[LEFT_OUT] = Counter(told["collected"]), told["left_out"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a whole run that leaves a test file out."""
    if session.config.stash.get(LEFT_OUT, []):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many tests each distribution has, and the files that were left out."""
    counts = config.stash.get(COLLECTED, Counter())
    if counts:
        terminalreporter.section("tests per distribution")
        for name, count in sorted(counts.items()):
            terminalreporter.line(f"{name}: {count}")
    for name in config.stash.get(LEFT_OUT, []):
        terminalreporter.line(f"ERROR: no test was collected from {name}", red=True)
