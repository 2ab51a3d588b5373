from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG
from sklearn.metrics import ndcg_score

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.evaluation import ranking
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.ranked import Ties, rank
from prodmatch_core.evaluation.ranking import PerQuery
from prodmatch_core.evaluation.trec import grades

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))
GRADES = np.array(grades(ESCI))


def at(measure: Callable[..., np.ndarray], k: int) -> PerQuery:
    return functools.partial(measure, k=k)


TREC = {
    ranking.ndcg: nDCG,
    at(ranking.ndcg, 10): nDCG @ 10,
    ranking.mrr: RR(rel=100),
    at(ranking.mrr, 2): RR(rel=100) @ 2,
    ranking.mean_average_precision: AP(rel=100),
    at(ranking.mean_average_precision, 3): AP(rel=100) @ 3,
    at(ranking.recall, 10): R(rel=100) @ 10,
    at(ranking.precision, 5): P(rel=100) @ 5,
    at(ranking.hit_rate, 3): Success(rel=100) @ 3,
}
"Each measure with the one of ir-measures, for ESCI labels graded 100, 10, 1 and 0."


def value(measure: PerQuery, evaluated: Evaluated) -> float:
    return ranking.over_queries(measure)(evaluated)(evaluated.example_weights)


def esci(labels: np.ndarray, score: np.ndarray, groups: np.ndarray, **more: object) -> Evaluated:
    probabilities = np.stack([score, *[(1 - score) / 3] * 3], axis=1)
    return Evaluated(labels, probabilities, probabilities.argmax(axis=1), groups, ESCI, **more)


def one_query(matches: list[int], scores: list[float]) -> Evaluated:
    score = np.asarray(scores)
    labels = 1 - np.asarray(matches)
    return Evaluated(labels, np.stack([score, 1 - score], 1), labels, np.zeros(len(labels), int), BINARY)


def by_trec(evaluated: Evaluated, products: list[str]) -> dict[ir_measures.Measure, float]:
    queries = [f"q{group}" for group in evaluated.groups]
    rows = range(len(queries))
    qrels = [ir_measures.Qrel(queries[k], products[k], int(GRADES[evaluated.labels[k]])) for k in rows]
    run = [ir_measures.ScoredDoc(queries[k], products[k], float(evaluated.score[k])) for k in rows]
    return ir_measures.calc_aggregate(list(TREC.values()), qrels, run)


@st.composite
def rankings(draw: st.DrawFn, ties: bool) -> Evaluated:
    rows = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    labels[0] = 0
    groups = np.array(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)))
    if ties:
        score = np.array(draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows))) / 8
    else:
        score = np.array(draw(st.permutations(range(rows)))) / 64
    return esci(labels, score, np.unique(groups, return_inverse=True)[1])


@settings(max_examples=60)
@given(e=rankings(ties=False))
def test_without_ties_every_measure_agrees_with_ir_measures(e: Evaluated) -> None:
    expected = by_trec(e, [f"p{k}" for k in range(len(e.labels))])
    for measure, trec in TREC.items():
        assert value(measure, e) == pytest.approx(expected[trec], abs=1e-9)


# RR@k is of another provider, which keeps the order of the file among ties.
BY_TREC_EVAL = {measure: trec for measure, trec in TREC.items() if trec != RR(rel=100) @ 2}


@settings(max_examples=60)
@given(e=rankings(ties=True), data=st.data())
def test_under_trec_evals_tie_rule_every_measure_agrees_with_it(e: Evaluated, data: st.DataObject) -> None:
    rows = len(e.labels)
    names = np.array(data.draw(st.permutations(range(rows))))
    expected = by_trec(e, [f"p{name:02}" for name in names])
    e = esci(e.labels, e.score, e.groups, tie_break=names)
    for measure, trec in BY_TREC_EVAL.items():
        assert value(measure, e) == pytest.approx(expected[trec], abs=1e-9)


tied_pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(rows=tied_pairs)
def test_by_default_every_measure_is_the_mean_of_ir_measures_over_all_orders(
    rows: list[tuple[int, int]],
) -> None:
    labels, scores = map(np.array, zip((0, 1), *rows, strict=True))
    e = esci(labels, scores / 4, np.zeros(len(labels), int))
    # A query for every order that product ids can be in: the mean over queries is the mean over orders.
    names = list(itertools.permutations(range(len(labels))))
    every = esci(
        np.tile(labels, len(names)),
        np.tile(scores / 4, len(names)),
        np.repeat(np.arange(len(names)), len(labels)),
    )
    expected = by_trec(every, [f"p{name}" for order in names for name in order])
    for measure, trec in BY_TREC_EVAL.items():
        assert value(measure, e) == pytest.approx(expected[trec], abs=1e-9)


