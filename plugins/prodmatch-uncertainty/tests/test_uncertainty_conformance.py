from prodmatch_core.testing import Case, parametrize_parts

PLANES = ("dp", "mist", "lagrangian")
SETTINGS = [{"objective": "precision", "target": 0.5}, {"levels": 3, "bins": 0}, {"review": 0.2}]


@parametrize_parts(
    "uncertainty",
    variants={
        "uncertainty.mc_dropout": [{"inside": False, "measure": "mutual_information"}],
        "uncertainty.disagreement": [{"measure": "mutual_information"}, {"measure": "entropy"}],
        **{f"uncertainty.{name}": SETTINGS for name in PLANES},
        "uncertainty.rectangle": [{"binning": "width"}],
        "uncertainty.threshold": [{"per_class": True, "review": 0.1}, {"objective": "precision"}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
