"""pytest fixtures for a plugin's own tests. In the `conftest.py` at the top of the tests:

pytest_plugins = ["prodmatch_core.testing.fixtures"]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from prodmatch_core.data.dataset import Dataset
    from prodmatch_core.registry import Registry
    from prodmatch_core.testing.worlds import World


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """Return 60 queries `<colour> <thing>` with 6 judged products each, for the task match."""
    from prodmatch_core.testing.worlds import world

    return world("match").dataset


@pytest.fixture(scope="session")
def tiny_groups() -> Dataset:
    """Return 80 groups of 4 items, for the task embed."""
    from prodmatch_core.testing.worlds import world

    return world("embed").dataset


@pytest.fixture(scope="session")
def tiny_graph() -> Dataset:
    """Return a directed graph of 48 products, for the task relate."""
    from prodmatch_core.testing.worlds import world

    return world("relate").dataset


@pytest.fixture(scope="session")
def tiny_events() -> Dataset:
    """Return a log of 120 events, some of them converted, for the task convert."""
    from prodmatch_core.testing.worlds import world

    return world("convert").dataset


@pytest.fixture(scope="session")
def tiny_world() -> Callable[[str], World]:
    """Return the function from a task's name to its tiny world: data set, examples, `FitData` for a part."""
    from prodmatch_core.testing.worlds import world

    return world


@pytest.fixture(name="isolated_registry")
def _isolated_registry() -> Callable[..., Registry]:
    """Return `testing.isolated.isolated_registry`: records, or a plugin module, in; a registry of nothing else out."""
    from prodmatch_core.testing.isolated import isolated_registry

    return isolated_registry
