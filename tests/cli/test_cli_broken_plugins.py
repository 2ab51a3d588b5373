"""Plugins broken in four ways, as real distributions on the path: each is one line, and everything else works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distributions import lay_out

LOSS = """
    from prodmatch_core import hookimpl
    from prodmatch_core.records import LossSpec

    @hookimpl
    def prodmatch_losses():
        yield LossSpec(name="twin.loss", summary="A loss.", factory="acme.loss:Loss")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of five plugins, of which only prodmatch-well is sound."""
    folder = tmp_path_factory.mktemp("site")
    lay_out(folder, "prodmatch-crash", "import numpy\n\nraise OSError('libcrash.so: cannot open')\n")
    lay_out(folder, "prodmatch-newer", "raise AssertionError('imported')\n", requires="prodmatch-core>=9")
    lay_out(folder, "prodmatch-twin", LOSS)
    lay_out(folder, "prodmatch-twin2", LOSS)
    lay_out(folder, "prodmatch-typo", LOSS.replace("prodmatch_losses", "prodmatch_loses"))
    lay_out(folder, "prodmatch-well", LOSS.replace("twin.loss", "well.loss"))
    return folder


def prodmatch(site: Path, repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(repository), str(site)])
    return subprocess.run(
        [sys.executable, "-m", "prodmatch_core", *words],
        env={**os.environ, "PYTHONPATH": path},
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_broken_plugin_is_one_line_with_what_to_do(site: Path, repository: Path) -> None:
    listed = json.loads(prodmatch(site, repository, "plugins", "--json").stdout)
    core = next(p["version"] for p in listed["plugins"] if p["distribution"] == "prodmatch-core")
    assert listed["problems"] == [
        "prodmatch-crash:crash: import of prodmatch_crash.plugin failed: OSError: libcrash.so: cannot open. "
        "Repair or uninstall prodmatch-crash.",
        f"prodmatch-newer:newer: made for prodmatch-core>=9, this is prodmatch-core {core}. Upgrade prodmatch-core, "
        "or install an older prodmatch-newer.",
        'prodmatch-typo:typo: rename prodmatch_loses(): unknown hook; did you mean "prodmatch_losses"?',
        'loss "twin.loss" is claimed by prodmatch-twin 0.3 (prodmatch_twin.plugin) and prodmatch-twin2 0.3 '
        "(prodmatch_twin2.plugin). Uninstall one of them, or disable one: PRODMATCH_DISABLE_PLUGINS=prodmatch-twin2",
    ]


def test_states_of_all_plugins(site: Path, repository: Path) -> None:
    listed = json.loads(prodmatch(site, repository, "plugins", "--json").stdout)
    states = {p["distribution"]: p["state"] for p in listed["plugins"]}
    assert {name: states[name] for name in states if name.removeprefix("prodmatch-") in ROWS} == {
        f"prodmatch-{name}": state for name, state in ROWS.items()
    }


ROWS = {
    "core": "ok",
    "crash": "failed",
    "newer": "failed",
    "twin": "clash",
    "twin2": "clash",
    "typo": "failed",
    "well": "ok",
}


def test_list_shows_the_last_lines_of_the_plugins_own_traceback(site: Path, repository: Path) -> None:
    listed = prodmatch(site, repository, "plugins")
    assert listed.returncode == 0
    file = site / "prodmatch_crash" / "plugin.py"
    assert (
        "Repair or uninstall prodmatch-crash.\n"
        f'    File "{file}", line 3, in <module>\n'
        "      raise OSError('libcrash.so: cannot open')\n"
        "  OSError: libcrash.so: cannot open\n"
    ) in listed.stdout


def test_sound_plugins_and_pipelines_work_beside_the_broken_ones(site: Path, repository: Path) -> None:
    shown = prodmatch(site, repository, "plugins", "show", "well.loss")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, "well.loss (loss): A loss.")
    valid = prodmatch(
        site, repository, "validate", "pipelines/first.toml", "--set", 'member.0.loss.0.use="well.loss"'
    )
    assert (valid.returncode, valid.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("crash.loss", "libcrash.so: cannot open"),
        ("newer.loss", "made for prodmatch-core>=9"),
        ("typo.loss", "rename prodmatch_loses()"),
        ("twin.loss", "is claimed by prodmatch-twin 0.3"),
    ],
)
def test_pipeline_that_asks_for_a_broken_part_is_told_why(
    site: Path, repository: Path, name: str, told: str
) -> None:
    answer = prodmatch(
        site, repository, "validate", "pipelines/first.toml", "--set", f'member.0.loss.0.use="{name}"'
    )
    assert answer.returncode == 2
    assert told in answer.stderr
