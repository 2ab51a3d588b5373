from prodmatch_core.testing import Case, parametrize_parts
from prodmatch_delayed.configs import METHODS


@parametrize_parts(
    "delayed",
    variants={
        "delayed.importance": [{"method": method} for method in METHODS if method != "exact"],
        "delayed.events": [
            {
                "buckets": 64,
                "width": 2,
                "hidden": [8, 4],
                "text": {"use": "core.ngram", "width": 8, "buckets": 4096},
            }
        ],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
