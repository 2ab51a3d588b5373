"""The kit asks a loss twice and compares; margins that move with every batch have weight tests of their own."""

from prodmatch_core.testing import Case, parametrize_parts


@parametrize_parts(
    "tcm",
    variants={
        "tcm.margin": [
            {"positive_weight": 0.0},
            {"negative_margin": -0.5, "positive_margin": 0.5},
        ],
        "tcm.smooth_ap": [{"temperature": 0.2}],
        "tcm.recall_surrogate": [{"k": [1], "temperature": 0.2}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
