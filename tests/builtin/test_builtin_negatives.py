from __future__ import annotations

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.builtin.configs import NegativesConfig
from prodmatch_core.builtin.in_batch_negatives import InBatchNegatives
from prodmatch_core.builtin.random_negatives import RandomNegatives
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import RowGenerator
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import ESCI, Dataset

QUERIES, PRODUCTS = 20, 60
GENERATORS: list[type[RowGenerator]] = [RandomNegatives, InBatchNegatives]


def make(judged: int = 8) -> FitData:
    """Return 20 queries and 60 products, half of each English, each query judged with `judged` products."""
    locale = np.array(["en", "ja"])
    corpus = Corpus(
        pl.DataFrame(
            {
                "query_id": [f"q{n}" for n in range(QUERIES)],
                "locale": locale[np.arange(QUERIES) % 2],
                "text": ["text"] * QUERIES,
            }
        ),
        pl.DataFrame(
            {
                "product_id": [f"p{n}" for n in range(PRODUCTS)],
                "locale": locale[np.arange(PRODUCTS) % 2],
                "title": ["title"] * PRODUCTS,
            }
        ),
    )
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(QUERIES), judged)
    product = np.concatenate(
        [rng.choice(np.arange(q % 2, PRODUCTS, 2), size=judged, replace=False) for q in range(QUERIES)]
    )
    examples = Examples(query, product, rng.integers(4, size=len(query)), rng.random(len(query)) + 0.5)
    valid = rng.random(len(query)) < 0.3
    return FitData(corpus, examples.take(~valid), examples.take(valid), ESCI, Dataset("none"))


def codes(examples: Examples) -> np.ndarray:
    return examples.query * PRODUCTS + examples.product


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("judged", [8, 29])
def test_negatives_are_never_known_pairs_of_any_split_shown(kind: type[RowGenerator], judged: int) -> None:
    data = make(judged)
    generator, rng = kind.build(NegativesConfig(per_positive=5.0), data), np.random.default_rng(0)
    known = np.concatenate([codes(data.train), codes(data.valid)])
    for _ in range(20):
        assert not np.isin(codes(generator.propose(data.train, rng)), known).any()


@pytest.mark.parametrize("kind", GENERATORS)
def test_negatives_are_of_the_querys_locale(kind: type[RowGenerator]) -> None:
    data = make()
    found = kind.build(NegativesConfig(per_positive=3.0), data).propose(data.train, np.random.default_rng(0))
    assert len(found) > 50
    np.testing.assert_array_equal(found.query % 2, found.product % 2)


@pytest.mark.parametrize("kind", GENERATORS)
def test_negatives_carry_the_worst_label_and_a_share_of_the_weight(kind: type[RowGenerator]) -> None:
    data = make()
    batch = attrs.evolve(data.train, weight=data.train.query + 1.0)
    found = kind.build(NegativesConfig(weight=0.25), data).propose(batch, np.random.default_rng(0))
    assert set(found.label.tolist()) == {3}
    np.testing.assert_allclose(found.weight, (found.query + 1) * 0.25)


@pytest.mark.parametrize("kind", GENERATORS)
def test_negatives_are_for_matching_examples_alone(kind: type[RowGenerator]) -> None:
    data = make()
    one = data.train.take(np.flatnonzero(data.train.label == 0)[:1])
    batch = one.concat(data.train.take(data.train.label != 0))
    found = kind.build(NegativesConfig(per_positive=4.0), data).propose(batch, np.random.default_rng(0))
    assert set(found.query.tolist()) == set(one.query.tolist())
    nothing = kind.build(NegativesConfig(), data).propose(
        data.train.take(data.train.label != 0), np.random.default_rng(0)
    )
    assert len(nothing) == 0


@pytest.mark.parametrize("kind", GENERATORS)
def test_no_negative_is_proposed_twice(kind: type[RowGenerator]) -> None:
    data = make()
    found = kind.build(NegativesConfig(per_positive=9.0), data).propose(data.train, np.random.default_rng(0))
    assert len(np.unique(codes(found))) == len(found)


@pytest.mark.parametrize("kind", GENERATORS)
def test_same_seed_same_negatives_and_another_seed_others(kind: type[RowGenerator]) -> None:
    data = make()
    generator = kind.build(NegativesConfig(), data)
    first, again, other = (
        codes(generator.propose(data.train, np.random.default_rng(seed))).tolist() for seed in (4, 4, 5)
    )
    assert first == again != other


def test_a_fraction_is_drawn_by_chance() -> None:
    data = make()
    generator, rng = RandomNegatives.build(NegativesConfig(per_positive=0.5), data), np.random.default_rng(0)
    positives = int((data.train.label == 0).sum())
    drawn = np.mean([len(generator.propose(data.train, rng)) for _ in range(200)])
    assert drawn / positives == pytest.approx(0.5, abs=0.05)


def test_random_negatives_are_drawn_evenly_from_the_whole_corpus() -> None:
    data = make()
    generator, rng = RandomNegatives.build(NegativesConfig(), data), np.random.default_rng(0)
    positive = data.train.take(np.flatnonzero(data.train.label == 0)[:1])
    query = int(positive.query[0])
    known = np.concatenate([part.product[part.query == query] for part in (data.train, data.valid)])
    drawn = np.concatenate([generator.propose(positive, rng).product for _ in range(4400)])
    counts = np.bincount(drawn, minlength=PRODUCTS)
    free = np.setdiff1d(np.arange(query % 2, PRODUCTS, 2), known)
    assert counts[free].sum() == counts.sum()
    expected = counts.sum() / len(free)
    assert ((counts[free] - expected) ** 2 / expected).sum() < 46.8  # 99.9 % point at 21 degrees of freedom


def test_in_batch_negatives_come_from_the_batch() -> None:
    data = make()
    batch = data.train.take(slice(0, 30))
    found = InBatchNegatives.build(NegativesConfig(per_positive=3.0), data).propose(
        batch, np.random.default_rng(0)
    )
    assert len(found)
    assert set(found.product.tolist()) <= set(batch.product.tolist())


def test_a_query_judged_with_everything_gets_no_negative() -> None:
    data = make(judged=30)
    found = RandomNegatives.build(NegativesConfig(per_positive=2.0), data).propose(
        data.train, np.random.default_rng(0)
    )
    assert len(found) == 0
