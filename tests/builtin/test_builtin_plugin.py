from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest

from prodmatch_core.builtin import plugin
from prodmatch_core.components.loss import Loss
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.fields import field_docs
from prodmatch_core.plugins import RECORD_HOOKS
from prodmatch_core.records import Spec
from prodmatch_core.tasks.match import MatchTask


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


@pytest.mark.parametrize("name", RECORDS)
def test_every_part_has_defaults_that_pass_their_own_checks(name: str) -> None:
    RECORDS[name].config()


def test_every_measure_of_the_match_task_is_registered() -> None:
    measures = {name for name, record in RECORDS.items() if record.kind == "measure"}
    assert set(MatchTask.measures) <= measures
    assert MatchTask.headline in measures


def test_lower_is_better_for_losses_and_gaps_alone() -> None:
    lower = {name for name, record in RECORDS.items() if getattr(record, "direction", "") == "lower"}
    assert lower == {"nll", "brier", "ece"}


def test_the_match_tasks_default_loss_is_registered() -> None:
    loss = RECORDS[MatchTask.default_loss]
    assert isinstance(loss.load().build(loss.config(), ESCI), Loss)


def test_product_fields_are_the_ones_the_corpus_can_join() -> None:
    from prodmatch_core.builtin.configs import PRODUCT_FIELDS as CHOICES
    from prodmatch_core.data.texts import PRODUCT_FIELDS

    assert set(CHOICES) == set(PRODUCT_FIELDS)
