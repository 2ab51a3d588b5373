from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.builtin.configs import NgramConfig
from prodmatch_core.builtin.ngram import NgramEncoder, NgramTexts
from prodmatch_core.components.encoder import Encoding, FitData
from prodmatch_core.data.corpus import Corpus, Examples, frame_examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.tokens.hashing import WORD, hash_texts

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))
MODES = ["pair", "two_tower"]
PAIRS = [
    ("red running shoes", "Acme Runner X10 running shoes, red"),
    ("電池", "単三アルカリ電池 20本"),
    ("x10", "Acme Runner X10 running shoes, red"),
    ("...", "a title no word of the query is in"),
    ("red running shoes", "!!!"),
    ("zapatillas rojas", "Zapatillas de correr rojas Acme"),
]


def make(mode: str = "pair", seed: int = 0, **fields: Any) -> tuple[NgramEncoder, Corpus, Examples]:
    corpus, examples = frame_examples(pl.DataFrame(PAIRS, schema=["query", "title"], orient="row"))
    data = FitData(corpus, examples, Examples.empty(), BINARY, Dataset("none"))
    torch.manual_seed(seed)
    config = NgramConfig(**{"mode": mode, "buckets": 512, "width": 8, **fields})
    encoder = NgramEncoder.build(config, data, np.random.default_rng(seed))
    return encoder.eval(), corpus, examples


def vectors(encoding: Encoding) -> np.ndarray:
    parts = [part for part in (encoding.pair, encoding.query, encoding.product) if part is not None]
    return torch.cat(parts, dim=1).detach().numpy()


def encode(encoder: NgramEncoder, corpus: Corpus, examples: Examples) -> np.ndarray:
    return vectors(encoder(encoder.prepare(corpus).batch(examples.query, examples.product)))


