from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.corpus import Examples
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation import retrieved as module
from prodmatch_core.evaluation.evaluated import Statistic
from prodmatch_core.evaluation.retrieval import map_at_r
from prodmatch_core.evaluation.retrieved import Retrieved, Wanted, cosine_scorer, retrieve
from prodmatch_core.evaluation.search import Search
from prodmatch_core.registry import default_registry
from prodmatch_core.task_specs import EMBED, RELATE


def found(hits: list[list[int]], relevant: list[int]) -> Retrieved:
    array = np.array(hits, dtype=bool)
    nearest = np.tile(np.arange(array.shape[1]), (len(array), 1))
    return Retrieved(array, np.array(relevant), nearest, np.arange(len(array)))


def at(name: str) -> Callable[[Retrieved], Statistic]:
    return default_registry().measure(name).load()


def value(statistic: object, n: int) -> float:
    return statistic(np.ones(n))  # type: ignore[operator]


def test_measures_by_hand() -> None:
    # Right at ranks 2 and 3 of 2; right at rank 1 of 3; nothing right.
    three = found([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [2, 3, 1])
    assert value(at("hit_rate@1")(three), 3) == pytest.approx(1 / 3)
    assert value(at("hit_rate@2")(three), 3) == pytest.approx(2 / 3)
    assert value(at("mrr@4")(three), 3) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert value(at("mrr@1")(three), 3) == pytest.approx(1 / 3)
    # R = 2: rank 2 is right, precision 1/2, over 2. R = 3: rank 1 is right, precision 1, over 3.
    assert value(map_at_r(three), 3) == pytest.approx((1 / 4 + 1 / 3 + 0) / 3)


def test_a_weight_of_two_is_a_query_twice() -> None:
    one, twice = found([[1, 0], [0, 1]], [1, 1]), found([[1, 0], [0, 1], [0, 1]], [1, 1, 1])
    for measure in (lambda r: at("hit_rate@1")(r), lambda r: at("mrr@2")(r), map_at_r):
        assert measure(one)(np.array([1.0, 2.0])) == pytest.approx(value(measure(twice), 3))


def test_without_weight_a_measure_is_undefined() -> None:
    assert np.isnan(at("hit_rate@1")(found([[1]], [1]))(np.zeros(1)))


def test_a_query_without_anything_right_is_refused() -> None:
    with pytest.raises(DataError, match="query 1 has no right candidate"):
        found([[1], [0]], [1, 0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    queries, candidates = draw(st.integers(1, 6)), draw(st.integers(2, 12))
    # Few different values, so that ties are common.
    scores = draw(st.lists(st.integers(-2, 2), min_size=queries * candidates, max_size=queries * candidates))
    right = draw(st.lists(st.booleans(), min_size=queries * candidates, max_size=queries * candidates))
    barred = draw(st.lists(st.booleans(), min_size=queries * candidates, max_size=queries * candidates))
    shape = (queries, candidates)
    right_array = np.array(right).reshape(shape)
    right_array[:, 0] = True
    barred_array = np.array(barred).reshape(shape) & ~right_array
    return np.array(scores, dtype=np.float32).reshape(shape), right_array, barred_array


@given(worlds(), st.integers(1, 15), st.sampled_from([1, 64, 1 << 20]))
@settings(max_examples=150, deadline=None)
def test_search_agrees_with_sorting_everything(
    world: tuple[np.ndarray, np.ndarray, np.ndarray], depth: int, block: int
) -> None:
    scores, right, barred = world
    wanted = Wanted(*np.nonzero(right), *np.nonzero(barred))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block)
        result = retrieve(lambda rows: scores[rows], *scores.shape, wanted, np.arange(len(scores)), depth)
    for row in range(len(scores)):
        kept = result.nearest[row][result.nearest[row] >= 0]
        allowed = np.flatnonzero(~barred[row])
        assert len(kept) == min(depth, len(allowed)) and len(set(kept)) == len(kept)
        assert set(kept) <= set(allowed)
        # Whatever order ties come in, the scores at each rank are those of a full sort.
        np.testing.assert_array_equal(scores[row, kept], np.sort(scores[row, allowed])[::-1][: len(kept)])
        np.testing.assert_array_equal(result.hits[row][: len(kept)], right[row, kept])
        assert not result.hits[row][len(kept) :].any()
        assert result.relevant[row] == right[row].sum()


def test_ties_are_not_decided_by_the_order_of_candidates() -> None:
    """All candidates alike: the first, the middle and the last one come first about equally often."""
    count = 200
    wanted = Wanted(np.array([0]), np.array([0]), np.empty(0, np.int64), np.empty(0, np.int64))
    order = retrieve(
        lambda rows: np.zeros((len(rows), count), np.float32), 1, count, wanted, np.zeros(1, np.int64), count
    ).nearest[0]
    assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 0.2


def test_items_look_for_their_group_and_never_for_themselves() -> None:
    split = Examples(np.full(5, -1), np.arange(10, 15), np.array([3, 1, 3, 7, 3]), np.ones(5))
    search = Search.of(EMBED, split, Examples.empty(), 20)
    assert search.reads[0][1].tolist() == [10, 12, 14]
    pairs = set(zip(search.wanted.query.tolist(), search.wanted.candidate.tolist(), strict=True))
    assert pairs == {(0, 2), (0, 4), (1, 0), (1, 4), (2, 0), (2, 2)}
    vectors = np.array([[1, 0], [0, 1], [1, 0.1], [0.5, 1], [-1, 0]], dtype=np.float32)
    result = search.run(vectors[[0, 2, 4]], vectors)
    assert result.nearest[:, 0].tolist() == [2, 0, 1]
    assert result.hits[:, 0].tolist() == [True, True, False]


def test_edges_known_already_and_the_product_itself_are_no_candidates() -> None:
    known = Examples(np.array([0, 0, 2]), np.array([1, 2, 0]), np.zeros(3), np.ones(3))
    hidden = Examples(np.array([0, 3]), np.array([4, 1]), np.zeros(2), np.ones(2))
    search = Search.of(RELATE, hidden, known, 5)
    result = search.run(np.eye(2, 3, dtype=np.float32), np.ones((5, 3), dtype=np.float32))
    assert set(result.nearest[0]) - {-1} == {3, 4}
    assert set(result.nearest[1]) - {-1} == {0, 1, 2, 4}
    assert result.relevant.tolist() == [1, 1]


def test_cosine_ignores_length_and_a_zero_vector_is_like_nothing() -> None:
    score = cosine_scorer(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[5.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(score(np.array([0, 1])), [[1, 0], [0, 0]])


NONE = Examples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def test_a_search_among_items_keeps_their_similarities() -> None:
    labels = np.array([7, 3, 7, 5, 3])
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = Search.of(EMBED, Examples(np.full(5, -1), np.arange(5), labels, np.ones(5)), NONE, 5).run(
        vectors[[0, 1, 2, 4]], vectors
    )
    assert found.space is not None
    assert found.space.queries.tolist() == [0, 1, 2, 4]
    assert found.space.labels[found.space.queries].tolist() == [2, 0, 2, 0]
    part = found.subset(np.array([False, True, False, True])).space
    assert part is not None and part.queries.tolist() == [1, 4]
    np.testing.assert_allclose(part.score(np.array([1])), found.space.score(np.array([3])))


def test_a_search_for_hidden_edges_has_no_groups_to_tell_apart() -> None:
    split = Examples(np.array([0]), np.array([1]), np.zeros(1), np.ones(1))
    vectors = np.eye(3, dtype=np.float32)
    assert Search.of(RELATE, split, NONE, 3).run(vectors[:1], vectors).space is None
