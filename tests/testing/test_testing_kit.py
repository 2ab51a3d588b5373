from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from mutants import configs, losses
from mutants.mutant import plain
from prodmatch_core import hookimpl
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import ConfigError
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import PART_KINDS, LossSpec
from prodmatch_core.registry import Registry
from prodmatch_core.task_specs import TASKS
from prodmatch_core.testing import (
    EVERY_PART,
    Nonconformance,
    Outcome,
    Skipped,
    checks_of,
    parametrize_parts,
    part_checks,
    run_checks,
)
from prodmatch_core.testing.worlds import World

ROOT = Path(__file__).resolve().parents[2]


def record(name: str = "acme.plain", factory: type = losses.Plain, **fields: Any) -> LossSpec:
    where = f"{factory.__module__}:{factory.__name__}"
    return LossSpec(name=name, summary="A loss.", factory=where, needs={"logits"}, **fields)


@pytest.fixture
def acme(isolated_registry: Callable[..., Registry]) -> Registry:
    @hookimpl
    def prodmatch_losses() -> list[LossSpec]:
        return [
            record(),
            record("acme.last_row", losses.LastRow),
            record("acme.square", config=configs.PerPositive),
        ]

    module = types.ModuleType("prodmatch_acme.plugin")
    module.prodmatch_losses = prodmatch_losses  # type: ignore[attr-defined]
    return isolated_registry(plugin=module)


@pytest.mark.parametrize("wanted", ["acme", "prodmatch-acme", "prodmatch-acme:acme", "acme.plain"])
def test_parts_are_asked_for_by_plugin_distribution_or_name(acme: Registry, wanted: str) -> None:
    cases = part_checks(wanted, registry=acme)
    assert "acme.plain::row_order_does_not_matter" in [case.id for case in cases]
    assert {case.part for case in cases} == (
        {"acme.plain"} if wanted == "acme.plain" else {"acme.plain", "acme.last_row", "acme.square"}
    )


def test_a_part_is_tried_by_the_checks_of_every_part_and_of_its_kind(acme: Registry) -> None:
    checks = [case.check for case in part_checks("acme.plain", registry=acme)]
    assert checks == [*checks_of(EVERY_PART), *checks_of("loss")]


def test_a_variant_stands_in_the_id_and_reaches_the_part(acme: Registry) -> None:
    cases = part_checks("acme.square", registry=acme, variants={"acme.square": [{"per_positive": 3.0}]})
    last = cases[-1]
    assert last.id == "acme.square[per_positive=3.0]::output_is_not_written_to"
    assert last.subject.config == configs.PerPositive(3.0)


@pytest.mark.parametrize(
    ("wanted", "variants", "message"),
    [
        ("acme.plane", {}, 'no plugin and no part is called "acme.plane"; did you mean "acme.plain"?'),
        ("acme.plain", {"acme.last_row": [{}]}, 'variants of "acme.last_row"; did you mean "acme.plain"?'),
    ],
)
def test_what_is_not_there_is_named(acme: Registry, wanted: str, variants: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        part_checks(wanted, registry=acme, variants=variants)
    assert str(error.value) == message


def test_a_kind_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r'unknown kind of part "encodr"; did you mean "encoder"\?'):
        checks_of("encodr")


def test_a_plugin_that_failed_says_its_own_problem(acme: Registry) -> None:
    broken = PluginState("bad", "prodmatch-bad", "1", "prodmatch_bad.plugin")
    broken.fail("prodmatch-bad:bad: import of prodmatch_bad.plugin failed: ImportError: no scipy.")
    with pytest.raises(ConfigError, match=r"import of prodmatch_bad.plugin failed: ImportError: no scipy"):
        part_checks("bad", registry=attrs.evolve(acme, plugins=[*acme.plugins, broken]))


def one(registry: Registry, check: str) -> Any:
    (case,) = (case for case in part_checks(registry=registry) if case.check.id == check)
    return case


def test_a_declared_exemption_is_skipped_with_its_reason(isolated_registry: Callable[..., Registry]) -> None:
    reason = "the last row stands for the session"
    registry = isolated_registry(record(factory=losses.LastRow, exempt={"row_order_does_not_matter": reason}))
    with pytest.raises(Skipped, match=f"^exempt: {reason}$"):
        one(registry, "row_order_does_not_matter").run()


def test_an_exemption_that_is_not_needed_fails(isolated_registry: Callable[..., Registry]) -> None:
    registry = isolated_registry(record(exempt={"row_order_does_not_matter": "once it did not"}))
    with pytest.raises(Nonconformance) as error:
        one(registry, "row_order_does_not_matter").run()
    assert str(error.value) == (
        'the record declares itself exempt from row_order_does_not_matter ("once it did not") and passes. '
        "Remove the exemption."
    )


