"""The conformance kit: what every part of its kind must do, as small checks that run against any plugin.

A plugin's test file is four lines:

    from prodmatch_core.testing import parametrize_parts

    @parametrize_parts("acme")
    def test_conformance(case):
        case.run()

Every case is one check of one part, `acme.encoder::padding_invariance`. The part is built from its record's `example`,
on tiny data sets of every task (`prodmatch_core.testing.worlds`). Importing this package is cheap.
"""

from prodmatch_core.testing.kit import (
    EVERY_PART,
    NODE_ENCODER,
    Case,
    Check,
    Outcome,
    checks_of,
    parametrize_parts,
    part_checks,
    run_checks,
)
from prodmatch_core.testing.outcomes import Nonconformance, Skipped

__all__ = [
    "EVERY_PART",
    "NODE_ENCODER",
    "Case",
    "Check",
    "Nonconformance",
    "Outcome",
    "Skipped",
    "checks_of",
    "parametrize_parts",
    "part_checks",
    "run_checks",
]
