from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.describing.minhash import bands, near_neighbours, recall, sample, trigrams


def grams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def jaccard(a: str, b: str) -> float:
    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


def neighbours(texts: list[str], similarity: float = 0.8, marks: list[int] | None = None):
    marked = np.array(marks or [0] * len(texts), dtype=np.uint8)
    return near_neighbours(pl.Series(texts, dtype=pl.String), marked, similarity, np.random.default_rng(0))


@given(st.lists(st.text(min_size=1, max_size=12), max_size=8))
@settings(max_examples=50, deadline=None)
def test_trigrams_are_the_distinct_runs_of_three_characters_of_the_padded_text(texts: list[str]) -> None:
    packed, starts = trigrams(pl.Series(texts, dtype=pl.String))
    assert len(starts) == len(texts) + 1
    for text, first, last in zip(texts, starts, starts[1:], strict=False):
        expected = sorted(sum(ord(c) << s for c, s in zip(g, (42, 21, 0), strict=True)) for g in grams(text))
        assert packed[first:last].tolist() == expected


def test_bands_are_as_long_as_the_recall_allows() -> None:
    assert bands(0.8) == (21, 6)
    assert recall(0.8) == pytest.approx(1 - (1 - 0.8**6) ** 21)
    assert bands(1.0) == (1, 128)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_recall_at_the_threshold_is_at_least_99_percent(similarity: float) -> None:
    assert recall(similarity) >= 0.99


def typos(generator: np.random.Generator, count: int) -> list[str]:
    """Random titles and copies of them with one or two letters changed."""
    letters = np.array(list("abcdefghijklmnop "))
    texts: list[str] = []
    for _ in range(count // 2):
        text = generator.choice(letters, size=generator.integers(20, 60))
        copy = text.copy()
        copy[generator.integers(len(text), size=generator.integers(1, 4))] = "z"
        texts += ["".join(text), "".join(copy)]
    return list(dict.fromkeys(texts))


@pytest.mark.parametrize("similarity", [0.6, 0.8])
def test_what_is_near_is_what_comparing_all_pairs_finds(similarity: float) -> None:
    texts = typos(np.random.default_rng(3), 600)
    sets = [grams(text) for text in texts]
    near = np.zeros(len(texts), dtype=bool)
    for i, one in enumerate(sets):
        for j in range(i):
            if len(one & sets[j]) >= similarity * len(one | sets[j]) - 1e-12:
                near[i] = near[j] = True
    found = neighbours(texts, similarity)
    assert 100 < near.sum() < len(texts)
    assert not (found.near & ~near).any()
    assert (found.near & near).sum() >= 0.99 * near.sum()


def test_the_similarity_to_the_partner_is_exact() -> None:
    texts = typos(np.random.default_rng(4), 300)
    found = neighbours(texts, 0.5)
    for i in np.flatnonzero(found.near).tolist():
        assert found.similarity[i] == pytest.approx(jaccard(texts[i], texts[found.partner[i]]))
        assert found.similarity[i] >= 0.5
    assert (found.partner[~found.near] == -1).all()


def test_a_pair_exactly_at_the_threshold_is_near() -> None:
    pair = ["abcdefgh", "abcdefgx"]  # 8 trigrams each, 6 shared
    assert neighbours(pair, jaccard(*pair)).near.all()
    assert not neighbours(pair, jaccard(*pair) + 1e-6).near.any()


def test_marks_of_near_texts_are_joined() -> None:
    texts = [
        "red phone case for pixel nine",
        "red phone case for pixel nines",
        "blue garden hose, fifteen metres",
    ]
    found = neighbours(texts, marks=[1, 4, 2])
    assert found.around.tolist() == [4, 1, 0]


def test_thousands_of_texts_from_one_template_are_all_near() -> None:
    texts = [
        f"rubberised protective hard shell clip-on case cover for the new laptop no {i}" for i in range(3000)
    ]
    assert neighbours(texts).near.all()


@pytest.mark.parametrize("texts", [[], ["one"], ["a", "b"]])
def test_few_or_short_texts_have_no_neighbours(texts: list[str]) -> None:
    assert not neighbours(texts).near.any()


def test_the_same_generator_finds_the_same() -> None:
    texts = typos(np.random.default_rng(5), 200)
    assert neighbours(texts).partner.tolist() == neighbours(texts).partner.tolist()


def test_a_sample_has_its_share_and_keeps_near_texts_together() -> None:
    texts = typos(np.random.default_rng(6), 8000)
    kept = sample(pl.Series(texts), 0.25, np.random.default_rng(1))
    assert kept.sum() == len(texts) // 4
    found = neighbours(texts)
    pairs = [(i, int(p)) for i, p in enumerate(found.partner) if p >= 0 and kept[i]]
    together = np.mean([kept[p] for _, p in pairs])
    assert together > 0.75  # a sample of single texts would keep a quarter


def test_a_sample_of_everything_keeps_everything() -> None:
    assert sample(pl.Series(["a", "b", "c"]), 1.0, np.random.default_rng(0)).all()
