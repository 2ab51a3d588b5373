from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, R, nDCG
from sklearn.metrics import ndcg_score

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.evaluation import ranking
from prodmatch_core.evaluation.evaluated import Evaluated, Measure
from prodmatch_core.evaluation.trec import grades

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))
GRADES = np.array(grades(ESCI))
TREC = {
    ranking.ndcg: nDCG,
    ranking.ndcg_at_10: nDCG @ 10,
    ranking.mrr: RR(rel=100),
    ranking.mean_average_precision: AP(rel=100),
    ranking.recall_at_10: R(rel=100) @ 10,
}
"Each measure with trec_eval's, for ESCI labels graded 100, 10, 1 and 0."


def value(measure: Measure, evaluated: Evaluated) -> float:
    return measure(evaluated)(evaluated.example_weights)


def esci(labels: np.ndarray, score: np.ndarray, groups: np.ndarray, **more: object) -> Evaluated:
    probabilities = np.stack([score, *[(1 - score) / 3] * 3], axis=1)
    return Evaluated(labels, probabilities, probabilities.argmax(axis=1), groups, ESCI, **more)


def one_query(matches: list[int], scores: list[float]) -> Evaluated:
    score = np.asarray(scores)
    labels = 1 - np.asarray(matches)
    return Evaluated(labels, np.stack([score, 1 - score], 1), labels, np.zeros(len(labels), int), BINARY)


def by_trec(evaluated: Evaluated) -> dict[ir_measures.Measure, float]:
    rows = range(len(evaluated.labels))
    queries = [f"q{group}" for group in evaluated.groups]
    qrels = [ir_measures.Qrel(queries[k], f"p{k}", int(GRADES[evaluated.labels[k]])) for k in rows]
    run = [ir_measures.ScoredDoc(queries[k], f"p{k}", float(evaluated.score[k])) for k in rows]
    return ir_measures.calc_aggregate(list(TREC.values()), qrels, run)


@st.composite
def untied(draw: st.DrawFn) -> Evaluated:
    rows = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    labels[0] = 0
    groups = np.unique(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)), return_inverse=True)[
        1
    ]
    return esci(labels, np.array(draw(st.permutations(range(rows)))) / 64, groups)


@settings(max_examples=60)
@given(e=untied())
def test_without_ties_every_measure_agrees_with_trec_eval(e: Evaluated) -> None:
    expected = by_trec(e)
    for measure, trec in TREC.items():
        assert value(measure, e) == pytest.approx(expected[trec], abs=1e-9)


@pytest.mark.parametrize(("measure", "cut"), [(ranking.ndcg, None), (ranking.ndcg_at_10, 10)])
@settings(max_examples=60)
@given(data=st.data())
def test_with_ties_ndcg_agrees_with_scikit_learn(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], measure: Measure, cut: int | None
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
    assert value(measure, e) == pytest.approx(expected, abs=1e-9, nan_ok=True)


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
    [(ranking.mrr, reciprocal_rank), (ranking.mean_average_precision, average_precision)],
)
@settings(max_examples=60)
@given(rows=pairs.filter(lambda rows: any(match for match, _ in rows)))
def test_with_ties_the_value_is_the_mean_over_all_orders(
    measure: Measure, of_one_order: Callable[[list[int]], float], rows: list[tuple[int, int]]
) -> None:
    matches, scores = map(list, zip(*rows, strict=True))
    expected = np.mean([of_one_order(order) for order in orders(matches, scores)])
    e = one_query(matches, [score / 2 for score in scores])
    assert value(measure, e) == pytest.approx(expected, abs=1e-12)


def test_recall_counts_the_share_of_a_tie_that_fits_in_ten() -> None:
    # Eight untied products with one match; then four tied for places 9 to 12, two of them matches.
    e = one_query([1] + [0] * 7 + [1, 1, 0, 0], [(20 - k) / 20 for k in range(8)] + [0.25] * 4)
    assert value(ranking.recall_at_10, e) == pytest.approx((1 + 2 * 2 / 4) / 3)


def test_ndcg_takes_the_gains_of_esci_as_they_are() -> None:
    e = esci(np.array([1, 0, 3, 2]), np.array([0.8, 0.6, 0.4, 0.2]), np.zeros(4, int))
    dcg = 0.1 + 1 / np.log2(3) + 0.01 / np.log2(5)
    ideal = 1 + 0.1 / np.log2(3) + 0.01 / 2
    assert value(ranking.ndcg, e) == pytest.approx(dcg / ideal, abs=1e-15)


def test_ndcg_at_10_leaves_out_later_ranks() -> None:
    labels = np.full(12, 3)
    labels[10:] = 0
    e = esci(labels, np.linspace(0.9, 0.1, 12), np.zeros(12, int))
    assert value(ranking.ndcg_at_10, e) == 0.0
    assert value(ranking.ndcg, e) > 0.3


def test_one_score_for_all_gives_the_mean_of_a_random_order() -> None:
    e = one_query([1, 0, 0, 0], [0.5] * 4)
    assert value(ranking.mrr, e) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_a_query_without_a_match_counts_as_zero() -> None:
    e = esci(np.array([0, 3, 3]), np.array([0.9, 0.5, 0.1]), np.array([0, 1, 1]))
    for measure in TREC:
        assert value(measure, e) == 0.5


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
    sorted_rows = esci(labels, score, groups)
    for measure in (*TREC, ranking.tie_share):
        assert value(measure, sorted_rows.subset(shuffle)) == pytest.approx(
            value(measure, sorted_rows), abs=1e-12
        )


def test_tie_share_counts_rows_that_tie_within_their_query() -> None:
    e = esci(np.zeros(5, int), np.array([0.5, 0.5, 0.25, 0.5, 0.25]), np.array([0, 0, 0, 1, 1]))
    assert value(ranking.tie_share, e) == 2 / 5


@pytest.mark.real
def test_ndcg_of_the_esci_judgements_agrees_with_ir_measures() -> None:
    if "PRODMATCH_DATA" not in os.environ:
        pytest.skip("PRODMATCH_DATA is not set: the ESCI judgements are not here")
    path = Path(os.environ["PRODMATCH_DATA"], "esci_judgements", "esci_us_judgments.json")
    queries = json.loads(path.read_text(encoding="utf-8"))["judgmentRatings"]
    label_of = {grade: label for label, grade in enumerate(GRADES.tolist())}
    rated = [(k, float(rating["rating"])) for k, query in enumerate(queries) for rating in query["ratings"]]
    labels = np.array([label_of[int(grade)] for _, grade in rated])
    score = np.random.default_rng(11).permutation(len(rated)) / len(rated)
    e = esci(labels, score, np.array([k for k, _ in rated]))
    assert (len(labels), e.n_groups) == (6678, 150)
    expected = by_trec(e)
    for measure, trec in TREC.items():
        assert value(measure, e) == pytest.approx(expected[trec], abs=1e-9)
