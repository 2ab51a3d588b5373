from __future__ import annotations

from prodmatch_core.testing import Case, parametrize_parts

WORDS = {"use": "core.ngram", "mode": "two_tower", "width": 8, "buckets": 256}


@parametrize_parts(
    "prodmatch-blade",
    variants={
        "blade.dual": [{"vectors": "shared"}, {"vectors": "single"}, {"upto": 6}, {"text": WORDS, "cold": 2}],
        "blade.adaptive": [{"fanouts": [3, 2, 2], "alpha": 1.0}, {"gamma": -0.5}],
        "blade.negatives": [{"power": 0.75, "count": 3}],
        "blade.asymmetric": [{"bias": 0.0}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
