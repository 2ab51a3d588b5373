"""One broken plugin never breaks the rest: whatever it does, it is reported and the others work."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

import prodmatch_core
from prodmatch_core import hookimpl, plugins
from prodmatch_core.errors import ConfigError, PluginError
from prodmatch_core.installed import EntryPoint
from prodmatch_core.plugins import PluginState, load_plugins
from prodmatch_core.records import EncoderSpec, LossSpec, MeasureSpec, Spec
from prodmatch_core.registry import Registry


@attrs.frozen
class FakePoint:
    """Stands for an entry point; `make` returns the plugin's module or raises."""

    make: Callable[[], Any]

    def load(self) -> Any:
        return self.make()


def plugin(
    make: Any, name: str = "acme", distribution: str | None = None, requires: Iterable[str] = ()
) -> tuple[Any, PluginState]:
    point = FakePoint(make if callable(make) else lambda: make)
    distribution = distribution or f"prodmatch-{name}"
    return point, PluginState(name, distribution, "0.3", f"prodmatch_{name}.plugin", requires=tuple(requires))


def module(name: str = "prodmatch_acme", **functions: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(functions)
    return made


def losses(*names: str) -> Callable[[], list[LossSpec]]:
    @hookimpl
    def prodmatch_losses() -> list[LossSpec]:
        return [LossSpec(name=name, summary="A loss.", factory="acme.loss:Loss") for name in names]

    return prodmatch_losses


def healthy() -> tuple[Any, PluginState]:
    return plugin(module("prodmatch_well", prodmatch_losses=losses("well.loss")), "well")


def load(*found: tuple[Any, PluginState]) -> tuple[Registry, list[PluginState]]:
    manager, states = load_plugins(found)
    return Registry(manager, states), states


def assert_only_the_healthy_one_works(*found: tuple[Any, PluginState], problem: str) -> PluginState:
    registry, states = load(*found, healthy())
    assert [(state.state, state.records == []) for state in states] == [("failed", True), ("ok", False)]
    assert states[0].problem == problem
    assert registry.names("loss") == ["well.loss"]
    assert [name for name, _ in registry.manager.list_name_plugin()] == ["prodmatch-well:well"]
    return states[0]


def raiser(error: BaseException) -> Callable[[], Any]:
    def make() -> Any:
        raise error

    return make


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImportError("no module named scipy"), "ImportError: no module named scipy"),
        (SyntaxError("invalid syntax"), "SyntaxError: invalid syntax"),
        (OSError("libgomp.so.1: cannot open"), "OSError: libgomp.so.1: cannot open"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_plugin_that_fails_on_import(error: BaseException, told: str) -> None:
    state = assert_only_the_healthy_one_works(
        plugin(raiser(error)),
        problem=f"prodmatch-acme:acme: import of prodmatch_acme.plugin failed: {told}. "
        "Repair or uninstall prodmatch-acme.",
    )
    assert type(error).__name__ in state.trace


def test_trace_has_the_plugins_own_frames_and_not_the_loaders(tmp_path: Path) -> None:
    (tmp_path / "acme_deep.py").write_text("def draw():\n    raise ValueError('no\\nscreen.')\ndraw()\n")
    state = PluginState("acme", "prodmatch-acme", "0.3", "acme_deep")
    sys.path.insert(0, str(tmp_path))
    try:
        load((EntryPoint("acme", "acme_deep", "prodmatch-acme", "0.3"), state))
    finally:
        sys.path.remove(str(tmp_path))
    assert state.problem == (
        "prodmatch-acme:acme: import of acme_deep failed: ValueError: no screen. Repair or uninstall prodmatch-acme."
    )
    file = tmp_path / "acme_deep.py"
    assert state.trace == (
        f'  File "{file}", line 3, in <module>\n    draw()\n  File "{file}", line 2, in draw\n'
        "    raise ValueError('no\\nscreen.')\nValueError: no\nscreen."
    )


def test_trace_of_a_record_that_is_refused_ends_at_the_line_that_made_it() -> None:
    _, states = load(plugin(module(prodmatch_losses=losses("Acme.Loss"))))
    assert [Path(name).name for name in re.findall(r'File "(.+?)"', states[0].trace)][-1] == Path(
        __file__
    ).name


def test_ctrl_c_during_an_import_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        load(plugin(raiser(KeyboardInterrupt())))


def test_hook_that_raises() -> None:
    @hookimpl
    def prodmatch_losses() -> None:
        raise KeyError("weights")

    assert_only_the_healthy_one_works(
        plugin(module(prodmatch_losses=prodmatch_losses)),
        problem="prodmatch-acme:acme: prodmatch_losses() failed: KeyError: 'weights'. Repair or uninstall prodmatch-acme.",
    )


def test_hook_that_raises_after_its_first_record_registers_nothing() -> None:
    @hookimpl
    def prodmatch_losses() -> Iterable[Spec]:
        yield LossSpec(name="acme.one", summary="One.", factory="a:B")
        raise ValueError("half way")

    assert_only_the_healthy_one_works(
        plugin(module(prodmatch_losses=prodmatch_losses)),
        problem="prodmatch-acme:acme: prodmatch_losses() failed: ValueError: half way. Repair or uninstall prodmatch-acme.",
    )


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (3, "expected an iterable of records, got int"),
        (["acme.loss"], "expected loss records, got 'acme.loss'"),
        ([None], "expected loss records, got None"),
    ],
)
def test_hook_that_returns_rubbish(returned: Any, told: str) -> None:
    @hookimpl
    def prodmatch_losses() -> Any:
        return returned

    assert_only_the_healthy_one_works(
        plugin(module(prodmatch_losses=prodmatch_losses)),
        problem=f"prodmatch-acme:acme: prodmatch_losses() failed: PluginError: {told}. Repair or uninstall prodmatch-acme.",
    )


