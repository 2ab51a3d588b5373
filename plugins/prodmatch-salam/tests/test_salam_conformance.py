from prodmatch_core.testing import Case, parametrize_parts


@parametrize_parts(
    "salam",
    variants={
        "salam.fusion": [{"edges": "none"}, {"views": ["graph"]}, {"setting": "inductive", "links": 0}]
    },
)
def test_conformance(case: Case) -> None:
    case.run()
