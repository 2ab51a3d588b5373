from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from prodmatch_core.tokens.batches import (
    FIRST,
    SECOND,
    Inputs,
    PairBatches,
    Template,
    Tokens,
    TowerBatches,
    overlap,
    truncate,
)
from prodmatch_core.tokens.tokenizer import train_tokenizer

QUERIES = ["red running shoes", "iphone case", "スマホケース", "niño"]
PRODUCTS = [
    "Running shoe for men, red",
    "Slim case for iPhone 15 with kickstand",
    "手帳型 iPhone15ケース",
    "x",
]
CLS, SEP, PAD = 2, 3, 0
TEMPLATE = Template((CLS, FIRST, SEP, SECOND, SEP), (0, 0, 0, 1, 1))
ROWS = (np.array([0, 1, 2, 3, 0]), np.array([0, 1, 2, 3, 3]))


def plain(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def ragged(*rows: list[int]) -> Tokens:
    return Tokens(
        np.array([token for row in rows for token in row], dtype=np.int32), np.cumsum([0, *map(len, rows)])
    )


def test_pairs_are_laid_out_as_the_tokenizer_itself_encodes_them(
    family: tuple[PreTrainedTokenizerFast, object],
) -> None:
    wrapped, tokenizer = family[0], plain(family[0])
    inputs = Inputs(wrapped.pad_token_id, None, types=True)
    sides = [Tokens.of(texts, tokenizer, 99) for texts in (QUERIES, PRODUCTS)]
    batch = PairBatches(*sides, Template.of_pair(tokenizer), inputs, 99, 0.5).batch(*ROWS)
    pairs = ([QUERIES[i] for i in ROWS[0]], [PRODUCTS[i] for i in ROWS[1]])
    expected = wrapped(
        *pairs, padding="longest", truncation=False, return_token_type_ids=True, return_tensors="pt"
    )
    assert torch.equal(batch["ids"], expected["input_ids"])
    assert torch.equal(batch["mask"], expected["attention_mask"].bool())
    assert torch.equal(batch["types"], expected["token_type_ids"])


def test_single_texts_are_laid_out_as_the_tokenizer_itself_encodes_them(
    family: tuple[PreTrainedTokenizerFast, object],
) -> None:
    wrapped, tokenizer = family[0], plain(family[0])
    sides = [Tokens.of(texts, tokenizer, 99) for texts in (QUERIES, PRODUCTS)]
    inputs = Inputs(wrapped.pad_token_id, None, types=False)
    batch = TowerBatches(*sides, Template.of_text(tokenizer), inputs, 99).batch(*ROWS)
    for name, texts, rows in (("query", QUERIES, ROWS[0]), ("product", PRODUCTS, ROWS[1])):
        expected = wrapped([texts[i] for i in rows], padding="longest", truncation=False, return_tensors="pt")
        assert torch.equal(batch[f"{name}_ids"], expected["input_ids"])
        assert torch.equal(batch[f"{name}_mask"], expected["attention_mask"].bool())


def test_a_tokenizer_without_special_tokens_joins_the_two_texts() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert Template.of_pair(tokenizer).pieces == (FIRST, SECOND)


def test_a_batch_by_hand() -> None:
    batches = PairBatches(
        ragged([10], [11, 12]), ragged([12, 20, 12], []), TEMPLATE, Inputs(PAD, 1, True, True), 16, 0.5
    )
    batch = batches.batch(np.array([1, 0]), np.array([0, 1]))
    assert batch["ids"].tolist() == [[2, 11, 12, 3, 12, 20, 12, 3], [2, 10, 3, 3, 0, 0, 0, 0]]
    assert batch["mask"].tolist() == [[True] * 8, [True] * 4 + [False] * 4]
    assert batch["types"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0]]
    assert batch["flags"].tolist() == [[0, 0, 1, 0, 1, 0, 1, 0], [0] * 8]


def test_the_product_is_cut_at_its_end_and_the_query_kept() -> None:
    batches = PairBatches(
        ragged([10, 11]), ragged([20, 21, 22, 23, 24, 25]), TEMPLATE, Inputs(PAD, 1, False), 8, 0.5
    )
    assert batches.batch(np.array([0]), np.array([0]))["ids"].tolist() == [[2, 10, 11, 3, 20, 21, 22, 3]]


