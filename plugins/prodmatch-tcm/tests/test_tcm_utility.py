from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.corpus import Examples
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.retrieved import Retrieved, cosine_scorer
from prodmatch_core.evaluation.search import Search
from prodmatch_core.task_specs import EMBED
from prodmatch_tcm import histograms, measures
from prodmatch_tcm.histograms import ClassHistograms, class_histograms
from prodmatch_tcm.utility import (
    STRICT,
    Calibration,
    Curves,
    curves_at,
    curves_of,
    harmonic,
    mean_utility,
    opis,
    opis_worst,
    threshold_at,
    threshold_range,
)

NONE = Examples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def world(seed: int = 0, items: int = 80, classes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=items)
    return random.normal(size=(classes, 6))[labels] + 0.5 * random.normal(size=(items, 6)), labels


def histogram(vectors: np.ndarray, labels: np.ndarray, **options: int) -> ClassHistograms:
    return class_histograms(cosine_scorer(vectors, vectors), np.arange(len(labels)), labels, **options)


def retrieved(vectors: np.ndarray, labels: np.ndarray) -> Retrieved:
    n = len(labels)
    search = Search.of(EMBED, Examples(np.full(n, -1), np.arange(n), labels, np.ones(n)), NONE, n)
    return search.run(*(vectors[rows] for _, rows in search.reads))


@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=40),
    seed=st.integers(0, 9),
    block=st.integers(1, 4000),
    threads=st.integers(1, 3),
)
def test_every_pair_is_counted_where_it_belongs(
    labels: list[int], seed: int, block: int, threads: int
) -> None:
    y = np.array(labels)
    vectors = np.random.default_rng(seed).normal(size=(len(y), 3)).astype(np.float32)
    found = histogram(vectors, y, bins=16, block_bytes=block, threads=threads)
    s = cosine_scorer(vectors, vectors)(np.arange(len(y)))
    bins = np.clip(((s + np.float32(1)) * np.float32(8)).astype(int), 0, 15)
    known, count = np.unique(y, return_counts=True)
    assert found.classes.tolist() == known[count > 1].tolist()
    assert found.items.tolist() == count[count > 1].tolist()
    assert found.singles == (count == 1).sum()
    for number, own in enumerate(found.classes):
        inside = y == own
        off = ~np.eye(int(inside.sum()), dtype=bool)
        near = np.bincount(bins[np.ix_(inside, inside)][off], minlength=16)
        far = np.bincount(bins[np.ix_(inside, ~inside)].ravel(), minlength=16)
        assert found.positive[number].tolist() == near.tolist()
        assert found.negative[number].tolist() == far.tolist()


