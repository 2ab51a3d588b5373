"""A plugin manager and registry in which nothing that is installed is seen."""

from __future__ import annotations

from typing import Any

from prodmatch_core.plugins import PluginState, add_plugin, new_manager
from prodmatch_core.records import Spec
from prodmatch_core.registry import Registry


def isolated_registry(*records: Spec, core: bool = False, plugin: Any = None) -> Registry:
    """Return a registry that has nothing but what is given.

    Args:
        records: records, as hooks return them.
        core: whether the core's own parts are there too.
        plugin: a plugin module, registered as if it were installed. Where it cannot be, `problems` of the registry
            says why.
    """
    manager, states = new_manager(), []
    modules = [plugin] if plugin is not None else []
    if core:
        from prodmatch_core.builtin import plugin as builtin

        modules.append(builtin)
    for module in modules:
        package = module.__name__.partition(".")[0]
        state = PluginState(
            package.removeprefix("prodmatch_"), package.replace("_", "-"), "0", module.__name__
        )
        states.append(state)
        add_plugin(manager, module, state)
    if records:
        state = PluginState("given", "given", "0", "given")
        state.records.extend(records)
        states.append(state)
    return Registry(manager, states)
