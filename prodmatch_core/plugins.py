"""Find plugins, load each on its own, and keep what went wrong so that it can be told.

Why not `pluggy.load_setuptools_entrypoints`: it drops a second distribution that uses the same entry-point
name without a word, and one import error ends the loading of all. Here every plugin is keyed by distribution
and entry point, and a failure becomes a `PluginState` that `prodmatch plugins` prints.

Environment:
    PRODMATCH_DISABLE_PLUGINS: comma-separated distributions or entry points that are not loaded; `*`
        disables all but the built-in parts.
    PRODMATCH_STRICT_PLUGINS: when `1`, the first plugin that fails ends the program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import pluggy

import prodmatch_core
from prodmatch_core import hookspecs
from prodmatch_core.errors import PluginError, did_you_mean
from prodmatch_core.installed import EntryPoint, entry_points
from prodmatch_core.records import Spec

GROUP = "prodmatch"
"Entry-point group that plugins register in."
CORE = "prodmatch-core"
_NAMES_CORE = re.compile(r"prodmatch[-_.]core(?![-_.]?[A-Za-z0-9])", re.IGNORECASE)

RECORD_HOOKS = {
    "prodmatch_encoders": "encoder",
    "prodmatch_negative_generators": "negative-generator",
    "prodmatch_losses": "loss",
    "prodmatch_graph_samplers": "graph-sampler",
    "prodmatch_aggregators": "aggregator",
    "prodmatch_calibrators": "calibrator",
    "prodmatch_datasets": "dataset",
    "prodmatch_measures": "measure",
    "prodmatch_commands": "command",
}
"hook -> kind of the records it returns."


@attrs.define
class PluginState:
    """One plugin as found: where it comes from, what it registered, and what is wrong with it."""

    entry_point: str
    distribution: str
    version: str
    module: str
    state: str = "ok"
    "`ok`, `disabled` or `failed`."
    problem: str = ""
    "One line: what is wrong and what to do."
    trace: str = ""
    "Last lines of the traceback that stand in the plugin's own code, for its author."
    records: list[Spec] = attrs.field(factory=list)
    requires: Sequence[str] = ()
    "What its distribution requires, as its metadata says."

    @property
    def key(self) -> str:
        """Return the name the plugin is registered under, unique across distributions."""
        return f"{self.distribution}:{self.entry_point}"

    @property
    def remedy(self) -> str:
        """Return what a user can do about a plugin whose code is at fault."""
        return f"Repair or uninstall {self.distribution}."

    def fail(self, problem: str, error: BaseException | None = None) -> None:
        """Mark the plugin as failed. Its records are withdrawn, because half a plugin is worse than none."""
        self.state, self.problem, self.records = "failed", problem, []
        if error is not None:
            self.trace = _last_lines(error)


def _told(error: BaseException) -> str:
    """Return an error's type and message on one line, without a full stop."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")


def _last_lines(error: BaseException) -> str:
    """Return where in the plugin's own code an error was raised, and the error; nothing where it is ours."""
    import traceback

    told = traceback.TracebackException.from_exception(error)
    own = [frame for frame in told.stack if not _ours(frame.filename)]
    if not own and not isinstance(error, SyntaxError):
        return ""
    told.stack = traceback.StackSummary.from_list(own[-2:])
    lines = "".join(told.format(chain=False)).strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("Traceback "))


def _ours(file: str) -> bool:
    """Whether a frame belongs to what loads plugins: the import system, attrs, these modules."""
    folder, name = os.path.split(file)
    here = os.path.dirname(os.path.abspath(__file__))
    return (
        file.startswith("<")
        or (name == "__init__.py" and os.path.basename(folder) == "importlib")
        or (folder == here and name in ("plugins.py", "installed.py", "records.py"))
    )


def discover() -> Iterator[tuple[EntryPoint, PluginState]]:
    """Yield every installed entry point of the group once, the built-in parts first."""
    found = [
        (
            point,
            PluginState(point.name, point.distribution, point.version, point.value, requires=point.requires),
        )
        for point in entry_points(GROUP)
    ]
    yield from sorted(
        found, key=lambda pair: (pair[1].distribution != CORE, pair[1].distribution, pair[1].entry_point)
    )


def _disabled(state: PluginState) -> bool:
    words = {w.strip() for w in os.environ.get("PRODMATCH_DISABLE_PLUGINS", "").split(",")} - {""}
    if state.distribution == CORE:
        return False
    return "*" in words or bool(words & {state.distribution, state.entry_point, state.key})


