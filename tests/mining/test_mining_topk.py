from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.mining import topk
from prodmatch_core.mining.lexical import LexicalIndex
from prodmatch_core.mining.topk import Best, Ragged

WORDS = ("red", "blue", "dress", "shoe", "lamp", "lamps", "xl", "42", "ドレス", "")


def vectors(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return small whole numbers, so that every order of summation gives the same score and ties are many."""
    return rng.integers(-3, 4, size=(rows, 5)).astype(np.float32)


def brute(scores: np.ndarray, k: int, excluded: Ragged, above: float = -np.inf) -> Best:
    """Return the best k of each row by sorting everything."""
    best = Best.empty(len(scores), k)
    for row, values in enumerate(scores):
        banned = set(excluded.values[excluded.offsets[row] : excluded.offsets[row + 1]].tolist())
        order = sorted((-v, c) for c, v in enumerate(values.tolist()) if c not in banned and v > above)[:k]
        for place, (score, column) in enumerate(order):
            best.scores[row, place], best.columns[row, place] = -score, column
    return best


def gathered(blocks: list[tuple[slice, Best]], rows: int, k: int) -> Best:
    assert [row for block, _ in blocks for row in range(block.start, block.stop)] == list(range(rows))
    parts = [Best.empty(0, k), *(best for _, best in blocks)]
    return Best(np.concatenate([p.scores for p in parts]), np.concatenate([p.columns for p in parts]))


def draw_excluded(rng: np.random.Generator, rows: int, columns: int) -> Ragged:
    pairs = rng.random((rows, columns)) < 0.2
    return Ragged.of(*np.nonzero(pairs), rows)


def test_the_best_two_of_three_are_in_order_and_the_excluded_one_is_not_there() -> None:
    queries = np.array([[1, 0], [0, 1]], dtype=np.float32)
    products = np.array([[0.5, 0.1], [0.9, 0.2], [0.7, 0.3]], dtype=np.float32)
    excluded = Ragged.of(np.array([0]), np.array([1]), 2)
    ((block, best),) = topk.search(queries, products, 2, excluded, 1 << 20, 1)
    assert (block.start, block.stop) == (0, 2)
    assert best.columns.tolist() == [[2, 0], [2, 1]]
    np.testing.assert_allclose(best.scores, [[0.7, 0.5], [0.3, 0.2]])


def test_where_there_are_fewer_than_asked_for_the_rest_is_marked() -> None:
    queries, products = np.ones((1, 2), dtype=np.float32), np.eye(2, dtype=np.float32)
    excluded = Ragged.of(np.array([0]), np.array([0]), 1)
    ((_, best),) = topk.search(queries, products, 3, excluded, 1 << 20, 1)
    assert best.columns.tolist() == [[1, -1, -1]]
    assert best.scores.tolist() == [[1.0, -np.inf, -np.inf]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 12),
    columns=st.integers(1, 200),
    k=st.integers(1, 12),
    memory=st.sampled_from([1, 300, 2000, 1 << 16, 1 << 26]),
    threads=st.integers(1, 3),
)
def test_vectors_are_searched_as_by_sorting_everything_whatever_the_blocks(
    seed: int, rows: int, columns: int, k: int, memory: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, products = vectors(rng, rows), vectors(rng, columns)
    excluded = draw_excluded(rng, rows, columns)
    found = gathered(list(topk.search(queries, products, k, excluded, memory, threads)), rows, k)
    expected = brute(queries @ products.T, k, excluded)
    np.testing.assert_array_equal(found.columns, expected.columns)
    np.testing.assert_array_equal(found.scores, expected.scores)


@settings(max_examples=60, deadline=None)
@given(
    queries=st.lists(st.lists(st.sampled_from(WORDS), max_size=4), min_size=1, max_size=6),
    products=st.lists(st.lists(st.sampled_from(WORDS), max_size=6), min_size=1, max_size=20),
    k=st.integers(1, 8),
    memory=st.sampled_from([1, 300, 1 << 26]),
    seed=st.integers(0, 99),
)
def test_texts_are_searched_as_by_the_cosine_of_every_pair_whatever_the_blocks(
    queries: list[list[str]], products: list[list[str]], k: int, memory: int, seed: int
) -> None:
    index = LexicalIndex.of([" ".join(words) for words in products])
    bags = index.bags([" ".join(words) for words in queries])
    excluded = draw_excluded(np.random.default_rng(seed), len(queries), len(products))
    pairs = np.array(list(itertools.product(range(len(queries)), range(len(products)))))
    scores = index.cosines(bags, pairs[:, 0], pairs[:, 1]).reshape(len(queries), len(products))
    found = gathered(list(index.search(bags, len(products), k, excluded, memory, 2)), len(queries), k)
    expected = brute(scores, k, excluded, above=0.0)
    np.testing.assert_array_equal(found.columns, expected.columns)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_tile_and_its_heaps_fit_the_memory_given() -> None:
    for memory, k in itertools.product((100_000, 1 << 20, 1 << 24, 1 << 30), (1, 50, 1000)):
        rows, columns = topk.tile_shape(k, memory)
        assert rows == 1 or rows * (4 * columns + 2 * 24 * k) <= memory
        assert 4 * columns <= memory


def test_the_cosine_of_two_texts_is_that_of_their_weighted_ngrams() -> None:
    """Of the titles `ab` and `cd`, each has 3 n-grams: `<ab`, `ab>` and the word; each weighs log(3) squared."""
    index = LexicalIndex.of(["ab", "cd"])
    bags = index.bags(["ab", "ab cd", "zz", ""])
    scores = index.cosines(bags, np.array([0, 0, 1, 2, 3]), np.array([0, 1, 0, 0, 1]))
    # `ab cd` has 7: those of both words, and their pair, which no title has but which weighs as much.
    np.testing.assert_allclose(scores, [1, 0, 3 / np.sqrt(3 * 7), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(index.weights, (np.log(3 / 1)) ** 2, rtol=1e-6)


def test_ngrams_of_many_titles_weigh_nothing() -> None:
    titles = [f"the thing{n}" for n in range(1200)]
    index = LexicalIndex.of(titles)
    bags = index.bags(["the"])
    assert index.cosines(bags, np.array([0]), np.array([5])).tolist() == [0.0]
    assert not (
        next(
            iter(
                index.search(
                    bags,
                    1200,
                    3,
                    Ragged.of(np.array([], dtype=np.int64), np.array([], dtype=np.int64), 1),
                    1 << 20,
                    1,
                )
            )
        )[1].columns
        >= 0
    ).any()


def test_approximate_search_without_faiss_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from prodmatch_core.errors import ConfigError
    from prodmatch_core.mining import approximate

    monkeypatch.setitem(sys.modules, "faiss", None)
    ones = np.ones((2, 2), dtype=np.float32)
    excluded = Ragged(np.empty(0, dtype=np.int64), np.zeros(3, dtype=np.int64))
    with pytest.raises(ConfigError) as caught:
        list(approximate.search(ones, ones, 1, excluded, 1 << 20, "hnsw"))
    assert str(caught.value) == (
        'negatives: index = "hnsw" needs faiss. `pip install faiss-cpu`, or use index = "exact"'
    )


@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_approximate_search_of_few_products_finds_the_exact_ones(index: str) -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is an optional extra")
    from prodmatch_core.mining import approximate

    rng = np.random.default_rng(0)
    queries, products = (
        rng.standard_normal((20, 8), dtype=np.float32),
        rng.standard_normal((60, 8), dtype=np.float32),
    )
    excluded = draw_excluded(rng, 20, 60)
    exact = gathered(list(topk.search(queries, products, 5, excluded, 1 << 20, 1)), 20, 5)
    near = gathered(list(approximate.search(queries, products, 5, excluded, 1 << 12, index)), 20, 5)
    assert (near.columns == exact.columns).mean() > 0.95
    np.testing.assert_allclose(near.scores[:, 0], exact.scores[:, 0], rtol=1e-5)
