from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.components.encoder import Encoding, States
from prodmatch_core.data.corpus import Corpus
from prodmatch_example.maxsim import SCORES, MaxSimEncoder, maxsim
from prodmatch_example.plugin import MaxSimConfig
from prodmatch_example.words import GRAMS, WordTable

CONFIG = MaxSimConfig(width=8, buckets=64)


def states(*words: tuple[float, float], length: int = 3) -> States:
    """Return one text of two-dimensional words, padded to `length`."""
    hidden = torch.zeros(1, length, 2)
    hidden[0, : len(words)] = torch.tensor(words) if words else torch.zeros(0, 2)
    return States(hidden, torch.arange(length)[None] < len(words))


def score(query: States, product: States) -> torch.Tensor:
    """Return ColBERT's score of each pair."""
    return maxsim(query, product)[0].sum(dim=1)


@pytest.fixture
def encoder() -> MaxSimEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MaxSimEncoder(CONFIG)
        torch.nn.init.normal_(made.context.weight, std=0.3)  # as after training: neighbours matter
    return made.eval()


def corpus(queries: list[str], titles: list[str]) -> Corpus:
    return Corpus(pl.DataFrame({"text": queries}), pl.DataFrame({"title": titles}))


def pair_vectors(encoder: MaxSimEncoder, queries: list[str], titles: list[str]) -> torch.Tensor:
    rows = np.arange(len(queries))
    with torch.no_grad():
        pair = encoder(encoder.prepare(corpus(queries, titles)).batch(rows, rows)).pair
    assert pair is not None
    return pair


def test_score_is_the_sum_of_each_query_words_best_cosine() -> None:
    query = states((1.0, 0.0), (0.0, 1.0))
    product = states((0.6, 0.8), (1.0, 0.0), (-1.0, 0.0))
    best, partner = maxsim(query, product)
    torch.testing.assert_close(best, torch.tensor([[1.0, 0.8, 0.0]]))
    torch.testing.assert_close(partner[0, :2], torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    torch.testing.assert_close(score(query, product), torch.tensor([1.8]))


def test_padding_of_the_product_is_no_word_even_where_every_cosine_is_negative() -> None:
    best, _ = maxsim(states((1.0, 0.0)), states((-1.0, 0.0)))
    torch.testing.assert_close(best[0, 0], torch.tensor(-1.0))


def test_a_side_without_words_scores_nothing() -> None:
    assert score(states(), states((1.0, 0.0))).tolist() == [0.0]
    assert score(states((1.0, 0.0)), states()).tolist() == [0.0]


def test_states_are_unit_vectors_of_both_sides_and_nothing_beyond_a_text(encoder: MaxSimEncoder) -> None:
    batch = encoder.prepare(corpus(["red mug", "a"], ["mug", "big red rug"])).batch(
        np.arange(2), np.arange(2)
    )
    with torch.no_grad():
        encoding = encoder.encode(batch)
    for side, words in ((encoding.query_states, [2, 1]), (encoding.product_states, [1, 3])):
        assert side is not None
        assert side.mask.sum(dim=1).tolist() == words
        torch.testing.assert_close(side.hidden.norm(dim=-1), side.mask.float())


def test_middle_of_the_pair_vector_sums_up_to_the_mean_score(encoder: MaxSimEncoder) -> None:
    batch = encoder.prepare(corpus(["red mug"], ["mug of red clay"])).batch(np.arange(1), np.arange(1))
    with torch.no_grad():
        encoding = encoder(batch)
    mean = score(encoding.query_states, encoding.product_states) / 2
    torch.testing.assert_close(encoding.pair[:, : CONFIG.width].sum(dim=1), mean)
    torch.testing.assert_close(encoding.pair[:, -SCORES], mean)


def test_batch_mates_and_padding_change_nothing(encoder: MaxSimEncoder) -> None:
    queries, titles = ["red mug", "lamp", ""], ["mug", "a very long title of a red lamp", "rug"]
    together = pair_vectors(encoder, queries, titles)
    alone = torch.cat([pair_vectors(encoder, [q], [t]) for q, t in zip(queries, titles, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_interaction_reads_states_that_something_else_has_overwritten(encoder: MaxSimEncoder) -> None:
    same = states((1.0, 0.0), (0.0, 1.0))
    turned = States(-same.hidden, same.mask)
    with torch.no_grad():
        first = encoder.interact(Encoding(query_states=same, product_states=same)).pair
        second = encoder.interact(Encoding(query_states=same, product_states=turned)).pair
    assert first is not None and second is not None
    assert (first[0, 2 * 3].item(), second[0, 2 * 3].item()) == (1.0, 0.0)


def test_before_training_a_word_is_most_like_itself_then_like_what_shares_letters() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = MaxSimEncoder(MaxSimConfig(width=64)).eval()
    figure = pair_vectors(encoder, ["headphones"] * 3, ["headphones", "headphone", "kettle"])[:, -SCORES]
    assert figure[0].item() == pytest.approx(1, abs=1e-5)
    assert figure[0] > figure[1] > figure[2] + 0.2


def test_words_and_grams_are_cut_where_the_configuration_says() -> None:
    table = WordTable(buckets=50, max_words=2)
    words = table.read(["One two three", "", "two"])
    assert words.offsets.tolist() == [0, 2, 2, 3]
    assert words.values.tolist() == [1, 2, 2]
    hashes = table.hashes()
    assert hashes.shape == (3, GRAMS)
    assert hashes[0].tolist() == [0] * GRAMS
    assert (hashes[1:].max(), (hashes[1:, 0] > 0).all()) <= (50, True)


def test_chinese_and_japanese_characters_are_words() -> None:
    assert WordTable(50, 9).read(["赤いマグ red", "マグ"]).offsets.tolist() == [0, 5, 7]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"context": 2}, "context: expected an odd whole number of at least 1, got 2"),
        ({"width": 0}, "width: expected a whole number of at least 4, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MaxSimConfig(**settings)
