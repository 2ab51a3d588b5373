"""The law every measure keeps: a weight of k is the row repeated k times, and a weight of 0 the row left out."""

from __future__ import annotations

import functools

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.evaluation import classification, probability, ranking
from prodmatch_core.evaluation.evaluated import Evaluated, Measure

BY_ROW = (
    classification.accuracy,
    classification.micro_f1,
    classification.macro_f1,
    classification.weighted_f1,
    classification.kappa,
    classification.quadratic_kappa,
    probability.nll,
    probability.brier,
    probability.ece,
    probability.average_precision,
    probability.mismatch_average_precision,
    probability.match_f1,
    probability.mismatch_f1,
    probability.roc_auc,
)


def by_query(per_query: ranking.PerQuery, k: int | None = None) -> Measure:
    measure = ranking.over_queries(per_query if k is None else functools.partial(per_query, k=k))
    measure.__name__ = f"{per_query.__name__}{'' if k is None else f'@{k}'}"
    return measure


BY_QUERY = (
    by_query(ranking.ndcg),
    by_query(ranking.ndcg, 3),
    by_query(ranking.mrr),
    by_query(ranking.mean_average_precision),
    by_query(ranking.recall, 3),
    by_query(ranking.precision, 3),
    by_query(ranking.hit_rate, 3),
    ranking.tie_share,
)


def name(measure: Measure) -> str:
    return measure.__name__


def draw_times(data: st.DataObject, size: int) -> np.ndarray:
    times = st.lists(st.integers(0, 3), min_size=size, max_size=size)
    return np.array(data.draw(times.filter(any)))


@pytest.mark.parametrize("measure", BY_ROW, ids=name)
@settings(max_examples=40)
@given(data=st.data())
def test_a_weight_is_a_row_repeated(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], measure: Measure
) -> None:
    e = attrs.evolve(data.draw(evaluateds), weights=None)
    times = draw_times(data, len(e.labels))
    repeated = e.subset(np.repeat(np.arange(len(times)), times))
    expected = measure(repeated)(repeated.example_weights)
    assert measure(e)(times.astype(np.float64)) == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("measure", BY_QUERY, ids=name)
@settings(max_examples=40)
@given(data=st.data())
def test_a_weight_is_a_query_repeated(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], measure: Measure
) -> None:
    e = attrs.evolve(data.draw(evaluateds), weights=None)
    times = draw_times(data, e.n_groups)
    repeated = repeat_queries(e, times)
    expected = measure(repeated)(repeated.example_weights)
    weights = times.astype(np.float64)[e.groups]
    assert measure(e)(weights) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def repeat_queries(e: Evaluated, times: np.ndarray) -> Evaluated:
    copies = [np.flatnonzero(e.groups == query) for query in np.repeat(np.arange(len(times)), times)]
    copied = e.subset(np.concatenate(copies))
    return attrs.evolve(copied, groups=np.repeat(np.arange(len(copies)), [len(rows) for rows in copies]))


@pytest.mark.parametrize("measure", BY_ROW + BY_QUERY, ids=name)
@settings(max_examples=40)
@given(data=st.data())
def test_the_scale_of_the_weights_does_not_matter(
    data: st.DataObject, evaluateds: st.SearchStrategy[Evaluated], measure: Measure
) -> None:
    e = data.draw(evaluateds)
    statistic = measure(e)
    expected = statistic(e.example_weights)
    assert statistic(e.example_weights * 7) == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("measure", BY_ROW + BY_QUERY, ids=name)
def test_no_weight_at_all_is_nan(measure: Measure) -> None:
    e = any_evaluated()
    assert np.isnan(measure(e)(np.zeros(len(e.labels))))


@pytest.mark.parametrize("measure", BY_ROW + BY_QUERY, ids=name)
def test_no_row_at_all_is_nan(measure: Measure) -> None:
    nothing = any_evaluated().subset(np.zeros(6, dtype=bool))
    assert np.isnan(measure(nothing)(nothing.example_weights))


def any_evaluated() -> Evaluated:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    return Evaluated(
        [0, 1, 2, 3, 0, 1], probabilities, probabilities.argmax(axis=1), [0, 0, 0, 1, 1, 1], ESCI
    )
