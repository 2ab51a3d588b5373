"""pytest fixtures for a plugin's own tests. In the `conftest.py` at the top of the tests:

pytest_plugins = ["prodmatch_core.testing.fixtures"]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from prodmatch_core.data.dataset import Dataset
    from prodmatch_core.records import Spec
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


@pytest.fixture
def registry_of() -> Callable[..., Registry]:
    """Return the function from records to an isolated registry, in which nothing installed is seen.

    `registry_of(LossSpec(...), core=True)` adds the core's own parts.
    """
    return isolated_registry


def isolated_registry(*records: Spec, core: bool = False, plugin: Any = None) -> Registry:
    """Return a registry that has nothing but what is given.

    Args:
        records: records, as hooks return them.
        core: whether the core's own parts are there too.
        plugin: a plugin module, registered as if it were installed; `state` and `problem` of the registry's
            plugins tell whether it could be.
    """
    from prodmatch_core.plugins import PluginState, add_plugin, new_manager
    from prodmatch_core.registry import Registry

    manager, states = new_manager(), []
    modules = [plugin] if plugin is not None else []
    if core:
        from prodmatch_core.builtin import plugin as builtin

        modules.append(builtin)
    for module in modules:
        name = getattr(module, "__name__", "plugin")
        state = PluginState(name.partition(".")[0], name.partition(".")[0].replace("_", "-"), "0", name)
        states.append(state)
        add_plugin(manager, module, state)
    if records:
        state = PluginState("mine", "prodmatch-mine", "0", "mine.plugin")
        state.records.extend(records)
        states.append(state)
    return Registry(manager, states)
