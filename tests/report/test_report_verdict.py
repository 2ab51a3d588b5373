from __future__ import annotations

from typing import Any

import pytest

from prodmatch_core.report.verdict import standing, verdict


def metrics(
    value: float | None, *differences: tuple[str, float | None, float | None], **changes: Any
) -> dict[str, Any]:
    return {
        "name": "demo",
        "headline": "macro_f1",
        "level": 0.95,
        "directions": {"macro_f1": "higher", "nll": "lower"},
        "lines": [
            *({"name": name, "kind": "baseline", "measures": {}} for name, _, _ in differences),
            {
                "name": "pipeline",
                "kind": "pipeline",
                "measures": {"macro_f1": {"value": value, "low": 0.49, "high": 0.53}},
            },
        ],
        "differences": [
            {"against": name, "measure": "macro_f1", "value": 0.1, "low": low, "high": high, "p": 0.01}
            for name, low, high in differences
        ],
        **changes,
    }


def difference(low: float | None, high: float | None, p: float | None = 0.01) -> dict[str, float | None]:
    return {"value": 0.1, "low": low, "high": high, "p": p}


def test_interval_above_zero_is_better_where_more_is_better() -> None:
    assert standing(difference(0.01, 0.2), "higher") == "better"


def test_interval_below_zero_is_better_where_less_is_better() -> None:
    assert standing(difference(-0.2, -0.01), "lower") == "better"


def test_interval_below_zero_is_worse_where_more_is_better() -> None:
    assert standing(difference(-0.2, -0.01), "higher") == "worse"


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.2), (0.0, 0.2), (-0.2, 0.0)])
def test_interval_that_touches_zero_is_open(low: float, high: float) -> None:
    assert standing(difference(low, high)) == "open"


def test_large_p_value_leaves_a_difference_open() -> None:
    assert standing(difference(0.01, 0.2, p=0.06)) == "open"


def test_p_value_at_the_level_is_clear() -> None:
    assert standing(difference(0.01, 0.2, p=0.05), level=0.95) == "better"


def test_interval_alone_decides_where_no_test_was_made() -> None:
    assert standing(difference(0.01, 0.2, p=None)) == "better"


def test_difference_without_interval_is_unknown() -> None:
    assert standing(difference(None, 0.2)) == "unknown"


def test_verdict_over_two_baselines_that_are_clearly_beaten() -> None:
    assert verdict(metrics(0.512, ("majority class", 0.05, 0.15), ("word overlap", 0.02, 0.18))) == (
        "“demo” reaches a macro F1 of 0.512 (95% interval 0.490–0.530): clearly better than the majority class "
        "(+0.100, interval 0.050–0.150) and word overlap (+0.100, interval 0.020–0.180)."
    )


def test_verdict_says_which_baseline_is_not_beaten() -> None:
    assert verdict(metrics(0.512, ("majority class", 0.05, 0.15), ("word overlap", -0.02, 0.22))) == (
        "“demo” reaches a macro F1 of 0.512 (95% interval 0.490–0.530): clearly better than the majority class "
        "(+0.100, interval 0.050–0.150), but not clearly different from word overlap "
        "(+0.100, interval −0.020 to 0.220)."
    )


def test_verdict_says_that_a_pipeline_is_worse() -> None:
    assert "0.530): clearly worse than word overlap (" in verdict(
        metrics(0.512, ("word overlap", -0.2, -0.1))
    )


def test_verdict_without_recorded_differences_claims_nothing() -> None:
    text = verdict(metrics(0.512, ("word overlap", 0.1, 0.2), differences=[]))
    assert (
        text
        == "“demo” reaches a macro F1 of 0.512 (95% interval 0.490–0.530): not compared with word overlap."
    )


def test_verdict_without_baselines_is_one_figure() -> None:
    assert verdict(metrics(0.512)) == "“demo” reaches a macro F1 of 0.512 (95% interval 0.490–0.530)."


def test_verdict_on_an_undefined_measure() -> None:
    assert verdict(metrics(None)) == "“demo” has no macro F1: it is undefined on this test set."


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ("accuracy", "an accuracy"),
        ("nll", "a log loss"),
        ("ndcg@10", "an nDCG@10"),
        ("roc_auc", "an ROC AUC"),
    ],
)
def test_verdict_names_the_measure_as_a_person_would(measure: str, words: str) -> None:
    line = {
        "name": "pipeline",
        "kind": "pipeline",
        "measures": {measure: {"value": 0.5, "low": None, "high": None}},
    }
    assert verdict(metrics(0.5, headline=measure, lines=[line])) == f"“demo” reaches {words} of 0.500."
