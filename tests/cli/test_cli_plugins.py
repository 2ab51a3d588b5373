"""`plugins` and `plugins show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fake_commands
from fake_parts import fake_registry
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import EncoderSpec


def test_list_has_a_row_per_plugin_the_parts_by_kind_and_the_problems(invoke, broken_registry) -> None:
    result = invoke("plugins", registry=broken_registry)
    assert result.exit_code == 0
    assert result.stdout == (
        "distribution    version  entry point  state     parts\n"
        "prodmatch-fake  1.2      fake         ok        4 encoder, 1 negative-generator, 3 loss, "
        "1 graph-sampler, 2 aggregator, 2 calibrator, 2 dataset, 2 measure, 1 command\n"
        "prodmatch-acme  0.3      acme         failed\n"
        "prodmatch-off   1.0      off          disabled\n"
        "\n"
        "encoder: core.overlap, fake.graph, fake.text, fake.trees\n"
        "\n"
        "negative-generator: fake.random\n"
        "\n"
        "loss: fake.entropy, fake.margin, fake.range\n"
        "\n"
        "graph-sampler: fake.uniform\n"
        "\n"
        "aggregator: fake.mean, fake.vote\n"
        "\n"
        "calibrator: fake.reject, fake.scale\n"
        "\n"
        "dataset: fake.files, fake.shop\n"
        "\n"
        "measure: accuracy, macro_f1\n"
        "\n"
        "command: greet\n"
        "\n"
        "prodmatch-off:off: disabled by PRODMATCH_DISABLE_PLUGINS\n"
        "\n"
        "prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy.\n"
    )


def test_list_as_json(invoke, broken_registry) -> None:
    listed = json.loads(invoke("plugins", "--json", registry=broken_registry).stdout)
    assert [(p["distribution"], p["state"]) for p in listed["plugins"]] == [
        ("prodmatch-fake", "ok"),
        ("prodmatch-acme", "failed"),
        ("prodmatch-off", "disabled"),
    ]
    assert {"kind": "loss", "name": "fake.margin", "summary": "A margin."} in listed["plugins"][0]["parts"]
    assert listed["problems"] == [
        "prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy."
    ]


def test_show_tells_fields_with_type_default_bounds_and_meaning(invoke) -> None:
    result = invoke("plugins", "show", "fake.text")
    assert result.exit_code == 0
    assert result.stdout == (
        "fake.text (encoder): Texts to vectors.\n"
        "\n"
        "needs      judgements: labelled query-product pairs\n"
        "gives      embeddings: one vector per query and per product, comparable by cosine "
        "(by default; depends on its settings)\n"
        "paper      arXiv 0000.00000, section 1\n"
        "from       prodmatch-fake 1.2 (prodmatch_fake.plugin), fake.parts:Text\n"
        "\n"
        "  width: int = 8\n"
        "      a whole number of at least 1\n"
        "      Size of the vectors.\n"
        "\n"
        '  mode: str = "tower"\n'
        '      one of "tower", "pair"\n'
        "      One vector per side, or one per pair.\n"
        "\n"
        "  dropout: float | None\n"
        "      a number between 0 and 1\n"
        "      Share of units left out; none: the model's own.\n"
        "\n"
        "  rates: tuple[float, ...] = []\n"
        "      Step sizes by layer.\n"
        "\n"
        "  pooling: Literal['mean', 'first'] = \"mean\"\n"
        "      How token states become one vector.\n"
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("fake.files", "  path: str (required)\n"),
        ("fake.graph", "  text: encoder part (required)\n"),
        ("accuracy", "direction  higher\n"),
        ("greet", "greet (command): Says hello.\n"),
    ],
)
def test_show_of_other_kinds(invoke, name: str, line: str) -> None:
    assert line in invoke("plugins", "show", name).stdout


def test_show_as_json(invoke) -> None:
    (part,) = json.loads(invoke("plugins", "show", "fake.margin", "--json").stdout)
    assert part["fields"] == [
        {
            "name": "margin",
            "type": "float",
            "default": "0.5",
            "bounds": "a number between 0 and 1",
            "doc": "Cosine similarity above which a negative counts.",
        }
    ]
    assert (part["kind"], part["distribution"], part["version"]) == ("loss", "prodmatch-fake", "1.2")


def test_show_of_an_unknown_part_names_the_nearest(invoke) -> None:
    result = invoke("plugins", "show", "fake.margn")
    assert (result.exit_code, result.stderr) == (
        2,
        'unknown part "fake.margn"; did you mean "fake.margin"?\n',
    )


def test_show_of_a_part_claimed_twice_names_both(invoke) -> None:
    other = PluginState("other", "prodmatch-other", "0.3", "prodmatch_other.plugin")
    other.records.append(EncoderSpec(name="fake.text", summary="Mine.", factory="other:Text"))
    result = invoke("plugins", "show", "fake.text", registry=fake_registry(other))
    assert result.exit_code == 2
    assert result.stderr.startswith('encoder "fake.text" is claimed by prodmatch-fake 1.2 ')


def test_show_tells_file_and_line_of_the_definition_without_importing_it(invoke) -> None:
    support = Path(fake_commands.__file__)
    line = support.read_text(encoding="utf-8").splitlines().index("def greet(name: str) -> None:") + 1
    (part,) = json.loads(invoke("plugins", "show", "greet", "--json").stdout)
    assert part["defined"] == f"{support}:{line}"
    assert f"defined    {support}:{line}\n" in invoke("plugins", "show", "greet").stdout


def test_show_of_a_part_whose_plugin_failed_says_why(invoke, broken_registry) -> None:
    result = invoke("plugins", "show", "acme.text", registry=broken_registry)
    assert (result.exit_code, result.stderr) == (
        2,
        'part "acme.text" is not available: prodmatch-acme:acme: import of prodmatch_acme.plugin failed: '
        "ImportError: no scipy.\n",
    )
