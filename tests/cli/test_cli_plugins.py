"""`plugins`, `plugins show` and `plugins check`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

import fake_commands
from fake_parts import fake_registry
from prodmatch_core.plugins import PluginState, new_manager
from prodmatch_core.records import EncoderSpec, LossSpec, MeasureSpec
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.testing.isolated import isolated_registry


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
        "    [member.encoder]\n"
        '    use = "fake.text"\n'
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


def test_show_tells_bounds_example_and_exemptions(invoke) -> None:
    reason = "a search that fails every class alike is consistent"
    spec = MeasureSpec(
        name="spread@k",
        summary="How far apart.",
        factory="mine.measures:spread",
        direction="lower",
        bounds=(0.0, math.inf),
        exempt={"direction_is_as_declared": reason},
    )
    registry = isolated_registry(spec)
    assert invoke("plugins", "show", "spread@k", registry=registry).stdout == (
        "spread@k (measure): How far apart.\n"
        "\n"
        "family     k is any whole number from 1: spread@10\n"
        "direction  lower\n"
        "bounds     from 0 to infinity\n"
        "from       given 0 (given), mine.measures:spread\n"
        f"exempt     direction_is_as_declared: {reason}\n"
        "\n"
        "    [evaluation]\n"
        '    measures = ["spread@10"]\n'
    )
    (part,) = json.loads(invoke("plugins", "show", "spread@k", "--json", registry=registry).stdout)
    assert (part["bounds"], part["example"], part["exempt"]) == (
        "from 0 to infinity",
        '[evaluation]\nmeasures = ["spread@10"]',
        [f"direction_is_as_declared: {reason}"],
    )


def test_show_tells_the_fields_of_a_field_that_is_a_table(invoke) -> None:
    told = invoke("plugins", "show", "core.pairs", registry=default_registry()).stdout
    assert (
        "  columns: Columns\n"
        "      Which column of the file holds what.\n"
        "\n"
        '  columns.query: str = "query"\n'
        "      a text that is not empty\n"
        "      Query as typed.\n"
    ) in told


def test_show_of_a_command_has_no_table_of_a_pipeline_file(invoke) -> None:
    assert "[" not in invoke("plugins", "show", "greet").stdout


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


# -- check ---------------------------------------------------------------------------------------------------


@pytest.fixture
def some_parts() -> Registry:
    """Return a registry of one part that keeps the laws and one that cannot be loaded."""
    spec = default_registry().get("loss", "core.in_batch_softmax")
    absent = LossSpec(name="mine.absent", summary="Nowhere.", factory="absent_module:Loss")
    return isolated_registry(spec, absent)


def test_check_has_a_line_a_check_and_counts_them(invoke, some_parts) -> None:
    result = invoke("plugins", "check", "core.in_batch_softmax", registry=some_parts)
    *lines, counts = result.stdout.splitlines()
    assert result.exit_code == 0
    assert "passed   core.in_batch_softmax  weight_two_is_a_row_twice" in lines
    assert (
        "skipped  core.in_batch_softmax  scalar_is_the_mean_of_examples: the loss is no PointwiseLoss and has no loss of "
        "single examples"
    ) in lines
    passed = sum(line.startswith("passed ") for line in lines)
    assert counts.startswith(
        f"{len(lines)} checks of 1 part: {passed} passed, {len(lines) - passed} skipped ("
    )


def test_check_that_fails_says_why_on_its_line_and_is_an_error(invoke, some_parts) -> None:
    result = invoke("plugins", "check", "given", registry=some_parts)
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("failed ")]
    assert any("mine.absent  " in line and "cannot load absent_module:Loss" in line for line in failed)
    assert re.search(r"\d+ checks of 2 parts: \d+ passed, \d+ skipped, \d+ failed \(", result.stdout)


def test_check_as_json(invoke, some_parts) -> None:
    result = invoke("plugins", "check", "mine.absent", "--json", registry=some_parts)
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["problems"] == []
    assert len(told["checks"]) == told["passed"] + told["skipped"] + told["failed"]
    assert {(c["part"], c["status"]) for c in told["checks"] if c["status"] == "failed"} == {
        ("mine.absent", "failed")
    }


def test_check_of_a_broken_plugin_tells_its_problem_and_tries_nothing(invoke, broken_registry) -> None:
    result = invoke("plugins", "check", "prodmatch-acme", registry=broken_registry)
    assert (result.exit_code, result.stdout) == (
        1,
        "broken   prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy.\n"
        "0 checks of 0 parts: none tried (0.0 s)\n",
    )


def test_check_of_everything_goes_on_beside_a_broken_plugin(invoke) -> None:
    failed = PluginState("acme", "prodmatch-acme", "0.3", "prodmatch_acme.plugin")
    failed.fail("prodmatch-acme:acme: import failed.")
    sound = PluginState("mine", "prodmatch-mine", "1", "mine.plugin")
    sound.records.append(default_registry().get("loss", "core.bce"))
    result = invoke("plugins", "check", registry=Registry(new_manager(), [sound, failed]))
    assert result.exit_code == 1
    assert "passed   core.bce  weight_two_is_a_row_twice\n" in result.stdout
    assert "broken   prodmatch-acme:acme: import failed.\n" in result.stdout


def test_check_of_a_plugin_without_parts_tries_nothing_and_is_well(invoke) -> None:
    listener = PluginState("ears", "prodmatch-ears", "1", "ears.plugin")
    result = invoke("plugins", "check", "prodmatch-ears", registry=Registry(new_manager(), [listener]))
    assert (result.exit_code, result.stdout) == (0, "0 checks of 0 parts: none tried (0.0 s)\n")


def test_check_of_an_unknown_name_is_wrong_usage(invoke, some_parts) -> None:
    result = invoke("plugins", "check", "core.in_batch_sofmax", registry=some_parts)
    assert (result.exit_code, result.stderr) == (
        2,
        'no plugin and no part is called "core.in_batch_sofmax"; did you mean "core.in_batch_softmax"?\n',
    )