@pytest.mark.parametrize("mode", MODES)
def test_a_pair_does_not_depend_on_its_batch_mates(mode: str) -> None:
    encoder, corpus, examples = make(mode)
    together = encode(encoder, corpus, examples)
    alone = np.concatenate(
        [encode(encoder, corpus, examples.take(slice(r, r + 1))) for r in range(len(examples))]
    )
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert np.isfinite(together).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_pair_does_not_depend_on_the_corpus_it_is_prepared_with(mode: str) -> None:
    encoder, corpus, examples = make(mode)
    small, one = frame_examples(pl.DataFrame(PAIRS[1:2], schema=["query", "title"], orient="row"))
    np.testing.assert_allclose(
        encode(encoder, small, one)[0], encode(encoder, corpus, examples)[1], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("mode", MODES)
def test_loading_gives_the_same_output_without_pickle(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    encoder, corpus, examples = make(mode)
    expected = encode(encoder, corpus, examples)
    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, None)
    encoder.save_assets(tmp_path)
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    loaded = NgramEncoder.load(encoder.config, tmp_path)
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(encode(loaded.eval(), corpus, examples), expected)


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_same_numbers_and_another_seed_others(mode: str) -> None:
    first, again, other = (encode(*make(mode, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_parameter_gets_a_finite_gradient(mode: str, precision: torch.dtype) -> None:
    encoder, corpus, examples = make(mode)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        encoding = encoder.train()(encoder.prepare(corpus).batch(examples.query, examples.product))
    parts = [part for part in (encoding.pair, encoding.query, encoding.product) if part is not None]
    torch.cat(parts, dim=1).float().square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("mode", MODES)
def test_width_is_the_size_of_what_is_given(mode: str) -> None:
    encoder, corpus, examples = make(mode)
    encoding = encoder(encoder.prepare(corpus).batch(examples.query, examples.product))
    given = encoding.pair if mode == "pair" else encoding.query
    assert given is not None
    assert given.shape == (len(examples), encoder.width)


def test_importances_begin_as_inverse_document_frequencies() -> None:
    encoder, corpus, _ = make(buckets=2**20)
    grams = hash_texts(["acme"], 3, 5)
    word = int(grams.codes[grams.orders == WORD][0]) % 2**20
    titles = corpus.product_texts(["title"])
    with_acme = sum("Acme" in title for title in titles)
    expected = np.log((1 + len(titles)) / (1 + with_acme)) + 1
    assert encoder.importance.weight[word, 0].exp().item() == pytest.approx(expected, rel=1e-5)


def test_shared_marks_the_ngrams_both_sides_have() -> None:
    encoder, corpus, examples = make()
    batch = encoder.prepare(corpus).batch(examples.query, examples.product)
    queries = hash_texts([q for q, _ in PAIRS], 3, 5)
    titles = hash_texts([t for _, t in PAIRS], 3, 5)
    for side, grams, others in (("query", queries, titles), ("product", titles, queries)):
        expected = [
            float(code in set(others.codes[slice(*others.offsets[r : r + 2])].tolist()))
            for r in range(len(PAIRS))
            for code in grams.codes[slice(*grams.offsets[r : r + 2])].tolist()
        ]
        assert batch[f"{side}_shared"].tolist() == expected


def test_figures_say_how_much_of_each_query_word_is_covered() -> None:
    encoder, corpus, examples = make()
    with torch.no_grad():
        encoder.importance.weight.zero_()  # every n-gram weighs 1
        pair = encoder(encoder.prepare(corpus).batch(examples.query, examples.product)).pair
    assert pair is not None
    worst, best, last, mean, full, low, words, title_words = pair[:, -8:].T.tolist()
    # "red running shoes": all words are there, but "red running" is no phrase of the title; it is counted with "red".
    assert last[0] == pytest.approx(1, abs=1e-4)
    assert full[0] == pytest.approx(2 / 3)
    # <red> has 1 word, 1 phrase and, of 3 to 5 characters, 3 + 2 + 1 n-grams, of which the phrase is missing.
    assert worst[0] == pytest.approx(7 / 8, abs=1e-4)
    assert mean[0] == pytest.approx((7 / 8 + 1 + 1) / 3, abs=1e-4)
    assert (best[5], low[5]) == (pytest.approx(1, abs=0.2), 0)
    assert (worst[3], best[3], last[3], mean[3], words[3]) == (1, 0, 0, 0, 0)  # a query without a word
    assert (low[4], title_words[4]) == (1, 0)  # a title without a word
    assert words[0] == pytest.approx(np.log1p(3))


def test_bags_are_what_is_shared_what_is_missing_and_what_is_more() -> None:
    encoder, corpus, examples = make()
    with torch.no_grad():
        encoder.importance.weight.zero_()
    batch = encoder.prepare(corpus).batch(examples.query, examples.product)
    seen: list[torch.Tensor] = []
    encoder.mix.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    encoder(batch)
    for part, (side, shared) in enumerate((("query", 1.0), ("query", 0.0), ("product", 0.0))):
        mine = batch[f"{side}_pair"] == 0
        chosen = batch[f"{side}_ids"][mine & (batch[f"{side}_shared"] == shared)]
        expected = encoder.vectors.weight[chosen].sum(dim=0) / mine.sum()
        torch.testing.assert_close(seen[0][0, 8 * part : 8 * (part + 1)], expected, rtol=1e-4, atol=1e-5)


def test_two_tower_begins_as_the_cosine_of_weighted_bags() -> None:
    encoder, corpus, examples = make("two_tower", width=512, buckets=2**14)
    encoding = encoder(encoder.prepare(corpus).batch(examples.query, examples.product))
    assert encoding.query is not None
    assert encoding.product is not None
    cosine = torch.cosine_similarity(encoding.query, encoding.product)
    assert cosine[0] > 0.5
    assert cosine[5] > 0.4
    assert cosine[3].abs() < 0.15


def test_lengths_are_the_ngrams_of_both_sides() -> None:
    encoder, corpus, examples = make()
    prepared = encoder.prepare(corpus)
    assert isinstance(prepared, NgramTexts)
    batch = prepared.batch(examples.query, examples.product)
    lengths = prepared.lengths(examples.query, examples.product)
    assert lengths.sum() == len(batch["query_ids"]) + len(batch["product_ids"])
    assert lengths.dtype == np.int64


def test_max_ngrams_bounds_a_text() -> None:
    encoder, corpus, _ = make(max_ngrams=5)
    prepared = encoder.prepare(corpus)
    assert isinstance(prepared, NgramTexts)
    assert np.diff(prepared.products.offsets).max() == 5


def test_other_fields_are_read_when_asked_for() -> None:
    frame = pl.DataFrame({"query": ["red"], "title": ["shoe"], "color": ["red"]})
    corpus, examples = frame_examples(frame)
    shared = {}
    for fields in (("title",), ("title", "color")):
        encoder, *_ = make(fields=fields)
        shared[fields] = (
            encoder.prepare(corpus).batch(examples.query, examples.product)["query_shared"].sum().item()
        )
    assert shared["title",] == 0
    assert shared["title", "color"] > 0


def test_width_left_out_depends_on_the_mode() -> None:
    assert [NgramConfig(mode=mode).size for mode in MODES] == [32, 96]
    assert attrs.evolve(NgramConfig(), width=7).size == 7


def test_sizes_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_n \(4\) must not be above max_n \(3\)"):
        NgramConfig(min_n=4, max_n=3)


def test_training_learns_what_the_query_words_ask_for() -> None:
    """Colour words must match, the marketing word "best" need not: overlap alone cannot tell which is missing."""
    colours = ["red", "blue", "green", "black"]
    rows = [
        (f"best {asked} lamp", f"{has} lamp {word}", asked == has)
        for asked in colours
        for has in colours
        for word in ("one", "two", "best")
    ]
    corpus, examples = frame_examples(
        pl.DataFrame([row[:2] for row in rows], schema=["query", "title"], orient="row")
    )
    labels = torch.tensor([0 if row[2] else 1 for row in rows])
    torch.manual_seed(0)
    data = FitData(corpus, examples, Examples.empty(), BINARY, Dataset("none"))
    encoder = NgramEncoder.build(NgramConfig(buckets=2048), data, np.random.default_rng(0))
    head = torch.nn.Linear(encoder.width, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    batch = encoder.prepare(corpus).batch(examples.query, examples.product)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(encoder(batch).pair), labels).backward()
        optimiser.step()
    encoder.eval()
    assert (head(encoder(batch).pair).argmax(1) == labels).float().mean() == 1