def test_memory_is_linear_in_classes_and_bins() -> None:
    seen = []
    vectors, labels = world(items=400, classes=40)
    score = cosine_scorer(vectors, vectors)

    def watched(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        return score(rows)

    class_histograms(watched, np.arange(400), labels, block_bytes=4 * 400 * 25)
    assert max(seen) == 25
    assert sum(seen) == 400


def test_a_class_of_one_item_is_left_out_and_counted() -> None:
    vectors, _ = world(items=5)
    found = histogram(vectors, np.array([4, 4, 9, 7, 7]))
    assert found.classes.tolist() == [4, 7]
    assert found.singles == 1
    assert found.negative.sum(axis=1).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("accepted", "rejected", "beta", "expected"),
    [
        (0.5, 1.0, 1.0, 2 / 3),
        (1.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
        (0.5, 1.0, 2.0, 5 * 0.5 / (4 * 0.5 + 1)),
    ],
)
def test_utility_is_a_weighted_harmonic_mean(
    accepted: float, rejected: float, beta: float, expected: float
) -> None:
    assert harmonic(np.array([accepted]), np.array([rejected]), beta)[0] == pytest.approx(expected)


def test_a_threshold_holds_the_rate_it_was_asked_for() -> None:
    vectors, labels = world(items=300)
    found = histogram(vectors, labels)
    s = cosine_scorer(vectors, vectors)(np.arange(300))
    other = labels[:, None] != labels
    same = ~other & ~np.eye(300, dtype=bool)
    for rate in (0.01, 0.1, 0.5):
        assert (s[other] >= threshold_at(found, rate)).mean() == pytest.approx(rate, abs=2e-3)
        assert (s[same] < threshold_at(found, rate, "frr")).mean() == pytest.approx(rate, abs=5e-3)


def test_a_range_runs_between_the_thresholds_of_its_rates() -> None:
    found = histogram(*world(items=300))
    low, high = threshold_range(found, Calibration())
    assert (low, high) == (threshold_at(found, 0.1), threshold_at(found, 0.01))
    low, high = threshold_range(found, Calibration(0.05, 0.2, by="frr"))
    assert (low, high) == (threshold_at(found, 0.05, "frr"), threshold_at(found, 0.2, "frr"))
    assert threshold_range(found, STRICT)[0] == pytest.approx(threshold_at(found, 0.01))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 0.2, "high": 0.1}, "expected rates 0 < low < high < 1, got 0.2 and 0.1"),
        ({"by": "frrr"}, 'by: expected "far" or "frr", got "frrr"'),
    ],
)
def test_a_range_that_is_none_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        Calibration(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_curves_fall_and_rise_with_the_threshold() -> None:
    curves = curves_at(histogram(*world()), np.linspace(-1, 1, 50))
    assert (np.diff(curves.accepted, axis=1) <= 1e-12).all()
    assert (np.diff(curves.rejected, axis=1) >= -1e-12).all()
    assert curves.accepted[:, 0] == pytest.approx(1) and curves.rejected[:, -1] == pytest.approx(1)


def test_a_class_twice_counts_as_weight_two() -> None:
    curves = curves_of(histogram(*world()))
    rows = np.array([*range(len(curves.classes)), 3])
    heavy = np.ones(len(curves.classes))
    heavy[3] = 2
    twice = Curves(
        curves.classes[rows],
        curves.items[rows],
        curves.thresholds,
        curves.accepted[rows],
        curves.rejected[rows],
    )
    assert opis(curves, heavy) == pytest.approx(opis(twice))
    assert opis_worst(curves, 0.1, heavy) == pytest.approx(opis_worst(twice, 0.1))
    assert mean_utility(curves, heavy) == pytest.approx(mean_utility(twice))


def test_no_class_has_no_figure() -> None:
    curves = curves_of(histogram(*world()))
    nothing = np.zeros(len(curves.classes))
    assert np.isnan(
        [opis(curves, nothing), opis_worst(curves, 0.1, nothing), mean_utility(curves, nothing)]
    ).all()


def test_measures_read_a_search_and_weights_of_its_rows() -> None:
    vectors, labels = world()
    found = retrieved(vectors, labels)
    statistic = measures.opis(found)
    curves = curves_of(histogram(vectors, labels))
    assert statistic(found.example_weights) == pytest.approx(opis(curves))
    assert found.space is not None
    drawn = 1.0 + (labels[found.space.queries] % 3)
    assert statistic(drawn) == pytest.approx(opis(curves, 1.0 + (curves.classes % 3)))
    assert measures.opis_worst(found)(drawn) == pytest.approx(
        opis_worst(curves, 0.1, 1.0 + (curves.classes % 3))
    )
    strict = curves_of(histogram(vectors, labels), STRICT)
    assert measures.opis_strict(found)(found.example_weights) == pytest.approx(opis(strict))
    assert measures.opis_strict_worst(found)(found.example_weights) == pytest.approx(opis_worst(strict))
    assert measures.class_utility(found)(found.example_weights) == pytest.approx(mean_utility(curves))


def test_several_measures_count_the_pairs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        measures, "class_histograms", lambda *a: calls.append(1) or histograms.class_histograms(*a)
    )
    found = retrieved(*world(3))
    measures.opis(found)
    measures.opis_strict(found)
    assert calls == [1]


def test_a_search_without_groups_is_refused() -> None:
    one = np.zeros((1, 1))
    bare = Retrieved(one.astype(bool), np.ones(1, int), one.astype(int), np.zeros(1, int))
    with pytest.raises(DataError, match="one threshold") as caught:
        measures.opis(bare)
    assert str(caught.value) == (
        "measures of one threshold for every class need a search among items of known groups, and this one has none. "
        "Use them in the task embed."
    )


def test_beta_weighs_acceptance_against_rejection() -> None:
    found = retrieved(*world())
    plain = measures.over_classes(found, Calibration(), mean_utility)(found.example_weights)
    accepting = measures.over_classes(found, Calibration(), mean_utility, beta=0.1)(found.example_weights)
    rejecting = measures.over_classes(found, Calibration(), mean_utility, beta=10)(found.example_weights)
    assert min(accepting, rejecting) < plain < max(accepting, rejecting)
