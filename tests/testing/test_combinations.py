"""Every part with every other: what fits trains, what does not is refused with the reason."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from prodmatch_core.registry import default_registry
from prodmatch_core.task_specs import TASKS
from prodmatch_core.testing.combinations import (
    Combination,
    choices,
    decide,
    of_decisions,
    of_members,
    pairwise,
    train_one_step,
)

REASONS = (
    r" needs \w+ \(.+\), which .+ (does not give|gives)",
    r" a member's encoder must give (one of )?\w+",
    r" fits itself and takes no \w+; remove it, or choose another encoder",
    r"nothing in .+ reads blocks; remove it, or choose an encoder over a graph",
    r"the task \w+ takes one member; run the others alone and compare the runs",
    r"the task \w+ ranks neighbours and has no class probabilities; remove it",
)
"What a refusal may say."


Tried = list[tuple[Combination, list[str]]]
"Combinations, each with why it is refused."


@functools.cache
def members(task: str) -> Tried:
    """Return encoders with samplers, losses and negative generators."""
    return list(of_members(default_registry(), task))


@functools.cache
def cover() -> list[Combination]:
    """Return members in which every two parts that fit each other stand together."""
    return pairwise(made for task in TASKS for made, reasons in members(task) if not reasons)


@pytest.mark.parametrize("task", TASKS)
def test_parts_that_fit_make_a_training_step(task: str) -> None:
    registry, failed = default_registry(), []
    tried = [each for each in cover() if each.task == task]
    for combination in tried:
        try:
            train_one_step(combination, registry)
        except Exception as error:  # all that fail are told, not the first
            failed.append(f"{combination}: {type(error).__name__}: {error}")
    assert tried
    assert not failed


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.answer == "classes"])
def test_aggregators_and_calibrators_that_fit_decide(task: str, tmp_path: Path) -> None:
    registry, failed = default_registry(), []
    tried = pairwise(made for made, reasons in of_decisions(registry, task) if not reasons)
    for number, combination in enumerate(tried):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            decide(combination, registry, folder)
        except Exception as error:  # all that fail are told, not the first
            failed.append(f"{combination}: {type(error).__name__}: {error}")
    assert tried
    assert not failed


@pytest.mark.parametrize("task", TASKS)
def test_parts_that_do_not_fit_are_refused_with_the_reason(task: str) -> None:
    refused = [
        (made, reason)
        for made, reasons in (*members(task), *of_decisions(default_registry(), task))
        for reason in reasons
    ]
    assert refused
    unclear = [
        f"{made}: {reason}"
        for made, reason in refused
        if not any(re.search(known, reason) for known in REASONS)
    ]
    assert unclear == []


def test_every_encoder_but_those_that_others_nest_fits_some_task() -> None:
    registry = default_registry()
    heads = set().union(*(task.heads for task in TASKS.values()))
    fits = {str(made.parts["encoder"]) for task in TASKS for made, reasons in members(task) if not reasons}
    left = [choice for choice in choices(registry, "encoder") if str(choice) not in fits]
    assert [str(choice) for choice in left if choice.part(registry).gives & heads - {"nodes"}] == []
