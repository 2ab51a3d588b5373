from __future__ import annotations

import itertools
from typing import TypeAlias

import attrs
import numpy as np
import pytest

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.classification import accuracy, macro_f1
from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of
from prodmatch_core.evaluation.probability import (
    average_precision,
    mismatch_average_precision,
    nll,
    roc_auc,
)
from prodmatch_core.evaluation.ranking import mrr, ndcg, over_queries
from prodmatch_core.evaluation.significance import (
    Difference,
    PerQueryRows,
    bootstrap_weights,
    holm,
    interval,
    intervals,
    paired_bootstrap,
    paired_randomisation,
    paired_sign_flips,
)

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))

Pair: TypeAlias = tuple[Evaluated, Evaluated]


def system(correct: np.ndarray, groups: np.ndarray, seed: int = 0) -> Evaluated:
    """Return a system that decides right where `correct`; its probabilities lean to its decision."""
    generator = np.random.default_rng(seed)
    labels = np.arange(len(correct)) % 2
    decisions = np.where(correct, labels, 1 - labels)
    lean = generator.uniform(0.5, 1.0, len(correct))
    score = np.where(decisions == 0, lean, 1 - lean)
    return Evaluated(labels, np.stack([score, 1 - score], 1), decisions, groups, BINARY)


@pytest.fixture
def pair() -> Pair:
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 5)
    return system(generator.random(200) < 0.8, groups, 1), system(generator.random(200) < 0.7, groups, 2)


def test_a_replicate_draws_whole_queries_as_many_as_there_are() -> None:
    groups = np.array([0, 1, 1, 2, 2, 2])
    for weights in bootstrap_weights(groups, 50, seed=1):
        per_query = [set(weights[groups == query].tolist()) for query in range(3)]
        assert [len(values) for values in per_query] == [1, 1, 1]
        assert sum(values.pop() for values in per_query) == 3


def test_every_query_is_drawn_once_a_replicate_on_average() -> None:
    mean = np.mean(list(bootstrap_weights(np.arange(5), 4000, seed=1)), axis=0)
    assert mean == pytest.approx(np.ones(5), abs=0.06)


def test_the_same_seed_draws_the_same_queries() -> None:
    def draw(seed: int) -> np.ndarray:
        return np.array(list(bootstrap_weights(np.arange(9), 5, seed)))

    assert (draw(3) == draw(3)).all()
    assert (draw(3) != draw(4)).any()


def test_together_or_alone_a_statistic_has_the_same_interval(pair: Pair) -> None:
    first, _ = pair
    statistics = {"accuracy": accuracy(first), "ndcg": over_queries(ndcg)(first)}
    together = intervals(statistics, first, seed=5, replicates=100)
    assert together["ndcg"] == interval(statistics["ndcg"], first, seed=5, replicates=100)
    assert list(together) == ["accuracy", "ndcg"]