def test_record_of_the_wrong_kind() -> None:
    @hookimpl
    def prodmatch_losses() -> Any:
        yield EncoderSpec(name="acme.text", summary="Text.", factory="a:B")

    state = plugin(module(prodmatch_losses=prodmatch_losses))
    registry, states = load(state)
    assert states[0].problem.startswith(
        "prodmatch-acme:acme: prodmatch_losses() failed: PluginError: expected loss records, got EncoderSpec("
    )
    assert registry.names("encoder") == []


def test_hook_that_returns_none_registers_nothing_and_is_well() -> None:
    @hookimpl
    def prodmatch_losses() -> None:
        return None

    _, states = load(plugin(module(prodmatch_losses=prodmatch_losses)))
    assert (states[0].state, states[0].records) == ("ok", [])


def test_misspelled_hook() -> None:
    @hookimpl
    def prodmatch_loses() -> list[Spec]:
        return []

    assert_only_the_healthy_one_works(
        plugin(module(prodmatch_loses=prodmatch_loses)),
        problem='prodmatch-acme:acme: rename prodmatch_loses(): unknown hook; did you mean "prodmatch_losses"?',
    )


def test_hook_without_the_mark() -> None:
    def prodmatch_losses() -> list[Spec]:
        return []

    assert_only_the_healthy_one_works(
        plugin(module(prodmatch_losses=prodmatch_losses)),
        problem="prodmatch-acme:acme: prodmatch_losses() is not marked as a hook: put @hookimpl above it",
    )


def test_hook_with_an_argument_it_does_not_have_leaves_no_half_plugin_behind() -> None:
    heard = []

    @hookimpl
    def prodmatch_run_finished(run: Any) -> None:
        heard.append(run)

    @hookimpl
    def prodmatch_run_started(run: Any, colour: str) -> None:
        heard.append(colour)

    state = plugin(
        module(prodmatch_run_finished=prodmatch_run_finished, prodmatch_run_started=prodmatch_run_started)
    )
    registry, states = load(state, healthy())
    assert states[0].problem.startswith("prodmatch-acme:acme: cannot be registered: ")
    assert "colour" in states[0].problem
    registry.announce("prodmatch_run_finished", run="r", report={})
    assert heard == []


def test_one_module_under_two_names_is_registered_once() -> None:
    shared = module(prodmatch_losses=losses("acme.loss"))
    registry, states = load(plugin(shared, "acme"), plugin(shared, "copy"))
    assert [state.state for state in states] == ["ok", "failed"]
    assert registry.names("loss") == ["acme.loss"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"name": "Acme.Loss"}, 'loss "Acme.Loss": a name is <plugin>.<part>, lower case, like "tcm.margin"'),
        ({"name": "loss"}, 'loss "loss": a name is <plugin>.<part>, lower case, like "tcm.margin"'),
        ({"needs": {"logit"}}, "acme.loss: needs names logit; known: products, queries"),
        ({"config": int}, "loss acme.loss: config must be an attrs class, got <class 'int'>"),
        ({"config": "acme.configs"}, 'loss acme.loss: config "acme.configs" is not package.module:Class'),
    ],
)
def test_malformed_record(record: dict[str, Any], told: str) -> None:
    @hookimpl
    def prodmatch_losses() -> Iterable[Spec]:
        yield LossSpec(**{"name": "acme.loss", "summary": "", "factory": "a:B", **record})

    _, states = load(plugin(module(prodmatch_losses=prodmatch_losses)))
    assert states[0].problem.startswith(
        f"prodmatch-acme:acme: prodmatch_losses() failed: PluginError: {told}"
    )


