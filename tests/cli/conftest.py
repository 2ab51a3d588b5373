"""A command line over the fake parts, and stand-ins for the modules that do the work."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_parts import BASE, fake_registry
from prodmatch_core.cli import cli
from prodmatch_core.plugins import PluginState
from prodmatch_core.registry import Registry

Invoke = Callable[..., Result]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return fake_registry()


@pytest.fixture
def invoke(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a function that runs `prodmatch` with the given words in an empty folder with a valid `p.toml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRODMATCH_DATA", raising=False)
    Path("p.toml").write_text(BASE)

    def run(*words: str, registry: Registry = registry) -> Result:
        return CliRunner().invoke(cli, list(words), obj=registry)

    return run


@pytest.fixture
def broken_registry() -> Registry:
    """Return the fake parts, a plugin that failed, one that is disabled and one that repeats a name."""
    failed = PluginState("acme", "prodmatch-acme", "0.3", "prodmatch_acme.plugin")
    failed.fail("prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy.")
    disabled = PluginState("off", "prodmatch-off", "1.0", "prodmatch_off.plugin", state="disabled")
    disabled.problem = "disabled by PRODMATCH_DISABLE_PLUGINS"
    return fake_registry(failed, disabled)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts a module made of the given names in place of a real one."""

    def put(module: str, **names: Any) -> None:
        made = types.ModuleType(module)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, module, made)

    return put
