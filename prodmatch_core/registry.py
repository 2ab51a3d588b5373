"""Which parts there are: kind -> name -> record, built once from the loaded plugins."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pluggy

from prodmatch_core.errors import ConfigError, did_you_mean, with_article
from prodmatch_core.plugins import PluginState, load_plugins
from prodmatch_core.records import PART_KINDS, MeasureSpec, Spec

_AT = re.compile(r"(.+@)[1-9][0-9]{0,8}")


@attrs.frozen(eq=False)
class Registry:
    """All parts of all healthy plugins, and what is wrong with the others."""

    manager: pluggy.PluginManager
    plugins: Sequence[PluginState]

    @functools.cached_property
    def _owners(self) -> dict[tuple[str, str], list[tuple[PluginState, Spec]]]:
        owners: dict[tuple[str, str], list[tuple[PluginState, Spec]]] = {}
        for plugin in self.plugins:
            for record in plugin.records:
                owners.setdefault((record.kind, record.name), []).append((plugin, record))
        return owners

    def get(self, kind: str, name: str) -> Spec:
        """Return the record of a part; of a measure like `ndcg@20`, the member of the family `ndcg@k`.

        Raises:
            ConfigError: the name is unknown, claimed twice, or belongs to a plugin that failed to load.
        """
        family = self._family(kind, name)
        found = self._owners.get((kind, family or name), [])
        if len(found) == 1:
            spec = found[0][1]
            return spec.at(int(name.rpartition("@")[2])) if family and isinstance(spec, MeasureSpec) else spec
        if found:
            name = family or name
            raise ConfigError(self._duplicate(kind, name, [plugin for plugin, _ in found]))
        if plugin := self.missing(name):
            raise ConfigError(f'{kind} "{name}" is not available: {plugin.problem}')
        elsewhere = [other for other in PART_KINDS if (other, name) in self._owners]
        if elsewhere:
            raise ConfigError(
                f'"{name}" is {with_article(elsewhere[0])}; {with_article(kind)} is expected here'
            )
        raise ConfigError(f'unknown {kind} "{name}"{did_you_mean(name, self._nearby(kind, name))}')

    def missing(self, name: str) -> PluginState | None:
        """Return the plugin that would have a part of that name, by its first word, were it not failed or disabled."""
        prefix = name.partition(".")[0]
        for plugin in self.plugins:
            mine = prefix in (plugin.entry_point, plugin.distribution.removeprefix("prodmatch-"))
            if mine and plugin.state != "ok":
                return plugin
        return None

    def measure(self, name: str) -> MeasureSpec:
        """Return the record of a measure that can be computed.

        Raises:
            ConfigError: as `get`, or the name is a family's, without a number.
        """
        spec = self.get("measure", name)
        assert isinstance(spec, MeasureSpec)
        if spec.family:
            raise ConfigError(f'measure "{name}": write a number for k, like "{spec.at(10).name}"')
        return spec

    def knows(self, kind: str, name: str) -> bool:
        """Return whether some plugin has a part of that name, or the family it is a member of."""
        return (kind, self._family(kind, name) or name) in self._owners

    def _family(self, kind: str, name: str) -> str | None:
        """Return the family that a name like `ndcg@20` belongs to, None where it is a name of its own."""
        stem = _AT.fullmatch(name) if kind == "measure" and (kind, name) not in self._owners else None
        return f"{stem[1]}k" if stem and (kind, f"{stem[1]}k") in self._owners else None

    def _nearby(self, kind: str, name: str) -> list[str]:
        """Return the names to suggest in place of a wrong one: a family's with the number that was asked for."""
        number = name.rpartition("@")[2] if _AT.fullmatch(name) else "k"
        return [
            f"{known.removesuffix('@k')}@{number}" if known.endswith("@k") else known
            for known in self.names(kind)
        ]

    def names(self, kind: str) -> list[str]:
        """Return the names of all parts of one kind, sorted."""
        return sorted(name for k, name in self._owners if k == kind)

    def specs(self, kind: str) -> Iterator[Spec]:
        """Yield the records of one kind that can be used, by name."""
        for name in self.names(kind):
            found = self._owners[kind, name]
            if len(found) == 1:
                yield found[0][1]

    def owner(self, spec: Spec) -> PluginState:
        """Return the plugin that registered `spec`, or the family it is a member of."""
        return self._owners[spec.kind, self._family(spec.kind, spec.name) or spec.name][0][0]

    def state(self, plugin: PluginState) -> str:
        """Return `ok`, `disabled`, `failed`, or `clash`: another plugin claims the name of one of its parts."""
        clash = any(len(self._owners[record.kind, record.name]) > 1 for record in plugin.records)
        return "clash" if clash else plugin.state

    def problems(self, of: PluginState | None = None) -> list[str]:
        """Return one line for every plugin that failed and every name claimed twice; or those `of` one plugin."""
        lines = [p.problem for p in self.plugins if p.state == "failed" and of in (None, p)]
        for (kind, name), found in self._owners.items():
            claimants = [plugin for plugin, _ in found]
            if len(found) > 1 and (of is None or of in claimants):
                lines.append(self._duplicate(kind, name, claimants))
        return lines

    @staticmethod
    def _duplicate(kind: str, name: str, plugins: Sequence[PluginState]) -> str:
        who = " and ".join(f"{p.distribution} {p.version} ({p.module})" for p in plugins)
        return (
            f'{kind} "{name}" is claimed by {who}. Uninstall one of them, or disable one: '
            f"PRODMATCH_DISABLE_PLUGINS={plugins[-1].distribution}"
        )

    def announce(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a life-cycle or report hook of every plugin; one that raises is logged and left out."""
        import logging

        results = []
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            wanted = {name: arguments[name] for name in implementation.argnames}
            try:
                result = implementation.function(**wanted)
                results.append(list(result) if result is not None else [])
            except Exception as error:  # a tracker or a picture must not cost the run its result
                logging.getLogger("prodmatch").warning(
                    "plugin %s: %s() failed and was left out: %s: %s",
                    implementation.plugin_name,
                    hook,
                    type(error).__name__,
                    error,
                )
        return [item for result in results for item in result]


@functools.cache
def default_registry() -> Registry:
    """Return the registry of the plugins installed in this environment, loaded once per process."""
    manager, states = load_plugins()
    return Registry(manager, states)