def test_example_weights_count_in_value_and_resamples(pair: Pair) -> None:
    first, _ = pair
    ours = attrs.evolve(first, weights=np.where(first.labels == first.decisions, 1.0, 0.0))
    found = interval(accuracy(ours), ours, seed=0, replicates=50)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_wider_level_gives_a_wider_interval(pair: Pair) -> None:
    first, _ = pair
    narrow, wide = (interval(accuracy(first), first, seed=0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # Rows of a query share its chance of success, so that resampling rows would cover far too rarely.
    generator = np.random.default_rng(7)
    groups, covered = np.repeat(np.arange(60), 5), 0
    for seed in range(300):
        chance = generator.beta(1, 1, size=60)
        correct = generator.random(300) < chance[groups]
        found = interval(mean_of(correct), system(correct, groups), seed=seed, replicates=200)
        covered += found.low <= 0.5 <= found.high
    assert 0.91 <= covered / 300 <= 0.98


def test_replicates_without_the_class_are_counted_and_left_out() -> None:
    labels = np.array([0, 1, 1])
    e = Evaluated(labels, [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], labels, [0, 1, 2], BINARY)
    found = interval(average_precision(e), e, seed=0, replicates=400)
    # A query of three is not drawn in (2/3)**3 of the replicates.
    assert found.undefined / 400 == pytest.approx(8 / 27, abs=0.07)
    assert (found.low, found.high) == (1.0, 1.0)


def test_one_query_has_a_value_but_no_interval() -> None:
    e = system(np.array([True, False]), np.array([0, 0]))
    found = interval(accuracy(e), e, seed=0, replicates=20)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()


def test_no_replicates_give_the_value_alone(pair: Pair) -> None:
    first, _ = pair
    found = interval(accuracy(first), first, seed=0, replicates=0)
    assert found.value == (first.labels == first.decisions).mean()
    assert np.isnan([found.low, found.high]).all()


def test_a_system_does_not_differ_from_itself(pair: Pair) -> None:
    first, _ = pair
    statistic = macro_f1(first)
    assert paired_bootstrap(statistic, statistic, first, seed=0, replicates=50) == Difference(0, 0, 0, 1)
    assert paired_randomisation(average_precision, first, first, seed=0, replicates=50) == 1.0


def test_the_other_way_round_the_difference_is_the_negative(pair: Pair) -> None:
    first, second = (macro_f1(e) for e in pair)
    there = paired_bootstrap(first, second, pair[0], seed=4, replicates=300)
    back = paired_bootstrap(second, first, pair[0], seed=4, replicates=300)
    assert (back.value, back.p) == (-there.value, there.p)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_better_on_every_query_has_the_least_p_value() -> None:
    groups = np.repeat(np.arange(20), 4)
    better, worse = system(np.ones(80, bool), groups), system(np.zeros(80, bool), groups)
    found = paired_bootstrap(accuracy(better), accuracy(worse), better, seed=0, replicates=199)
    assert found == Difference(1.0, 1.0, 1.0, 2 / 200)
    assert paired_randomisation(accuracy, better, worse, seed=0, replicates=199) == 1 / 200


def test_pairing_finds_a_difference_that_two_intervals_overlap_on() -> None:
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(80), 5)
    worse = generator.random(400) < generator.random(80)[groups]
    better = worse | (generator.random(400) < 0.1)
    first, second = system(better, groups), system(worse, groups)
    assert paired_bootstrap(accuracy(first), accuracy(second), first, seed=0).low > 0
    assert interval(accuracy(first), first, seed=0).low < interval(accuracy(second), second, seed=0).high


def test_randomisation_approaches_the_exact_test_over_all_swaps() -> None:
    groups = np.repeat(np.arange(6), 3)
    right = np.array([3, 3, 2, 3, 1, 2]), np.array([1, 2, 2, 1, 2, 1])
    first, second = (system(np.arange(18) % 3 < count[groups], groups) for count in right)
    gaps = right[0] - right[1]
    swapped = [abs(np.dot(signs, gaps)) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean(np.array(swapped) >= abs(gaps.sum()))
    assert paired_randomisation(accuracy, first, second, seed=0, replicates=4000) == pytest.approx(
        exact, abs=0.03
    )


def test_randomisation_swaps_whole_queries() -> None:
    # With one query a swap only turns the difference round, so every replicate is as extreme as the data.
    groups = np.zeros(40, int)
    first, second = system(np.ones(40, bool), groups), system(np.arange(40) < 10, groups)
    assert paired_randomisation(average_precision, first, second, seed=0, replicates=99) == 1.0


def test_randomisation_is_uniform_where_there_is_no_difference() -> None:
    generator = np.random.default_rng(9)
    groups, found = np.repeat(np.arange(30), 3), 0
    for seed in range(200):
        first, second = (system(generator.random(90) < 0.7, groups, seed) for _ in range(2))
        found += paired_randomisation(macro_f1, first, second, seed=seed, replicates=99) <= 0.1
    assert 0.05 <= found / 200 <= 0.15


RANKINGS = (average_precision, mismatch_average_precision, roc_auc)


def ranking_system(better: float, seed: int, scale: float = 1.0, shift: float = 0.0) -> Evaluated:
    """Return a system on 60 queries whose logits tell matches apart the better, on a scale of its own."""
    shared, own = np.random.default_rng(0), np.random.default_rng([seed, 1])
    groups = np.repeat(np.arange(60), 6)
    labels = np.arange(360) % 2
    hard = shared.normal(size=60)[groups] + shared.normal(size=360)
    logit = scale * ((1 - 2 * labels) * (0.7 + better) + hard + own.normal(0, 0.5, 360)) + shift
    score = 1 / (1 + np.exp(-logit))
    return Evaluated(labels, np.stack([score, 1 - score], 1), (score < 0.5).astype(int), groups, BINARY)


@pytest.mark.parametrize("measure", RANKINGS)
@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (0.3, 0.0), (1.0, -3.0)])
def test_a_ranking_of_all_rows_is_tested_alike_on_every_scale_of_scores(measure, scale, shift) -> None:
    other = ranking_system(0.0, 2)
    known = paired_randomisation(measure, ranking_system(0.1, 1), other, seed=0, replicates=199)
    found = paired_randomisation(measure, ranking_system(0.1, 1, scale, shift), other, seed=0, replicates=199)
    assert found == known


