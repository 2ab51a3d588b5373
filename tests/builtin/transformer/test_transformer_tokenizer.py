from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from prodmatch_core.tokens.tokenizer import LONGEST_TOKEN, SPECIAL_TOKENS, train_tokenizer, unknown_token

TEXTS = [
    "スマホケース 手帳型 iPhone15ケース 防水",
    "スマホケース クリア",
    "Suitcase with 4 wheels",
    "Phone case, clear",
    "phone CASE for kids",
] * 2
TOKENIZER = train_tokenizer(TEXTS, 500)


def tokens(text: str) -> list[str]:
    return TOKENIZER.encode(text, add_special_tokens=False).tokens


def test_japanese_words_are_found_inside_a_title_without_spaces() -> None:
    assert "ケース" in tokens("iPhone15ケース")
    assert "[UNK]" not in tokens("新しいスマホケース防水型")


@given(st.text())
def test_no_text_becomes_unknown_or_a_special_token(text: str) -> None:
    assert not set(tokens(text)) & set(SPECIAL_TOKENS)


def test_a_character_it_never_saw_becomes_its_bytes() -> None:
    assert tokens("ß") == ["<0xC3>", "<0x9F>"]


def test_a_title_cannot_forge_a_separator() -> None:
    assert tokens("[SEP]")[0] == tokens("[")[0] != "[SEP]"


def test_width_and_case_do_not_matter() -> None:
    assert tokens("ＰＨＯＮＥ ｹｰｽ") == tokens("phone ケース")


def test_a_word_is_the_same_token_alone_and_inside_another() -> None:
    assert tokens("case") == ["case"]
    assert tokens("bookcase")[-1] == "case"


def test_the_order_of_equally_frequent_texts_decides_nothing() -> None:
    first, again = train_tokenizer(TEXTS, 320), train_tokenizer(TEXTS[::-1], 320)
    assert first.to_str() == again.to_str()


def test_the_vocabulary_stays_within_its_bound_even_with_many_characters() -> None:
    texts = ["".join(chr(0x4E00 + i) for i in range(start, start + 9)) for start in range(0, 900, 9)] * 2
    assert train_tokenizer(texts, 300).get_vocab_size() <= 300
    assert train_tokenizer(texts, 1500).get_vocab_size() <= 1500


def test_no_token_is_longer_than_the_limit() -> None:
    tokenizer = train_tokenizer(["とても長いタイトル" * 5] * 9, 600)
    assert max(len(token) for token in tokenizer.get_vocab()) <= LONGEST_TOKEN


def test_no_texts_give_a_tokenizer_of_bytes() -> None:
    assert train_tokenizer([], 300).encode("é", add_special_tokens=False).tokens == ["<0xC3>", "<0xA9>"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"), 1),
        (models.Unigram([("a", 0.0), ("b", -1.0), ("<unk>", -9.0)], unk_id=2), 2),
        (models.BPE({"a": 0}, []), None),
    ],
)
def test_the_unknown_token_is_found_in_every_kind_of_model(model: models.Model, expected: int | None) -> None:
    assert unknown_token(Tokenizer(model)) == expected