def _core_requirement(state: PluginState, core: str) -> str:
    """Return the plugin's requirement on the core if version `core` does not meet it, else an empty text."""
    texts = [text for text in state.requires if _NAMES_CORE.match(text)]
    if core == prodmatch_core.UNINSTALLED or all(_plainly_met(text, core) for text in texts):
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(core, prereleases=True):
            return str(requirement)
    return ""


def _plainly_met(requirement: str, version: str) -> bool:
    """Whether plain numbers show that `version` meets `prodmatch-core>=0.1,<0.2`; False when in doubt.

    `packaging` decides the rest. Importing it costs a tenth of the time in which `prodmatch --help` is done.
    """
    if not re.fullmatch(r"[\w.-]+?((>=|<)\d+(\.\d+)*(,|$))*", requirement) or not re.fullmatch(
        r"[\d.]+", version
    ):
        return False
    here = _release(version)
    return all(
        here >= _release(bound) if sign == ">=" else here < _release(bound)
        for sign, bound in re.findall(r"(>=|<)([\d.]+)", requirement)
    )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.sub(r"(\.0+)+$", "", version).split("."))


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the hooks and has no plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def add_plugin(manager: pluggy.PluginManager, module: Any, state: PluginState) -> None:
    """Register `module` and collect its records into `state`; on failure the module is taken out again."""
    try:
        manager.register(module, name=state.key)
    except Exception as error:  # a plugin may fail in any way it likes; that is what isolation is for
        state.fail(f"{state.key}: cannot be registered: {_told(error)}. {state.remedy}", error)
        if manager.has_plugin(state.key):  # pluggy keeps the hooks it took before it met the one it refused
            manager.unregister(name=state.key)
        return
    # Any name that starts with our prefix was meant as a hook, marked or not.
    meant = [name for name in vars(module) if name.startswith("prodmatch_") and callable(vars(module)[name])]
    unknown = [name for name in meant if not hasattr(hookspecs, name)]
    unmarked = [name for name in meant if not hasattr(vars(module)[name], "prodmatch_impl")]
    if unknown or unmarked:
        known = [n for n in vars(hookspecs) if n.startswith("prodmatch_")]
        state.fail(
            f"{state.key}: rename {unknown[0]}(): unknown hook{did_you_mean(unknown[0], known)}"
            if unknown
            else f"{state.key}: {unmarked[0]}() is not marked as a hook: put @hookimpl above it"
        )
        manager.unregister(module)
        return
    for hook, kind in RECORD_HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            try:
                state.records.extend(_checked(implementation.function(), hook, kind))
            except (Exception, SystemExit) as error:  # as above: the plugin's fault and ours to report
                state.fail(f"{state.key}: {hook}() failed: {_told(error)}. {state.remedy}", error)
                manager.unregister(module)
                return


def _checked(records: Any, hook: str, kind: str) -> Iterator[Spec]:
    if records is None:
        return
    if not isinstance(records, Iterable):
        raise PluginError(f"expected an iterable of records, got {type(records).__name__}")
    for record in records:
        if not isinstance(record, Spec) or record.kind != kind:
            raise PluginError(f"expected {kind} records, got {record!r}")
        yield record


def load_plugins(
    points: Iterable[tuple[EntryPoint, PluginState]] | None = None,
) -> tuple[pluggy.PluginManager, list[PluginState]]:
    """Load every plugin that is installed and enabled.

    Returns:
        The plugin manager with all healthy plugins, and the state of every plugin found.

    Raises:
        PluginError: a plugin failed and PRODMATCH_STRICT_PLUGINS is set.
    """
    manager = new_manager()
    found = list(discover() if points is None else points)
    installed = [state.version for _, state in found if state.distribution == CORE]
    core = installed[0] if installed else prodmatch_core.__version__
    states = []
    for point, state in found:
        states.append(state)
        if _disabled(state):
            state.state, state.problem = "disabled", "disabled by PRODMATCH_DISABLE_PLUGINS"
            continue
        if requirement := _core_requirement(state, core):
            state.fail(
                f"{state.key}: made for {requirement}, this is {CORE} {core}. "
                f"Upgrade {CORE}, or install an older {state.distribution}."
            )
        else:
            try:
                module = point.load()
            except (Exception, SystemExit) as error:  # as above
                state.fail(
                    f"{state.key}: import of {state.module} failed: {_told(error)}. {state.remedy}",
                    error,
                )
            else:
                add_plugin(manager, module, state)
        if state.state == "failed" and os.environ.get("PRODMATCH_STRICT_PLUGINS") == "1":
            raise PluginError(f"{state.problem}\n{state.trace}".strip())
    return manager, states
