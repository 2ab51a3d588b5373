from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.lexical import FEATURE_NAMES, WordFrequencies, overlap_features


def one(query: str, title: str, *others: str) -> dict[str, float]:
    features = overlap_features([query], [title, *others], np.array([0]), np.array([0]))
    return dict(zip(FEATURE_NAMES, features[0].tolist(), strict=True))


def test_coverage_of_query_and_title_and_jaccard():
    got = one("red travel mug", "Orvel Travel Mug, Red, 12 oz")
    assert got["query_coverage"] == 1
    assert got["title_coverage"] == pytest.approx(3 / 6)
    assert got["jaccard"] == pytest.approx(3 / 6)


def test_rare_words_weigh_more():
    titles = ("mug red", "mug blue", "mug green")
    common, rare = one("mug zebra", *titles), one("red zebra", *titles)
    assert rare["idf_coverage"] > common["idf_coverage"]
    assert common["missing_idf"] == pytest.approx(np.log(4 / 1) + 1, rel=1e-6)


def test_missing_words_are_counted():
    assert one("red travel mug", "travel bag")["missing_words"] == 2


def test_trigram_dice_of_equal_texts_is_one():
    assert one("travel mug", "Travel Mug")["trigram_dice"] == 1


def test_trigrams_forgive_a_typo_that_words_do_not():
    got = one("keybaord", "keyboard")
    assert got["query_coverage"] == 0
    assert got["trigram_coverage"] > 0.3


def test_numbers_agree_whatever_the_unit_is_glued_to():
    got = one("thermos 500 ml", "thermos 500ml steel")
    assert got["number_coverage"] == 1
    assert one("thermos 1.5 l", "thermos 15 l")["number_coverage"] == 0
    assert one("thermos", "thermos 15 l")["number_coverage"] == -1


def test_phrases_need_their_order():
    assert one("travel mug", "travel mug red")["phrase_coverage"] == 1
    assert one("travel mug", "mug for travel")["phrase_coverage"] == 0


def test_first_and_last_words_and_the_title_s_opening_word():
    got = one("orvel x10 case", "orvel x10 pro")
    assert (got["first_word_match"], got["last_word_match"], got["opening_match"]) == (1, 0, 1)


def test_japanese_without_spaces_overlaps_by_pairs_of_characters():
    got = one("電気ケトル", "ブラック電気ケトル1L")
    assert got["query_coverage"] == 1
    assert one("電気ケトル", "魔法瓶")["query_coverage"] == 0


def test_full_width_letters_equal_half_width_ones():
    assert one("ＵＳＢ", "usb cable")["query_coverage"] == 1


def test_no_pairs_give_no_rows():
    none = np.zeros(0, dtype=np.int64)
    assert overlap_features(["a"], ["b"], none, none).shape == (0, len(FEATURE_NAMES))


TEXT = st.text(alphabet="abc 19.,é電気ケー-", max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_features_are_finite_and_shares_lie_in_the_unit_interval(queries, titles):
    q, p = (grid.ravel() for grid in np.meshgrid(np.arange(len(queries)), np.arange(len(titles))))
    features = overlap_features(queries, titles, q, p)
    assert np.isfinite(features).all()
    for name in (
        "query_coverage",
        "title_coverage",
        "jaccard",
        "idf_coverage",
        "phrase_coverage",
        "trigram_dice",
    ):
        column = features[:, FEATURE_NAMES.index(name)]
        assert ((column >= 0) & (column <= 1 + 1e-6)).all(), name


@given(st.lists(TEXT, min_size=2, max_size=5), st.lists(TEXT, min_size=2, max_size=5))
@settings(max_examples=40, deadline=None)
def test_word_overlap_equals_that_of_plain_sets(queries, titles):
    import re
    import unicodedata

    def words(text):
        text = unicodedata.normalize("NFKC", text).lower()
        spaced = set(re.findall(r"(?:[a-zé]|\d(?:[.,](?=\d))?)+", text))
        dense = re.findall(r"[電気ケー]+", text)
        pairs = {run[i : i + 2] for run in dense for i in range(max(1, len(run) - 1))}
        return spaced | pairs

    q, p = (grid.ravel() for grid in np.meshgrid(np.arange(len(queries)), np.arange(len(titles))))
    got = overlap_features(queries, titles, q, p)[:, FEATURE_NAMES.index("missing_words")]
    expected = [len(words(queries[i]) - words(titles[j])) for i, j in zip(q, p, strict=True)]
    assert got.tolist() == expected


def test_kept_word_frequencies_make_a_pairs_features_independent_of_other_titles() -> None:
    kept = WordFrequencies.of(["red lamp", "red chair", "blue lamp"])
    pair = np.array([0])
    alone = overlap_features(["red lamp"], ["red rug"], pair, pair, kept)
    crowded = overlap_features(["red lamp"], ["red rug", *["lamp"] * 50], pair, pair, kept)
    np.testing.assert_array_equal(alone, crowded)


def test_the_frequency_of_a_word_is_the_number_of_texts_that_have_it() -> None:
    kept = WordFrequencies.of(["red red lamp", "red chair", "blue lamp"])
    assert sorted(kept.count.tolist()) == [1, 1, 2, 2]
    weights = overlap_features(["chair"], ["x"], np.array([0]), np.array([0]), kept)
    assert weights[0, FEATURE_NAMES.index("missing_idf")] == pytest.approx(np.log(4 / 2) + 1)
