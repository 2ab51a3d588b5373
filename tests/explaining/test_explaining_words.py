from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.explaining.words import Word, without, words_of


def forms(text: str) -> list[str]:
    return [word.form for word in words_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phone case", ["phone", "case"]),
        ("Case, (Slim) case!", ["case", "slim"]),
        ("AC/DC - 2.5 kg & more", ["ac/dc", "2.5", "kg", "more"]),
        ("- & |", []),
        ("  ", []),
        ("Straße", ["strasse"]),
        ("スマホケース", ["スマホケース"]),
        ("赤いケース", ["赤", "い", "ケース"]),
        ("携帯電話用", ["携帯", "電話", "用"]),
        ("iPhoneケース", ["iphone", "ケース"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert forms(text) == expected


def test_a_word_knows_all_its_places() -> None:
    assert words_of("case for Case,") == [Word("case", ((0, 4), (9, 14))), Word("for", ((5, 8),))]


@pytest.mark.parametrize(
    ("text", "form", "left"),
    [
        ("red phone case", "phone", "red case"),
        ("red phone case", "red", "phone case"),
        ("red phone case", "case", "red phone"),
        ("case for case, red", "case", "for red"),
        ("case case", "case", ""),
        ("赤いケース", "い", "赤ケース"),
    ],
)
def test_without_a_word(text: str, form: str, left: str) -> None:
    word = next(word for word in words_of(text) if word.form == form)
    assert without(text, word) == left


@given(st.lists(st.text("abcé日本カナ-", min_size=1, max_size=4), max_size=6).map(" ".join))
def test_without_every_word_no_word_is_left(text: str) -> None:
    left = text
    while found := words_of(left):
        shorter = without(left, found[0])
        assert len(shorter) < len(left)
        left = shorter
    assert forms(left) == []


@given(st.text(max_size=30))
def test_nothing_but_the_word_and_blanks_goes(text: str) -> None:
    for word in words_of(text):
        rest = list(text)
        for start, end in word.spans:
            rest[start:end] = [""] * (end - start)
        assert "".join(without(text, word).split()) == "".join("".join(rest).split())
