from prodmatch_core.testing import Case, parametrize_parts


@parametrize_parts(
    "ensemble",
    variants={
        "ensemble.lightgbm": [{"start": "zero"}, {"balance": 1.0, "patience": 0}],
        "ensemble.select": [{"keep": 0, "subsets": 7}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