def test_measure_without_a_known_direction() -> None:
    @hookimpl
    def prodmatch_measures() -> Iterable[Spec]:
        yield MeasureSpec(name="ndcg@10", summary="", factory="a:b", direction="up")

    _, states = load(plugin(module(prodmatch_measures=prodmatch_measures)))
    assert "prodmatch_measures() failed" in states[0].problem


# -- names ---------------------------------------------------------------------------------------------------


def test_same_part_name_in_two_distributions_is_an_error_that_names_both() -> None:
    registry, _ = load(
        plugin(module("a", prodmatch_losses=losses("acme.loss", "acme.other")), "acme"),
        plugin(module("b", prodmatch_losses=losses("acme.loss")), "bold"),
    )
    told = (
        'loss "acme.loss" is claimed by prodmatch-acme 0.3 (prodmatch_acme.plugin) and prodmatch-bold 0.3 '
        "(prodmatch_bold.plugin). Uninstall one of them, or disable one: PRODMATCH_DISABLE_PLUGINS=prodmatch-bold"
    )
    with pytest.raises(ConfigError) as caught:
        registry.get("loss", "acme.loss")
    assert str(caught.value) == told
    assert registry.problems() == [told]
    assert [registry.state(state) for state in registry.plugins] == ["clash", "clash"]
    assert [spec.name for spec in registry.specs("loss")] == ["acme.other"]


def test_same_entry_point_name_in_two_distributions_loads_both() -> None:
    registry, states = load(
        plugin(module("a", prodmatch_losses=losses("one.loss")), "extra", "prodmatch-one"),
        plugin(module("b", prodmatch_losses=losses("two.loss")), "extra", "prodmatch-two"),
    )
    assert [state.key for state in states] == ["prodmatch-one:extra", "prodmatch-two:extra"]
    assert registry.names("loss") == ["one.loss", "two.loss"]


def test_the_same_name_may_be_used_for_different_kinds() -> None:
    @hookimpl
    def prodmatch_encoders() -> Iterable[Spec]:
        yield EncoderSpec(name="acme.both", summary="", factory="a:B")

    registry, _ = load(
        plugin(module(prodmatch_losses=losses("acme.both"), prodmatch_encoders=prodmatch_encoders))
    )
    assert registry.get("loss", "acme.both").kind == "loss"
    assert registry.get("encoder", "acme.both").kind == "encoder"


# -- versions and switches -----------------------------------------------------------------------------------


@pytest.fixture
def core_1_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prodmatch_core, "__version__", "1.2")


@pytest.mark.usefixtures("core_1_2")
@pytest.mark.parametrize(
    "requirement", ["prodmatch-core>=2", "prodmatch_core >= 2", "prodmatch-core<1; python_version>'3'"]
)
def test_plugin_made_for_another_core_is_not_imported(requirement: str) -> None:
    state = plugin(raiser(AssertionError("imported")), requires=["numpy", requirement])
    _, states = load(state)
    assert states[0].state == "failed"
    assert states[0].problem.startswith("prodmatch-acme:acme: made for prodmatch")
    assert states[0].problem.endswith(
        "this is prodmatch-core 1.2. Upgrade prodmatch-core, or install an older prodmatch-acme."
    )


@pytest.mark.usefixtures("core_1_2")
@pytest.mark.parametrize(
    "requirement",
    [
        "prodmatch-core>=1",
        "prodmatch-core",
        "prodmatch-core>=9; extra == 'next'",
        "prodmatch-core-extras>=9",
        "prodmatch-core>>9",
    ],
)
def test_plugin_that_fits_the_core_loads(requirement: str) -> None:
    _, states = load(plugin(module(prodmatch_losses=losses("acme.loss")), requires=[requirement]))
    assert states[0].state == "ok"


@given(
    here=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    bounds=st.lists(
        st.tuples(st.sampled_from([">=", "<", "=="]), st.lists(st.integers(0, 3), min_size=1, max_size=4)),
        max_size=3,
    ),
)
def test_quick_look_at_a_requirement_never_accepts_what_packaging_refuses(
    here: list[int], bounds: list[tuple[str, list[int]]]
) -> None:
    version = ".".join(map(str, here))
    text = "prodmatch-core" + ",".join(sign + ".".join(map(str, bound)) for sign, bound in bounds)
    if plugins._plainly_met(text, version):
        assert Requirement(text).specifier.contains(version)
    else:
        assert "==" in text or not Requirement(text).specifier.contains(version)


