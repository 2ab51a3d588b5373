from prodmatch_core.testing import Case, parametrize_parts


@parametrize_parts("quarts")
def test_conformance(case: Case) -> None:
    case.run()