@pytest.mark.parametrize("measure", RANKINGS)
def test_a_better_ranking_is_found_though_its_scores_run_lower(measure) -> None:
    # On mixed scales the same three p-values are 0.185, 0.135 and 0.085.
    better, worse = ranking_system(0.1, 1, shift=-3.0), ranking_system(0.0, 2)
    assert paired_randomisation(measure, better, worse, seed=0, replicates=199) <= 0.01


def test_rankings_of_systems_alike_on_unlike_scales_are_seldom_told_apart() -> None:
    found = [
        paired_randomisation(
            roc_auc,
            ranking_system(0.0, seed, 3.0, -2.0),
            ranking_system(0.0, seed + 500),
            seed=seed,
            replicates=99,
        )
        <= 0.1
        for seed in range(200)
    ]
    # 0.1 of 200, with a standard error of 0.02.
    assert 0.04 <= np.mean(found) <= 0.16


def test_a_measure_of_probabilities_is_tested_on_them_as_they_are() -> None:
    def by_rows(evaluated: Evaluated) -> Statistic:
        statistic = nll(evaluated)
        return lambda weights: statistic(weights)  # no statistic of sums any more

    two = ranking_system(0.0, 1), ranking_system(0.0, 2)
    known = paired_randomisation(nll, *two, seed=0, replicates=99)
    assert paired_randomisation(by_rows, *two, seed=0, replicates=99) == known


def test_an_undefined_measure_has_no_p_value(pair: Pair) -> None:
    first, second = (attrs.evolve(e, labels=np.ones(200, int)) for e in pair)
    assert np.isnan(paired_randomisation(average_precision, first, second, seed=0, replicates=9))
    statistics = average_precision(first), average_precision(second)
    assert np.isnan(attrs.astuple(paired_bootstrap(*statistics, first, seed=0, replicates=9))).all()


def test_systems_on_different_rows_are_not_compared(pair: Pair) -> None:
    first, second = pair
    with pytest.raises(DataError) as error:
        paired_randomisation(accuracy, first, attrs.evolve(second, labels=1 - second.labels), seed=0)
    assert str(error.value) == (
        "paired comparison: the two systems' labels differ (200 and 200 rows). "
        "Evaluate both on the same rows in the same order."
    )


def test_systems_of_different_schemes_are_not_compared(pair: Pair) -> None:
    first, second = pair
    other = attrs.evolve(second, scheme=attrs.evolve(BINARY, name="other"))
    with pytest.raises(DataError) as error:
        paired_randomisation(accuracy, first, other, seed=0)
    assert str(error.value) == (
        "paired comparison: label scheme binary and other differ. Evaluate both with one scheme."
    )


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_does_not_exceed_one() -> None:
    assert holm([0.9, 0.6]).tolist() == [1.0, 1.0]


def test_holm_does_not_count_a_comparison_that_could_not_be_made() -> None:
    assert holm([0.02, np.nan, 0.01]) == pytest.approx([0.02, np.nan, 0.02], nan_ok=True)


def test_sign_flips_of_means_over_queries_are_the_randomisation_test(
    pair: tuple[Evaluated, Evaluated],
) -> None:
    first, second = pair
    measures = (mrr, ndcg)
    gained = [np.nan_to_num(per_query(first.ranked) - per_query(second.ranked)) for per_query in measures]
    expected = [
        paired_randomisation(over_queries(per_query), first, second, seed=3, replicates=200)
        for per_query in measures
    ]
    assert paired_sign_flips(np.stack(gained, axis=1), seed=3, replicates=200).tolist() == expected
    assert all(0 < p < 1 for p in expected)


def test_a_difference_of_nothing_is_no_difference() -> None:
    assert paired_sign_flips(np.zeros((5, 1)), seed=0, replicates=50).tolist() == [1.0]


def test_sign_flips_of_no_query_are_undefined() -> None:
    assert np.isnan(paired_sign_flips(np.zeros((0, 2)), seed=0, replicates=50)).tolist() == [True, True]


def test_values_per_query_have_the_interval_of_their_rows(pair: tuple[Evaluated, Evaluated]) -> None:
    first, _ = pair
    by_row = interval(over_queries(mrr)(first), first, seed=5, replicates=100)
    values = mean_of(np.nan_to_num(mrr(first.ranked)))
    by_query = interval(values, PerQueryRows(first.n_groups), seed=5, replicates=100)
    assert by_query.low == pytest.approx(by_row.low)
    assert by_query.high == pytest.approx(by_row.high)
