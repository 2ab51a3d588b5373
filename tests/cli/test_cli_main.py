"""The group: help, version, exit codes, and how errors of every kind are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from fake_parts import fake_registry
from prodmatch_core.cli import COMMANDS
from prodmatch_core.errors import ConfigError, DataError, PluginError, RunError
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import CommandSpec
from source_trees import ROOT


def with_command(command: Any, stand_in: Callable[..., None], name: str = "go") -> Any:
    """Return a registry with a plugin whose command is `command`."""
    stand_in("acme_commands", command=command)
    state = PluginState("acme", "prodmatch-acme", "0.3", "prodmatch_acme.plugin")
    state.records.append(CommandSpec(name=name, summary="Goes.", factory="acme_commands:command"))
    return fake_registry(state)


def raising(error: BaseException) -> click.Command:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def go(as_json: bool) -> None:
        raise error

    return go


# -- help -----------------------------------------------------------------------------------------------------


def test_help_lists_core_and_plugin_commands_with_one_line_each(invoke) -> None:
    assert invoke("--help").stdout == (
        "Usage: prodmatch [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Match shoppers' queries to products with published methods, each a plugin.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
        "Commands:\n"
        "  run         Train, evaluate and save the pipeline of FILE.\n"
        "  validate    Check a pipeline file without running anything.\n"
        "  show        Print a pipeline with every default, and draw it.\n"
        "  compare     Compare finished runs, or one pipeline with settings swapped.\n"
        "  evaluate    Measure a ranking file of any system against judgements.\n"
        "  score       Score a file of query-product pairs with a finished run.\n"
        "  explain     Tell why a finished run decides as it does.\n"
        "  export      Write a run's transformers in a smaller, faster form.\n"
        "  report      Render the report of a finished run again.\n"
        "  data        Make, convert and describe data sets.\n"
        "  plugins     List the installed plugins and their parts.\n"
        "  new-plugin  Make a folder with a plugin that works, to start from.\n"
        "\n"
        "Commands of plugins:\n"
        "  greet  Says hello.\n"
    )


def test_help_points_to_plugins_that_failed(invoke, broken_registry) -> None:
    told = invoke("--help", registry=broken_registry).stdout
    assert told.endswith("1 problem with plugins: see `prodmatch plugins`.\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_help_is_the_first_line_of_the_commands_own_help(name: str) -> None:
    command = COMMANDS[name].load()
    summary = COMMANDS[name].summary
    assert command.help.splitlines()[0].rstrip(".") in (
        summary.rstrip("."),
        "Render the report of a finished run again and print its path",
    )


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["data", "make"], ["plugins", "show"]])
def test_every_command_has_help(invoke, words: list[str]) -> None:
    result = invoke(*words, "-h")
    assert (result.exit_code, result.stdout[:17]) == (0, "Usage: prodmatch ")


def test_version_names_the_program(invoke) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "prodmatch")


def test_plugin_command_runs_like_a_core_command(invoke) -> None:
    result = invoke("greet", "Ada")
    assert (result.exit_code, result.stdout) == (0, "hello Ada\n")


# -- usage ----------------------------------------------------------------------------------------------------


def test_no_command_shows_the_help_and_is_wrong_usage(invoke) -> None:
    result = invoke()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


def test_unknown_command_names_the_nearest(invoke) -> None:
    result = invoke("vaildate", "p.toml")
    assert result.exit_code == 2
    assert result.stderr.endswith('Error: unknown command "vaildate"; did you mean "validate"?\n')


def test_unknown_command_points_to_plugins_that_failed(invoke, broken_registry) -> None:
    result = invoke("recommend", registry=broken_registry)
    assert result.exit_code == 2
    assert result.stderr.endswith("\nA plugin failed to load: see `prodmatch plugins`.\n")


def test_unknown_option_is_wrong_usage(invoke) -> None:
    result = invoke("validate", "p.toml", "--fast")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such option" in result.stderr


def test_wrong_usage_as_json(invoke) -> None:
    result = invoke("validate", "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert json.loads(result.stdout) == {"error": "Missing argument 'FILE'.", "problems": []}


# -- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (DataError("a.csv: line 3: no title."), 1),
        (RunError("runs/demo: exists already."), 1),
        (PluginError("loss acme.loss: cannot load."), 1),
        (ConfigError("member: missing"), 2),
    ],
)
def test_our_errors_are_their_text_on_stderr_and_their_exit_code(
    invoke, stand_in, error: Exception, exit_code: int
) -> None:
    result = invoke("go", registry=with_command(raising(error), stand_in))
    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, "", f"{error}\n")


def test_our_errors_as_json_are_on_stdout(invoke, stand_in) -> None:
    result = invoke("go", "--json", registry=with_command(raising(DataError("no title.")), stand_in))
    assert (result.exit_code, result.stderr) == (1, "")
    assert json.loads(result.stdout) == {"error": "no title.", "problems": []}


def test_configuration_errors_as_json_have_every_problem(invoke) -> None:
    result = invoke(
        "validate", "p.toml", "--json", "--set", "member.0.encoder.width=0", "--set", "pipeline.sead=1"
    )
    assert (result.exit_code, result.stderr) == (2, "")
    assert json.loads(result.stdout)["problems"] == [
        {"path": "pipeline.sead", "message": 'unknown key; did you mean "seed"?'},
        {"path": "member[0].encoder.width", "message": "expected a whole number of at least 1, got 0"},
    ]


def test_json_after_a_double_dash_is_no_option(invoke) -> None:
    result = invoke("validate", "--", "--json")
    assert (result.exit_code, result.stderr) == (2, "--json: no such file\n")


def test_interruption_is_one_line_and_130(invoke, stand_in) -> None:
    result = invoke("go", registry=with_command(raising(KeyboardInterrupt()), stand_in))
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_defects_have_a_line_and_a_traceback(invoke, stand_in) -> None:
    result = invoke("go", registry=with_command(raising(ZeroDivisionError("by zero")), stand_in))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith(
        "\nthis is a defect in prodmatch or a plugin, please report it: ZeroDivisionError: by zero\n"
    )


def test_defects_as_json_keep_stdout_readable(invoke, stand_in) -> None:
    result = invoke("go", "--json", registry=with_command(raising(ZeroDivisionError("by zero")), stand_in))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"].endswith("ZeroDivisionError: by zero")
    assert "Traceback" in result.stderr


def test_factory_that_is_no_command_is_the_plugins_fault(invoke, stand_in) -> None:
    result = invoke("go", registry=with_command(3, stand_in))
    assert (result.exit_code, result.stderr) == (
        1,
        "command go: acme_commands:command is no click command; decorate it\n",
    )


def test_plugin_cannot_take_the_name_of_a_core_command(invoke, stand_in) -> None:
    registry = with_command(raising(AssertionError("called")), stand_in, name="validate")
    assert invoke("validate", "p.toml", registry=registry).exit_code == 0
    assert (
        'command "validate" of prodmatch-acme has the name of a core command and is left out. '
        "Ask its author to rename it.\n"
    ) in invoke("plugins", registry=registry).stdout


# -- the process ----------------------------------------------------------------------------------------------


def test_reader_that_goes_away_ends_the_program_quietly() -> None:
    code = (
        "import sys; from fake_parts import fake_registry; from prodmatch_core.cli import cli\n"
        "sys.stdin.read()\n"  # wait until the reader is gone
        "cli.main(['plugins', '--json'], obj=fake_registry())"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = process.stdout = None
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (141, b"")


def test_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prodmatch_core", "validate", "absent.toml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "absent.toml: no such file\n")


def test_shell_completion_knows_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prodmatch_core"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_PRODMATCH_COMPLETE": "bash_complete",
            "COMP_WORDS": "prodmatch val",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "plain,validate\n"