def test_a_part_that_falls_over_fails_with_its_error_and_the_demand(
    isolated_registry: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_over(self: Any, output: Any) -> Any:
        raise KeyError("logits")

    monkeypatch.setattr(losses.Plain, "forward", fall_over)
    with pytest.raises(Nonconformance) as error:
        one(isolated_registry(record()), "row_order_does_not_matter").run()
    assert str(error.value) == (
        "the part fails with KeyError: 'logits'. It should pass this check: "
        "The rows of a batch in another order have the same loss."
    )
    assert isinstance(error.value.__cause__, KeyError)


def test_a_required_field_without_example_is_told(isolated_registry: Callable[..., Registry]) -> None:
    with pytest.raises(Nonconformance) as error:
        one(isolated_registry(record(config=configs.Needy)), "config_round_trips").run()
    assert str(error.value) == plain(configs.Needy.__doc__ or "")


def test_the_example_of_the_record_makes_the_part(isolated_registry: Callable[..., Registry]) -> None:
    registry = isolated_registry(record(config=configs.Needy, example={"power": 2}))
    assert [o for o in run_checks(registry) if o.status == "failed"] == []


def test_a_factory_that_cannot_be_imported_is_told(isolated_registry: Callable[..., Registry]) -> None:
    registry = isolated_registry(LossSpec(name="acme.gone", summary="A loss.", factory="no_such_module:Loss"))
    with pytest.raises(
        Nonconformance, match=r"loss acme.gone: cannot load no_such_module:Loss: ModuleNotFoundError"
    ):
        one(registry, "factory_keeps_its_contract").run()


def test_outcomes_say_what_each_case_came_to(acme: Registry) -> None:
    heard: list[Outcome] = []
    outcomes = run_checks(acme, distribution="prodmatch-acme", heard=heard.append)
    assert outcomes == heard
    assert {o.status for o in outcomes if o.part == "acme.plain"} == {"passed", "skipped"}
    (failed,) = (o for o in outcomes if o.status == "failed")
    assert (failed.part, failed.check) == ("acme.last_row", "row_order_does_not_matter")
    assert plain(failed.message) == plain(losses.LastRow.__doc__ or "")
    assert all(o.seconds >= 0 for o in outcomes)


def test_one_part_can_be_run_alone(acme: Registry) -> None:
    assert {o.part for o in run_checks(acme, part="acme.last_row")} == {"acme.last_row"}


@pytest.mark.parametrize("kind", [EVERY_PART, *PART_KINDS])
def test_every_check_says_in_a_sentence_what_it_demands(kind: str) -> None:
    assert [check.id for check in checks_of(kind) if not check.demand.endswith(".")] == []


def test_the_decorator_gives_a_test_every_case(acme: Registry) -> None:
    mark = parametrize_parts("acme", registry=acme).mark
    assert mark.args[0] == "case"
    assert mark.kwargs["ids"] == [case.id for case in part_checks("acme", registry=acme)]


def run_python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / "tests" / "support")]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_the_kit_and_its_fixtures_imports_nothing_heavy() -> None:
    done = run_python(
        "import sys, pytest; before = set(sys.modules); import prodmatch_core.testing, prodmatch_core.testing.fixtures;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    assert (
        set(done.stdout.split()) & {"torch", "numpy", "polars", "sklearn", "transformers", "scipy"} == set()
    )
    assert "prodmatch_core" in done.stdout


TEST_FILE = """\
from kit_registry import registry
from prodmatch_core.testing import parametrize_parts

@parametrize_parts("acme.plain", "acme.last_row", registry=registry)
def test_conformance(case):
    case.run()
"""
REGISTRY = """\
from prodmatch_core.records import LossSpec
from prodmatch_core.testing.isolated import isolated_registry

def loss(name, factory):
    return LossSpec(name=name, summary="A loss.", factory=f"mutants.losses:{factory}", needs={"logits"})

registry = isolated_registry(loss("acme.plain", "Plain"), loss("acme.last_row", "LastRow"))
"""


def test_a_plugins_test_file_reports_failures_by_part_and_check_and_skips_with_reasons(
    tmp_path: Path,
) -> None:
    (tmp_path / "kit_registry.py").write_text(REGISTRY)
    (tmp_path / "test_acme.py").write_text(TEST_FILE)
    done = run_python(
        "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
        *("-q", "-rs", "-p", "no:cacheprovider", "--tb=line", f"--rootdir={tmp_path}", "."),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "FAILED" not in done.stderr
    assert "1 failed, 33 passed, 2 skipped" in done.stdout
    assert "the same rows in another order have another loss" in done.stdout
    assert "the loss is no PointwiseLoss and has no loss of single examples" in done.stdout


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_tiny_world_with_examples_in_each_split(
    tiny_world: Callable[[str], World], task: str
) -> None:
    made = tiny_world(task)
    assert made.task.spec.name == task
    assert made.task.spec.tables <= made.dataset.gives
    assert all(len(examples) for examples in made.data.examples.values())


def test_the_tiny_data_sets_are_fixtures(
    tiny_dataset: Dataset, tiny_groups: Dataset, tiny_graph: Dataset, tiny_events: Dataset
) -> None:
    names = [data.name for data in (tiny_dataset, tiny_groups, tiny_graph, tiny_events)]
    assert names == ["tiny", "groups", "graph", "events"]


def test_an_isolated_registry_sees_nothing_that_is_installed(
    isolated_registry: Callable[..., Registry],
) -> None:
    assert isolated_registry(record()).names("loss") == ["acme.plain"]
    assert isolated_registry(record()).names("encoder") == []


def test_an_isolated_registry_can_have_the_cores_parts(isolated_registry: Callable[..., Registry]) -> None:
    assert {"acme.plain", "core.focal"} <= set(isolated_registry(record(), core=True).names("loss"))


def test_an_isolated_registry_says_why_a_plugin_cannot_be_registered(
    isolated_registry: Callable[..., Registry],
) -> None:
    module = types.ModuleType("prodmatch_acme.plugin")
    module.prodmatch_loses = lambda: []  # type: ignore[attr-defined]
    assert isolated_registry(plugin=module).problems() == [
        'prodmatch-acme:acme: rename prodmatch_loses(): unknown hook; did you mean "prodmatch_losses"?'
    ]
