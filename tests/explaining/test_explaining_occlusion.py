from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from prodmatch_core.errors import DataError
from prodmatch_core.explaining import occlusion
from prodmatch_core.explaining.occlusion import occlude


def by_word(found) -> dict[str, float]:
    return {
        f"{variant.field}:{variant.word.form}": pytest.approx(effect)
        for variant, effect in zip(found.variants, found.effect, strict=True)
    }


def test_a_words_effect_is_what_it_is_worth(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["phone case"], "title": ["red case"]})
    found = occlude(one_member.follow, frame, match_score)
    assert by_word(found) == {"query:phone": 0.0, "query:case": 0.3, "title:red": -0.1, "title:case": 0.3}


def test_the_effect_is_on_the_decided_label(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["case now"], "title": ["red lamp"]})  # P(match) 0.4, so a mismatch
    found = occlude(one_member.follow, frame, match_score)
    assert by_word(found) == {"query:case": -0.3, "query:now": 0.0, "title:red": 0.1, "title:lamp": 0.0}
    np.testing.assert_allclose(found.score, [0.1, 0.4, 0.5, 0.4])


def test_a_word_that_is_everywhere_is_taken_away_everywhere(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["case or case"], "title": ["red lamp"]})
    assert by_word(occlude(one_member.follow, frame, match_score))["query:case"] == -0.3


def test_the_only_word_of_a_query_or_title_is_replaced(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["case"], "title": ["case"]})
    found = occlude(one_member.follow, frame, match_score)
    assert by_word(found) == {"query:case": 0.3, "title:case": 0.3}


def test_other_texts_may_become_empty(two_members, match_score) -> None:
    frame = pl.DataFrame({"query": ["case"], "title": ["case"], "description": ["steel"]})
    assert by_word(occlude(two_members.follow, frame, match_score))["description:steel"] == -0.025


def test_effects_on_members_are_their_own(two_members, match_score) -> None:
    frame = pl.DataFrame({"query": ["case"], "title": ["case"]})
    found = occlude(two_members.follow, frame, match_score)
    np.testing.assert_allclose(found.member_effect, [[0.4, 0.0], [0.0, 0.2]], atol=1e-12)
    np.testing.assert_allclose(
        found.effect, [0.1, 0.05]
    )  # half of it by the mean, half of that by the calibrator


def test_a_change_of_acceptance_alone_is_a_change(two_members, match_score) -> None:
    frame = pl.DataFrame({"query": ["case"], "title": ["case"]})  # 0.65, without the query's word 0.55
    found = occlude(two_members.follow, frame, match_score)
    assert found.labels.tolist() == [0, 0]
    assert found.changes.tolist() == [True, False]


def test_chunks_change_nothing(one_member, match_score, monkeypatch) -> None:
    frame = pl.DataFrame({"query": ["phone case", "lamp"], "title": ["red case", "red lamp case"]})
    whole = occlude(one_member.follow, frame, match_score)
    monkeypatch.setattr(occlusion, "CHUNK", 3)
    told = []
    parts = occlude(one_member.follow, frame, match_score, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(parts.effect, whole.effect)
    assert told == [(3, 8), (6, 8), (8, 8)]


def test_of_long_texts_the_first_words_are_taken_away(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["a", "a"], "title": ["b c d", "b"]})
    found = occlude(one_member.follow, frame, match_score, most=3)
    assert found.rows.tolist() == [0, 0, 0, 1, 1]
    assert found.left_out == {0: 1}


def test_an_empty_text_is_refused(one_member, match_score) -> None:
    frame = pl.DataFrame({"query": ["case"], "title": [" "]})
    with pytest.raises(DataError) as error:
        occlude(one_member.follow, frame, match_score)
    assert str(error.value) == (
        "pairs, row 1: title is empty (rows like this: 1). Fill it or remove the rows."
    )
