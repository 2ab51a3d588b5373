"""Every check tells the part that breaks it, and says so; no other check does. Every check has such a part."""

from __future__ import annotations

import pytest

from mutants import (
    aggregators,
    calibrators,
    commands,
    datasets,
    encoders,
    losses,
    measures,
    negatives,
    node_encoders,
    samplers,
)
from mutants.mutant import Mutant, plain
from prodmatch_core.records import PART_KINDS
from prodmatch_core.testing import checks_of, run_checks
from prodmatch_core.testing.kit import EVERY_PART, NODE_ENCODER, family_of

MODULES = (
    encoders,
    node_encoders,
    negatives,
    losses,
    samplers,
    aggregators,
    calibrators,
    datasets,
    measures,
    commands,
)
MUTANTS = [mutant for module in MODULES for mutant in module.MUTANTS]
HEALTHY = [mutant for module in MODULES for mutant in module.HEALTHY]


def name(mutant: Mutant) -> str:
    return f"{mutant.spec.kind}-{mutant.check}-{mutant.told.__name__}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
def test_a_broken_part_fails_the_check_it_breaks_and_no_other(mutant: Mutant) -> None:
    failed = [outcome for outcome in run_checks(mutant.registry) if outcome.status == "failed"]
    assert [(outcome.check, plain(outcome.message)) for outcome in failed] == [(mutant.check, mutant.message)]


@pytest.mark.parametrize("healthy", HEALTHY, ids=lambda m: f"{m.spec.kind}-{m.check}")
def test_the_part_that_mutants_are_made_of_fails_no_check(healthy: Mutant) -> None:
    outcomes = run_checks(healthy.registry)
    assert [(o.check, o.message) for o in outcomes if o.status == "failed"] == []


@pytest.mark.parametrize("kind", [EVERY_PART, NODE_ENCODER, *PART_KINDS])
def test_every_check_has_a_part_that_fails_it(kind: str) -> None:
    told = {mutant.check for mutant in MUTANTS if kind in (EVERY_PART, family_of(mutant.spec))}
    assert [check.id for check in checks_of(kind) if check.id not in told] == []
