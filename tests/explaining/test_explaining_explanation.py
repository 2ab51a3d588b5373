from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prodmatch_core.errors import RunError
from prodmatch_core.explaining.explanation import explain_pair, explain_run
from prodmatch_core.explaining.members import average_opinions, without_each
from prodmatch_core.explaining.trace import Step
from prodmatch_core.rundir import Run
from prodmatch_core.writing import plain

EVEN = [np.array([0.5, 0.5]), np.array([0.5, 0.5])]
PAIR = pl.DataFrame({"query": ["case"], "title": ["case"]})


def test_steps_tell_what_each_part_made_of_it(two_members) -> None:
    steps = explain_pair(two_members, PAIR, EVEN)["steps"]
    assert [(step["kind"], step["part"], step.get("name")) for step in steps] == [
        ("member", "fake.words", "first"),
        ("member", "fake.words", "second"),
        ("aggregator", "core.mean", None),
        ("calibrator", "fake.halfway", None),
    ]
    assert [step["probabilities"]["match"] for step in steps] == pytest.approx([0.9, 0.7, 0.8, 0.65])


def test_a_calibrator_tells_what_it_was_given(two_members) -> None:
    calibrator = explain_pair(two_members, PAIR, EVEN)["steps"][-1]
    assert calibrator["before"]["probabilities"] == pytest.approx({"match": 0.8, "mismatch": 0.2})
    assert calibrator["probabilities"] == pytest.approx({"match": 0.65, "mismatch": 0.35})


def test_without_an_aggregator_the_member_is_told_once(one_member) -> None:
    assert [step["kind"] for step in explain_pair(one_member, PAIR, EVEN[:1])["steps"]] == ["member"]


def test_a_members_effect_is_the_change_by_its_average_opinion(two_members) -> None:
    members = explain_pair(two_members, PAIR, EVEN)["members"]
    # The mean moves by half of 0.4 and of 0.2, the calibrator halves that again.
    assert [out["effect"] for out in members] == pytest.approx([0.1, 0.05])
    assert [bool(out["changes"]) for out in members] == [True, False]


def test_a_single_member_cannot_be_left_out(one_member) -> None:
    assert without_each(one_member, one_member.follow(PAIR), EVEN[:1]) == []


def test_words_that_move_most_come_first(one_member) -> None:
    pair = pl.DataFrame({"query": ["phone case"], "title": ["red case"]})
    words = explain_pair(one_member, pair, EVEN[:1])["words"]
    assert [(w["field"], w["word"]) for w in words] == [
        ("query", "case"),
        ("title", "case"),
        ("title", "red"),
        ("query", "phone"),
    ]
    assert plain(words[0]) == {
        "field": "query",
        "word": "case",
        "spans": [[6, 10]],
        "effect": pytest.approx(0.3),
        "without": pytest.approx(0.4),
        "decided_without": "mismatch",
        "accepted_without": False,
        "changes": True,
        "members": {"alone": pytest.approx(0.3)},
    }


def test_a_pairs_explanation_has_these_keys(two_members) -> None:
    assert list(explain_pair(two_members, PAIR, EVEN)) == [
        "method",
        "pair",
        "decided",
        "accepted",
        "score",
        "uncertainty",
        "probabilities",
        "steps",
        "members",
        "words",
        "words_left_out",
    ]


SAMPLE = pl.DataFrame(
    {"query": ["case", "case", "lamp"], "title": ["case", "lamp", "lamp"], "label": ["match"] * 3}
)


def test_a_summary_adds_up_what_words_move(one_member) -> None:
    found = explain_run(one_member, SAMPLE, SAMPLE.clear(), EVEN[:1])
    assert found["sample"] == {"pairs": 3, "words": 6}
    words = {(w["field"], w["word"]): w for w in found["words"]}
    # P(match) 0.8, 0.5 and 0.2; of even odds the first label is decided.
    assert words["query", "case"] == {
        "field": "query",
        "word": "case",
        "pairs": 2,
        "moves": pytest.approx(0.3),
        "effect": pytest.approx(0.3),
        "match_effect": pytest.approx(0.3),
        "changes": pytest.approx(0.5),
        "share": pytest.approx(2 / 3),
    }
    assert words["title", "case"]["share"] == pytest.approx(1 / 3)
    assert words["title", "lamp"]["share"] == 0
    assert [(f["field"], f["words"], pytest.approx(f["share"])) for f in found["fields"]] == [
        ("query", 3, 2 / 3),
        ("title", 3, 1 / 3),
    ]


def test_a_summary_shares_out_what_members_move(two_members) -> None:
    found = explain_run(two_members, SAMPLE, SAMPLE.clear(), EVEN)
    first, second = found["members"]
    assert (first["share"], second["share"]) == pytest.approx((0.8, 0.2))
    assert first["moves"] == pytest.approx(0.2 / 3)
    assert (first["agrees"], second["agrees"]) == (1, 1)


def test_mistakes_come_with_their_words_and_count_in_nothing_else(one_member) -> None:
    wrong = pl.DataFrame({"query": ["case"], "title": ["red case"], "label": ["mismatch"]})
    found = explain_run(one_member, SAMPLE, wrong, EVEN[:1])
    (mistake,) = found["mistakes"]
    assert (mistake["query"], mistake["label"], mistake["decided"]) == ("case", "mismatch", "match")
    assert [w["word"] for w in mistake["words"]] == ["case", "case", "red"]
    assert found["sample"]["pairs"] == 3
    assert "red" not in {word["word"] for word in found["words"]}


def test_lost_predictions_of_a_member_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        average_opinions(Run(tmp_path), [Step("member", "fake.words", "first")])
    path = tmp_path / "members" / "first" / "predictions.safetensors"
    assert str(error.value) == (
        f"{path}: cannot be read: No such file or directory: {path}. Restore the file or run the pipeline again."
    )
