from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prodmatch_core.tokens import hashing
from prodmatch_core.tokens.hashing import NUMBER, PHRASE, SHORTEST, WORD, hash_texts

MASK = (1 << 64) - 1
BASE = 0x100000001B3


def scramble(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def polynomial(text: str) -> int:
    value = 0
    for character in text:
        value = (value * BASE + scramble(ord(character))) & MASK
    return value


def code(value: int, order: int) -> int:
    return scramble(value ^ (order << 56)) >> 32


def script(character: str) -> str:
    if any(low <= ord(character) <= high for low, high in hashing._HAN_BLOCKS):
        return "han"
    if unicodedata.category(character)[0] not in "LNM":
        return ""
    if "\u3040" <= character <= "\u309f":
        return "hiragana"
    if "\u30a0" <= character <= "\u30ff" or "\u31f0" <= character <= "\u31ff":
        return "katakana"
    return "word"


def is_digit(character: str) -> bool:
    return script(character) == "word" and unicodedata.category(character)[0] == "N"


def is_letter(character: str) -> bool:
    return script(character) == "word" and not is_digit(character)


def words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.replace("\0", " ")).casefold())
    found: list[str] = []
    last = ""
    for index, character in enumerate(text):
        left, right = text[index - 1 : index], text[index + 1 : index + 2]
        if character in "'’" and left and right and is_letter(left) and is_letter(right):
            continue
        kind = script(character)
        if character in "./" and left and right and is_digit(left) and is_digit(right):
            kind = "word"
        if kind and kind == last:
            found[-1] += character
        elif kind:
            found.append(character)
        last = kind
    return found


def reference(text: str, min_n: int, max_n: int) -> dict[int, tuple[int, int]]:
    """Return code -> (order, first word that has it), by loops."""
    found: dict[int, tuple[int, int]] = {}
    wrapped = [f"\2{word}\3" for word in words(text)]
    for index, word in enumerate(wrapped):
        order = NUMBER if any(c in "0123456789" for c in word) else WORD
        found.setdefault(code(polynomial(word), WORD), (order, index))
        for n in range(min_n, max_n + 1):
            for start in range(len(word) - n + 1):
                gram = word[start : start + n]
                if gram not in "\2\3":
                    found.setdefault(code(polynomial(gram), SHORTEST + n), (SHORTEST + n - min_n, index))
    for index, (word, following) in enumerate(pairwise(wrapped)):
        value = (scramble(polynomial(word)) * BASE + polynomial(following)) & MASK
        found.setdefault(code(value, PHRASE), (PHRASE, index))
    return found


TEXTS = [
    "Women's 1.5 in. Running Shoes (2-Pack), size 3/4",
    "",
    "単三アルカリ電池 20本セット ﾊﾟﾅｿﾆｯｸ",
    "a a a",
    "ｆｕｌｌ　ｗｉｄｔｈ STRASSE straße",
    "nul\0inside 'quoted' x./y 5' 6\"",
    "e\u0301clair \u0301start",
    "v2.beta rev.2 a/4 4/a 1.2.3 rock'n'roll 7'eleven",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6), st.sampled_from([(3, 5), (1, 2), (2, 2)]))
@example(TEXTS, (3, 5))
@example(TEXTS, (1, 3))
def test_hashing_equals_a_reference_written_with_loops(texts: list[str], sizes: tuple[int, int]) -> None:
    grams = hash_texts(texts, *sizes)
    for row, text in enumerate(texts):
        mine = slice(grams.offsets[row], grams.offsets[row + 1])
        expected = reference(text, *sizes)
        assert grams.codes[mine].tolist() == sorted(expected)
        assert list(zip(grams.orders[mine].tolist(), grams.words[mine].tolist(), strict=True)) == [
            expected[c] for c in sorted(expected)
        ]
        assert grams.lengths[row] == len(words(text))


def test_numbers_keep_their_point_and_apostrophes_vanish() -> None:
    assert words("Women's 1.5 in. 3/4") == ["womens", "1.5", "in", "3/4"]


def test_japanese_is_cut_where_the_script_changes() -> None:
    assert words("単三アルカリ電池を20本") == ["単三", "アルカリ", "電池", "を", "20", "本"]


def test_japanese_query_shares_ngrams_with_the_title_it_is_part_of() -> None:
    grams = hash_texts(["アルカリ電池", "単三アルカリ電池20本"])
    query, title = (set(grams.codes[slice(*grams.offsets[r : r + 2])].tolist()) for r in (0, 1))
    assert len(query & title) > 0.9 * len(query)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"item {n} of the catalogue" for n in range(50)]
    whole = hash_texts(texts)
    monkeypatch.setattr(hashing, "CHUNK", 40)
    chunked = hash_texts(texts)
    for name in ("codes", "orders", "words", "offsets", "lengths"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(chunked, name))


def test_the_limit_keeps_the_beginning_of_a_text() -> None:
    cut = hash_texts(["alpha beta gamma"], 3, 3, limit=6)
    # The word, its first n-gram's place and so on: <alpha>, "alpha beta", <al, alp, lph, pha.
    assert cut.codes.tolist() == sorted(
        [
            code(polynomial("\2alpha\3"), WORD),
            code((scramble(polynomial("\2alpha\3")) * BASE + polynomial("\2beta\3")) & MASK, PHRASE),
            *(code(polynomial(g), SHORTEST + 3) for g in ("\2al", "alp", "lph", "pha")),
        ]
    )


def test_without_whole_words_there_are_only_ngrams() -> None:
    grams = hash_texts(["red shoes 42"], whole_words=False)
    assert grams.orders.min() == SHORTEST
    assert hash_texts(["red shoes 42"]).orders.min() == WORD


def test_lone_surrogates_are_no_error() -> None:
    assert hash_texts(["a\ud800b"]).lengths.tolist() == [2]