@pytest.mark.parametrize("cut", [None, 10])
@settings(max_examples=60)
@given(data=st.data())
def test_with_ties_ndcg_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], cut: int | None
) -> None:
    e = data.draw(evaluateds)
    gains = np.asarray(e.scheme.gains)[e.labels]
    values, weights = [], []
    for query in range(e.n_groups):
        rows = e.groups == query
        # One product alone scikit-learn refuses: its rank is the best there is.
        one = (
            float(gains[rows].any()) if rows.sum() == 1 else ndcg_score([gains[rows]], [e.score[rows]], k=cut)
        )
        values.append(one)
        weights.append(e.example_weights[rows].mean())
    expected = np.average(values, weights=weights) if gains.any() else np.nan
    assert value(functools.partial(ranking.ndcg, k=cut), e) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def orders(matches: list[int], scores: list[int]) -> list[list[int]]:
    """Return the matches in every order that sorts the scores."""
    falling = sorted(scores, reverse=True)
    places = itertools.permutations(range(len(scores)))
    return [[matches[k] for k in p] for p in places if [scores[k] for k in p] == falling]


def reciprocal_rank(ranked: list[int]) -> float:
    return 1 / (ranked.index(1) + 1)


def average_precision(ranked: list[int]) -> float:
    return float(np.mean([sum(ranked[: k + 1]) / (k + 1) for k, match in enumerate(ranked) if match]))


pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("measure", "of_one_order"),
    [
        (ranking.mrr, reciprocal_rank),
        (at(ranking.mrr, 2), lambda ranked: reciprocal_rank(ranked) if 1 in ranked[:2] else 0),
        (ranking.mean_average_precision, average_precision),
        (at(ranking.hit_rate, 3), lambda ranked: any(ranked[:3])),
        (at(ranking.precision, 3), lambda ranked: sum(ranked[:3]) / 3),
        (at(ranking.recall, 3), lambda ranked: sum(ranked[:3]) / sum(ranked)),
    ],
    ids=["mrr", "mrr@2", "map", "hit_rate@3", "precision@3", "recall@3"],
)
@settings(max_examples=60)
@given(rows=pairs.filter(lambda rows: any(match for match, _ in rows)))
def test_with_ties_the_value_is_the_mean_over_all_orders(
    measure: PerQuery, of_one_order: Callable[[list[int]], float], rows: list[tuple[int, int]]
) -> None:
    matches, scores = map(list, zip(*rows, strict=True))
    expected = np.mean([of_one_order(order) for order in orders(matches, scores)])
    e = one_query(matches, [score / 2 for score in scores])
    assert value(measure, e) == pytest.approx(expected, abs=1e-12)


def test_recall_counts_the_share_of_a_tie_that_fits_in_ten() -> None:
    # Eight untied products with one match; then four tied for places 9 to 12, two of them matches.
    e = one_query([1] + [0] * 7 + [1, 1, 0, 0], [(20 - k) / 20 for k in range(8)] + [0.25] * 4)
    assert value(at(ranking.recall, 10), e) == pytest.approx((1 + 2 * 2 / 4) / 3)


def test_hit_rate_is_the_chance_that_the_cut_of_a_tie_holds_a_match() -> None:
    # One mismatch first; of five tied, two are matches, and two places are left of three: 1 - (3/5)(2/4).
    e = one_query([0, 1, 1, 0, 0, 0], [0.9] + [0.5] * 5)
    assert value(at(ranking.hit_rate, 3), e) == pytest.approx(1 - 3 / 10)


def test_precision_of_a_list_shorter_than_k_is_over_k() -> None:
    assert value(at(ranking.precision, 10), one_query([1, 1], [0.9, 0.5])) == 0.2


def test_ndcg_takes_the_gains_of_esci_as_they_are() -> None:
    e = esci(np.array([1, 0, 3, 2]), np.array([0.8, 0.6, 0.4, 0.2]), np.zeros(4, int))
    dcg = 0.1 + 1 / np.log2(3) + 0.01 / np.log2(5)
    ideal = 1 + 0.1 / np.log2(3) + 0.01 / 2
    assert value(ranking.ndcg, e) == pytest.approx(dcg / ideal, abs=1e-15)


def test_ndcg_at_10_leaves_out_later_ranks() -> None:
    labels = np.full(12, 3)
    labels[10:] = 0
    e = esci(labels, np.linspace(0.9, 0.1, 12), np.zeros(12, int))
    assert value(at(ranking.ndcg, 10), e) == 0.0
    assert value(ranking.ndcg, e) > 0.3


def test_one_score_for_all_gives_the_mean_of_a_random_order() -> None:
    e = one_query([1, 0, 0, 0], [0.5] * 4)
    assert value(ranking.mrr, e) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("cells", [1, 7, 64])