@pytest.mark.parametrize(
    "text",
    ["prodmatch-core~=0.1", "prodmatch-core!=1.0", "prodmatch-core>=1; extra == 'x'", "prodmatch-core[x]"],
)
def test_quick_look_leaves_anything_unusual_to_packaging(text: str) -> None:
    assert not plugins._plainly_met(text, "1.0")


def test_source_tree_without_a_version_accepts_every_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prodmatch_core, "__version__", prodmatch_core.UNINSTALLED)
    _, states = load(plugin(module(prodmatch_losses=losses("acme.loss")), requires=["prodmatch-core>=1"]))
    assert states[0].state == "ok"


@pytest.mark.parametrize("word", ["prodmatch-acme", "acme", "prodmatch-acme:acme", "*", "x, acme"])
def test_disabled_plugin_is_not_imported_and_says_so(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("PRODMATCH_DISABLE_PLUGINS", word)
    registry, states = load(plugin(raiser(AssertionError("imported"))))
    assert (states[0].state, states[0].problem) == ("disabled", "disabled by PRODMATCH_DISABLE_PLUGINS")
    with pytest.raises(
        ConfigError, match=r'"acme.loss" is not available: disabled by PRODMATCH_DISABLE_PLUGINS'
    ):
        registry.get("loss", "acme.loss")


def test_the_cores_own_parts_cannot_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODMATCH_DISABLE_PLUGINS", "*")
    found = plugin(module(prodmatch_losses=losses("core.loss")), "core", plugins.CORE)
    _, states = load(found)
    assert states[0].state == "ok"


def test_strict_mode_ends_at_the_first_failure_with_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODMATCH_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError) as caught:
        load(plugin(raiser(ImportError("no scipy"))), healthy())
    assert str(caught.value).startswith("prodmatch-acme:acme: import of prodmatch_acme.plugin failed")
    assert str(caught.value).endswith("ImportError: no scipy")


# -- at work -------------------------------------------------------------------------------------------------


def test_listener_that_raises_is_logged_and_the_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    heard = []

    @hookimpl
    def bad(run: Any) -> None:
        raise RuntimeError("tracker is down")

    @hookimpl
    def good(run: Any) -> None:
        heard.append(run)

    registry, _ = load(
        plugin(module("a", prodmatch_run_started=bad), "bad"),
        plugin(module("b", prodmatch_run_started=good), "good"),
    )
    registry.announce("prodmatch_run_started", run="the run")
    assert heard == ["the run"]
    assert caplog.messages == [
        "plugin prodmatch-bad:bad: prodmatch_run_started() failed and was left out: RuntimeError: tracker is down"
    ]


def test_part_whose_module_cannot_be_imported_names_part_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *rest: Any) -> None:
            if name == "acme_broken":
                raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(PluginError) as caught:
        LossSpec(name="acme.loss", summary="", factory="acme_broken:Loss").load()
    assert str(caught.value) == (
        "loss acme.loss: cannot load acme_broken:Loss: OSError: libgomp.so.1: cannot open shared object file. "
        "Reinstall the distribution that provides it; `prodmatch plugins` names it."
    )


def test_configuration_class_may_be_named_and_is_imported_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = LossSpec(name="acme.loss", summary="", factory="a:B", config="acme_configs:Config")
    made = attrs.make_class("Config", ["x"])
    monkeypatch.setitem(sys.modules, "acme_configs", module("acme_configs", Config=made))
    assert spec.config is made


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("absent_module:Config", "cannot load absent_module:Config: ModuleNotFoundError: No module named"),
        ("builtins:int", "config must be an attrs class, got <class 'int'>"),
    ],
)
def test_named_configuration_class_that_is_none_is_the_plugins_fault(named: str, told: str) -> None:
    spec = LossSpec(name="acme.loss", summary="", factory="a:B", config=named)
    with pytest.raises(PluginError, match=f"loss acme.loss: {told}"):
        _ = spec.config


def test_version_of_the_core_that_was_discovered_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prodmatch_core, "__version__", "1.2")
    core = plugin(module("core"), "core", plugins.CORE)
    assert core[1].version == "0.3"
    _, states = load(core, plugin(raiser(AssertionError("imported")), requires=["prodmatch-core>=1"]))
    assert states[1].problem.startswith(
        "prodmatch-acme:acme: made for prodmatch-core>=1, this is prodmatch-core 0.3. "
    )
