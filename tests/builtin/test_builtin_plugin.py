from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest

from prodmatch_core.builtin import plugin
from prodmatch_core.components.loss import Learnt, Loss
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.fields import field_docs
from prodmatch_core.plugins import RECORD_HOOKS
from prodmatch_core.records import Spec
from prodmatch_core.registry import default_registry
from prodmatch_core.task_specs import TASKS, TaskSpec


def records() -> Iterator[Spec]:
    for hook in RECORD_HOOKS:
        yield from getattr(plugin, hook, lambda: [])()


RECORDS = {record.name: record for record in records()}


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "polars", "sklearn", "transformers", "scipy", "numba"]
    code = f"import prodmatch_core.builtin.plugin, sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if r.kind != "measure"])
def test_every_part_can_be_loaded(name: str) -> None:
    assert callable(RECORDS[name].load())


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_is_documented(name: str) -> None:
    config = RECORDS[name].config
    assert set(field_docs(config)) == {field.name for field in attrs.fields(config)}


def needs_nothing(config: type) -> bool:
    return all(field.default is not attrs.NOTHING for field in attrs.fields(config))


@pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if needs_nothing(r.config)])
def test_every_part_has_defaults_that_pass_their_own_checks(name: str) -> None:
    RECORDS[name].config()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_measure_of_a_task_is_registered_and_reads_what_the_task_answers(task: TaskSpec) -> None:
    registry = default_registry()
    assert task.headline in task.measures
    assert all(registry.measure(name).needs_of(None) <= {task.answer} for name in task.measures)


def test_lower_is_better_for_losses_and_gaps_alone() -> None:
    lower = {name for name, record in RECORDS.items() if getattr(record, "direction", "") == "lower"}
    assert lower == {"nll", "brier", "ece"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_tasks_default_loss_is_registered(task: TaskSpec) -> None:
    loss = RECORDS[task.default_loss]
    assert isinstance(loss.load().build(loss.config(), Learnt(ESCI, 4, 8)), Loss)


@pytest.mark.parametrize(
    ("name", "mode", "given"),
    [
        ("core.ngram", "pair", "pairs"),
        ("core.ngram", "two_tower", "embeddings"),
        ("core.transformer", "cross_encoder", "pairs"),
        ("core.transformer", "two_tower", "embeddings"),
    ],
)
def test_what_an_encoder_gives_follows_from_its_mode(name: str, mode: str, given: str) -> None:
    record = RECORDS[name]
    assert record.gives_of(record.config(mode=mode)) == {given}