@pytest.mark.parametrize(
    ("query", "product", "expected"),
    [
        (3, 6, (3, 6)),  # fits
        (3, 20, (3, 7)),  # the product gives way
        (9, 20, (5, 5)),  # both too long: the query keeps its share
        (9, 2, (8, 2)),  # a short product leaves the rest to the query
        (12, 0, (10, 0)),
        (0, 12, (0, 10)),
    ],
)
def test_truncation_of_ten_tokens_with_half_for_the_query(
    query: int, product: int, expected: tuple[int, int]
) -> None:
    first, second = truncate(np.array([query]), np.array([product]), room=10, query_share=0.5)
    assert (first[0], second[0]) == expected


@given(st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.floats(0.1, 0.9))
def test_truncation_fills_the_room_and_never_more(query: int, product: int, room: int, share: float) -> None:
    first, second = (int(n[0]) for n in truncate(np.array([query]), np.array([product]), room, share))
    assert first <= query
    assert second <= product
    assert first + second == min(query + product, room)
    assert first >= min(query, max(int(room * share), 1))


words = st.lists(st.integers(1, 6), max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
def test_flags_mark_the_known_tokens_that_both_sides_have(pairs: list[tuple[list[int], list[int]]]) -> None:
    unknown = 1
    batches = PairBatches(
        ragged(*(q for q, _ in pairs)),
        ragged(*(p for _, p in pairs)),
        Template((8, FIRST, 9, SECOND, 9), (0, 0, 0, 1, 1)),
        Inputs(PAD, unknown, False, True),
        99,
        0.5,
    )
    rows = np.arange(len(pairs))
    flags = batches.batch(rows, rows)["flags"]
    for (query, product), row in zip(pairs, flags.tolist(), strict=True):
        shared = set(query) & set(product) - {unknown}
        expected = [0, *(int(t in shared) for t in query), 0, *(int(t in shared) for t in product), 0]
        assert row == expected + [0] * (flags.shape[1] - len(expected))


def test_two_equal_tokens_of_one_side_are_no_overlap() -> None:
    ids, side = np.array([[5, 5, 7]]), np.array([[FIRST, FIRST, SECOND]])
    assert overlap(ids, side, None).tolist() == [[0, 0, 0]]


def test_lengths_are_the_tokens_of_the_padded_batch() -> None:
    tokenizer = train_tokenizer([*QUERIES, *PRODUCTS], 320)
    sides = [Tokens.of(texts, tokenizer, 12) for texts in (QUERIES, PRODUCTS)]
    pairs = PairBatches(*sides, Template.of_pair(tokenizer), Inputs(PAD, 1, True), 12, 0.5)
    assert pairs.lengths(*ROWS).tolist() == pairs.batch(*ROWS)["mask"].sum(dim=1).tolist()
    towers = TowerBatches(*sides, Template.of_text(tokenizer), Inputs(PAD, 1, True), 12)
    batch = towers.batch(*ROWS)
    both = batch["query_mask"].sum(dim=1) + batch["product_mask"].sum(dim=1)
    assert towers.lengths(*ROWS).tolist() == both.tolist()
    assert max(batch["product_ids"].shape[1], batch["query_ids"].shape[1]) <= 12


def test_a_row_without_any_token_attends_to_padding_rather_than_to_nothing() -> None:
    bare = Template((FIRST, SECOND), (0, 0))
    batch = PairBatches(ragged([]), ragged([]), bare, Inputs(PAD, None, False), 8, 0.5).batch(
        *[np.array([0])] * 2
    )
    assert batch["mask"].tolist() == [[True]]


def test_a_batch_of_no_pairs_is_empty() -> None:
    none = np.empty(0, dtype=np.int64)
    batch = PairBatches(ragged([1]), ragged([2]), TEMPLATE, Inputs(PAD, 1, True, True), 8, 0.5).batch(
        none, none
    )
    assert {tensor.shape[0] for tensor in batch.values()} == {0}


def test_tokenising_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = train_tokenizer(PRODUCTS, 320)
    whole = Tokens.of(PRODUCTS, tokenizer, 5)
    monkeypatch.setattr("prodmatch_core.tokens.batches.CHUNK", 3)
    parts = Tokens.of(PRODUCTS, tokenizer, 5)
    assert np.array_equal(whole.values, parts.values)
    assert whole.offsets.tolist() == parts.offsets.tolist()
    assert whole.counts.max() == 5
    assert whole.values.dtype == np.int32
