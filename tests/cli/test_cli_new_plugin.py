"""`new-plugin`: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_parts import fake_registry
from prodmatch_core.plugins import PluginState


def test_it_lists_the_files_and_the_next_steps(invoke) -> None:
    result = invoke("new-plugin", "acme-reranker", "--kind", "encoder")
    assert result.exit_code == 0
    assert result.stdout == (
        "acme-reranker: prodmatch-acme-reranker with the encoder acme_reranker.words\n"
        "  .gitignore\n"
        "  README.md\n"
        "  pipelines/acme_reranker.toml\n"
        "  pyproject.toml\n"
        "  src/prodmatch_acme_reranker/__init__.py\n"
        "  src/prodmatch_acme_reranker/plugin.py\n"
        "  src/prodmatch_acme_reranker/words.py\n"
        "  tests/test_conformance.py\n"
        "  tests/test_words.py\n"
        "\n"
        "Next:\n"
        "\n"
        "  cd acme-reranker\n"
        '  pip install -e ".[test]"\n'
        "  pytest\n"
        "  prodmatch run pipelines/acme_reranker.toml\n"
    )


def test_into_names_the_folder_it_is_put_in(invoke) -> None:
    result = invoke("new-plugin", "acme", "--kind", "measure", "--into", "deep/down", "--json")
    made = json.loads(result.stdout)
    assert (made["folder"], made["distribution"], made["package"], made["part"]) == (
        "deep/down/acme",
        "prodmatch-acme",
        "prodmatch_acme",
        "acme.sure_errors",
    )
    assert all(Path(file).is_file() for file in made["files"])


def test_a_command_is_tried_on_the_run_of_its_pipeline(invoke) -> None:
    lines = invoke("new-plugin", "acme-look", "--kind", "command").stdout.splitlines()
    assert lines[-2:] == ["  prodmatch run pipelines/acme_look.toml", "  prodmatch acme-look runs/acme-look"]


def test_the_prefix_of_the_distribution_may_be_given(invoke) -> None:
    made = json.loads(invoke("new-plugin", "prodmatch-acme", "--kind", "loss", "--json").stdout)
    assert (made["folder"], made["distribution"], made["part"]) == (
        "prodmatch-acme",
        "prodmatch-acme",
        "acme.sharp",
    )


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_nothing_that_is_there_is_overwritten(invoke, there: str) -> None:
    place = Path("acme")
    if there == "file":
        place.write_text("mine")
    elif there == "folder":
        place.mkdir()
    else:
        place.symlink_to("nowhere")
    result = invoke("new-plugin", "acme", "--kind", "loss")
    assert (result.exit_code, result.stderr) == (
        2,
        "acme: is there already. Choose another name, or another folder with --into DIR.\n",
    )
    assert not place.is_dir() or list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("AcmeReranker", "acme-reranker"),
        ("acme_reranker", "acme-reranker"),
        ("Acme Reranker 2", "acme-reranker-2"),
        ("2nd", "nd"),
        ("acme--x", "acme-x"),
        ("../evil", "evil"),
        ("core", "acme-reranker"),
        ("日本", "acme-reranker"),
        ("a-name-that-is-longer-than-any-line", "a-name-that-is-longer-than-any"),
    ],
)
def test_bad_name_is_refused_with_a_good_one(invoke, name: str, proposed: str) -> None:
    result = invoke("new-plugin", name, "--kind", "loss")
    assert (result.exit_code, result.stderr) == (
        2,
        f'"{name}" is no name for a plugin: lower-case words and digits, joined by "-", 30 characters at the most, '
        f'like "{proposed}"\n',
    )
    assert sorted(path.name for path in Path().iterdir()) == ["p.toml"]


def test_name_of_an_installed_plugin_is_refused(invoke) -> None:
    other = PluginState("acme", "acme-parts", "2.1", "acme.plugin")
    result = invoke("new-plugin", "acme", "--kind", "loss", registry=fake_registry(other))
    assert (result.exit_code, result.stderr) == (
        2,
        '"acme" is taken by acme-parts 2.1, which is installed. Choose another name.\n',
    )


def test_name_of_a_core_command_is_refused_for_a_command_only(invoke) -> None:
    result = invoke("new-plugin", "run", "--kind", "command")
    assert (result.exit_code, result.stderr) == (
        2,
        '"run" is a command of the core. Choose another name.\n',
    )
    assert invoke("new-plugin", "run", "--kind", "loss").exit_code == 0


def test_unknown_kind_is_refused_with_the_known_ones(invoke) -> None:
    result = invoke("new-plugin", "acme", "--kind", "lass")
    assert result.exit_code == 2
    assert "'lass' is not one of 'encoder', 'negative-generator', 'loss'" in result.stderr


def test_folder_that_cannot_be_made_is_told(invoke) -> None:
    Path("file").write_text("")
    result = invoke("new-plugin", "acme", "--kind", "loss", "--into", "file/deep")
    assert (result.exit_code, result.stderr) == (
        2,
        "file/deep/acme: cannot be made: Not a directory. Choose another folder with --into DIR.\n",
    )
