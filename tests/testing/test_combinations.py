"""Every part with every other: what fits trains, what does not is refused with the reason."""

from __future__ import annotations

import functools
import re

import pytest

from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.specs import TASKS
from prodmatch_core.testing.combinations import (
    MEMBER_KINDS,
    Combination,
    choices,
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


@functools.cache
def sorted_out(task: str) -> tuple[list[Combination], dict[Combination, list[str]]]:
    """Return the combinations of a task that fit, and the others with why they do not."""
    registry = default_registry()
    fits, refused = [], {}
    for combination in (*of_members(registry, task), *of_decisions(registry, task)):
        reasons = combination.refusals(registry)
        if reasons:
            refused[combination] = reasons
        else:
            fits.append(combination)
    return fits, refused


@pytest.mark.parametrize("task", TASKS)
def test_parts_that_fit_make_a_training_step(task: str) -> None:
    registry, failed = default_registry(), []
    tried = pairwise(each for each in sorted_out(task)[0] if each.parts.keys() <= {*MEMBER_KINDS})
    for combination in tried:
        try:
            train_one_step(combination, registry)
        except Exception as error:  # all that fail are told, not the first
            failed.append(f"{combination}: {type(error).__name__}: {error}")
    assert tried
    assert not failed


@pytest.mark.parametrize("task", TASKS)
def test_parts_that_do_not_fit_are_refused_with_the_reason(task: str) -> None:
    _, refused = sorted_out(task)
    assert refused
    unclear = [
        f"{combination}: {reason}"
        for combination, reasons in refused.items()
        for reason in reasons
        if not any(re.search(known, reason) for known in REASONS)
    ]
    assert unclear == []


def test_every_encoder_but_those_that_others_nest_fits_some_task() -> None:
    registry = default_registry()
    heads = set().union(*(task.heads for task in TASKS.values()))
    fits = {str(each.parts["encoder"]) for task in TASKS for each in sorted_out(task)[0]}
    left = [choice for choice in choices(registry, "encoder") if str(choice) not in fits]
    assert [str(choice) for choice in left if choice.part(registry).gives & heads - {"nodes"}] == []