def test_how_ties_are_laid_out_does_not_matter(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    generator = np.random.default_rng(3)
    e = esci(generator.integers(4, size=300), generator.integers(3, size=300) / 4, np.arange(300) % 30)
    expected = {measure: measure(e.ranked) for measure in (ranking.mrr, at(ranking.hit_rate, 3))}
    monkeypatch.setattr(ranking, "_CELLS", cells)
    for measure, values in expected.items():
        np.testing.assert_array_equal(measure(e.ranked), values)


def test_products_that_were_judged_and_not_retrieved_are_missed() -> None:
    # Two relevant products are judged, one is retrieved first; the second query retrieves nothing.
    ideal = rank(np.array([0, 0, 1]), np.zeros(3), np.ones(3), np.ones(3), queries=2).ideal
    ranked = rank(np.zeros(1, int), np.ones(1), np.ones(1), np.ones(1), queries=2, ideal=ideal)
    assert ranking.recall(ranked, 5).tolist() == [0.5, 0.0]
    assert ranking.mrr(ranked).tolist() == [1.0, 0.0]
    assert ranking.mean_average_precision(ranked).tolist() == [0.5, 0.0]
    assert ranking.ndcg(ranked) == pytest.approx([1 / (1 + 1 / np.log2(3)), 0])


def test_a_query_without_a_match_counts_as_zero() -> None:
    e = esci(np.array([0, 3, 3]), np.array([0.9, 0.5, 0.1]), np.array([0, 1, 1]))
    whole = esci(np.array([0]), np.array([0.9]), np.array([0]))
    for measure in TREC:
        assert value(measure, e) == value(measure, whole) / 2 > 0


def test_no_match_anywhere_leaves_the_value_undefined() -> None:
    e = esci(np.array([3, 3]), np.array([0.9, 0.1]), np.array([0, 1]))
    for measure in TREC:
        assert np.isnan(value(measure, e))


def test_a_query_without_weight_does_not_count() -> None:
    e = esci(np.array([0, 3]), np.array([0.9, 0.1]), np.array([0, 1]), weights=[1.0, 0.0])
    assert value(ranking.ndcg, e) == 1.0


def test_a_query_weighs_the_mean_of_its_rows_however_many_it_has() -> None:
    # Reciprocal ranks 1 (three rows of mean weight 1) and 1/2 (two rows of mean weight 3).
    labels, score = np.array([0, 3, 3, 3, 0]), np.array([0.9, 0.5, 0.1, 0.9, 0.5])
    e = esci(labels, score, np.array([0, 0, 0, 1, 1]), weights=[1, 2, 0, 3, 3])
    assert value(ranking.mrr, e) == pytest.approx((1 * 1 + 3 * 0.5) / 4)


def test_the_order_of_the_rows_does_not_matter() -> None:
    generator = np.random.default_rng(5)
    labels, score = generator.integers(4, size=60), generator.integers(8, size=60) / 8
    groups, shuffle = np.arange(60) % 6, generator.permutation(60)
    for tie_break in (None, generator.permutation(60)):
        e = esci(labels, score, groups, tie_break=tie_break)
        for measure in TREC:
            assert value(measure, e.subset(shuffle)) == pytest.approx(value(measure, e), abs=1e-12)


def test_tie_share_counts_rows_that_tie_within_their_query() -> None:
    e = esci(np.zeros(5, int), np.array([0.5, 0.5, 0.25, 0.5, 0.25]), np.array([0, 0, 0, 1, 1]))
    assert ranking.tie_share(e)(e.example_weights) == 2 / 5


@pytest.mark.parametrize("tie_break", [None, range(7)], ids=["expected", "trec"])
def test_ties_count_queries_and_those_whose_values_the_rule_decides(tie_break: range | None) -> None:
    # Query 0 ties two exact products; query 1 an exact and an irrelevant one; query 2 nothing.
    labels, score = np.array([0, 0, 3, 0, 3, 0, 3]), np.array([0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25])
    e = esci(labels, score, np.array([0, 0, 0, 1, 1, 2, 2]), tie_break=tie_break)
    assert e.ranked.ties == Ties(rows=4, queries=2, decided_by_rule=1)


def test_under_trec_evals_rule_scores_that_differ_beyond_32_bits_tie() -> None:
    score = np.array([0.5 + 1e-9, 0.5])
    plain = esci(np.array([0, 3]), score, np.zeros(2, int))
    assert value(ranking.mrr, plain) == 1.0
    assert value(ranking.mrr, esci(plain.labels, score, plain.groups, tie_break=[0, 1])) == 0.5


def test_minus_zero_ties_with_zero() -> None:
    ranked = rank(np.zeros(2, int), np.array([-0.0, 0.0]), np.array([1.0, 0]), np.array([1, 0]), queries=1)
    assert ranked.ties.rows == 2
