"""What a faithful implementation does and a look-alike does not, in numbered tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from prodmatch_uncertainty.grid import Grid, count
from prodmatch_uncertainty.methods import METHODS, Settings, dp_cuts, lagrangian_cuts, mist_cuts, relax
from prodmatch_uncertainty.sample import Goal, Outcome, Sample, outcome

GOALS = [Goal("recall", target) for target in (0.5, 0.7, 0.8, 0.9, 0.95)] + [
    Goal("precision", target) for target in (0.2, 0.5, 0.8)
]


def grid_of_counts(rows: np.ndarray, positives: np.ndarray) -> Grid:
    """Return a grid of given counts; scores fall from bin to bin."""
    levels, bins = rows.shape
    lowest = np.broadcast_to(1 - np.arange(bins) / bins, rows.shape)
    edges = np.arange(1.0, levels)
    return Grid(edges, lowest, rows.astype(float), positives.astype(float), np.full(levels, bins))


def random_grid(rng: np.random.Generator, equal: bool) -> Grid:
    rows = np.full((3, 5), 20) if equal else rng.integers(1, 30, (3, 5))
    base = np.sort(rng.random((3, 5)))[:, ::-1] if rng.random() < 0.7 else rng.random((3, 5))
    return grid_of_counts(rows, rng.binomial(rows, base))


def gives(grid: Grid, cuts: np.ndarray) -> Outcome:
    rows, positives = grid.cumulated()
    at = (np.arange(grid.levels), cuts)
    return Outcome(rows[at].sum(), positives[at].sum(), grid.total)


def brute_force(grid: Grid, goal: Goal) -> Outcome:
    best = Outcome(0.0, 0.0, grid.total)
    for cuts in itertools.product(*(range(bins + 1) for bins in grid.bins)):
        found = gives(grid, np.array(cuts))
        if goal.better(found, best):
            best = found
    return best


def random_sample(rng: np.random.Generator, n: int = 400) -> Sample:
    score, uncertainty = rng.random(n), rng.random(n)
    if rng.random() < 0.5:
        score = np.round(score, 1 + int(rng.integers(2)))
    positive = rng.random(n) < score ** (0.5 + 2 * uncertainty * rng.random())
    return Sample.of(score, uncertainty, positive)


def beta_world(n: int, tau: float, mixed: bool, seed: int) -> Sample:
    """Return rows whose truth is drawn from a known probability, seen through evidence with few negatives kept.

    Each row's probability is drawn, then some trials of it; a negative trial is kept with probability 1 / tau. The
    score is the mean of the Beta that the kept trials give, the uncertainty its variance.
    """
    rng = np.random.default_rng(seed)
    truth = rng.beta(0.3, 0.3, n)
    trials = np.round(np.exp(rng.uniform(np.log(2), np.log(200), n))) if mixed else np.full(n, 20.0)
    hits = rng.binomial(trials.astype(int), truth)
    kept = rng.binomial(trials.astype(int) - hits, 1 / tau)
    alpha, beta = 1.0 + hits, 1.0 + kept
    score = alpha / (alpha + beta)
    return Sample.of(score, score * (1 - score) / (alpha + beta + 1), rng.random(n) < truth)


@pytest.mark.parametrize("equal", [True, False], ids=["bins of one size", "bins of any size"])
def test_spec_1_the_dynamic_programme_equals_brute_force(equal: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(320):
        grid, goal = random_grid(rng, equal), GOALS[rng.integers(len(GOALS))]
        expected = brute_force(grid, goal)
        found = gives(grid, dp_cuts(grid, goal))
        assert (goal.met(found), goal.value(found)) == (goal.met(expected), goal.value(expected))


def test_spec_1_the_bound_of_the_relaxation_is_never_below_brute_force_nor_below_what_it_finds() -> None:
    rng = np.random.default_rng(2)
    for _ in range(320):
        grid, goal = random_grid(rng, bool(rng.integers(2))), GOALS[rng.integers(len(GOALS))]
        relaxed = relax(grid, goal)
        best = brute_force(grid, goal)
        value = best.positives if goal.objective == "recall" else best.precision
        assert relaxed.reachable == goal.met(best)
        assert relaxed.bound >= (value if goal.met(best) else 0) - 1e-9


def test_spec_2_the_dynamic_programme_is_never_worse_than_mist_or_the_relaxation() -> None:
    rng = np.random.default_rng(3)
    for number in range(100):
        grid = count(random_sample(rng), 4, 20)
        for goal in GOALS:
            best = gives(grid, dp_cuts(grid, goal, ("auto", "equal")[number % 2]))
            for other in (mist_cuts(grid, goal), lagrangian_cuts(grid, goal)):
                assert not goal.better(gives(grid, other), best)


def test_spec_2_the_dynamic_programme_is_never_worse_than_one_threshold_on_the_hold_out() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        sample, settings = random_sample(rng), Settings(levels=4, bins=int(rng.integers(3, 30)))
        for goal in GOALS:
            values = {}
            for name in ("dp", "mist", "threshold"):
                boundary = METHODS[name].best(sample, settings, goal)
                found = outcome(sample, boundary.accepts(sample.score, sample.uncertainty))
                values[name] = goal.value(found) if goal.met(found) else 0.0
            assert values["dp"] >= max(values.values())


def test_spec_3_with_one_level_the_dynamic_programme_is_the_one_threshold() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        sample = random_sample(rng)
        for goal in GOALS:
            plane, line = (
                METHODS[name].best(sample, Settings(levels=1, bins=0), goal) for name in ("dp", "threshold")
            )
            np.testing.assert_array_equal(
                plane.accepts(sample.score, sample.uncertainty),
                line.accepts(sample.score, sample.uncertainty),
            )


@pytest.mark.parametrize("name", list(METHODS))
def test_spec_5_recall_never_rises_with_the_precision_asked_for(name: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        sample = random_sample(rng)
        recalls = []
        for target in np.linspace(0.3, 0.99, 15):
            boundary = METHODS[name].best(sample, Settings(levels=4, bins=25), Goal("recall", float(target)))
            recalls.append(outcome(sample, boundary.accepts(sample.score, sample.uncertainty)).recall)
        assert (np.diff(recalls) <= 1e-12).all()


@pytest.mark.parametrize("name", list(METHODS))
def test_spec_5_a_precision_not_above_the_base_rate_lets_everything_in(name: str) -> None:
    sample = random_sample(np.random.default_rng(7))
    goal = Goal("recall", float(sample.positive.mean()))
    boundary = METHODS[name].best(sample, Settings(levels=4, bins=25), goal)
    assert outcome(sample, boundary.accepts(sample.score, sample.uncertainty)).recall == 1


@pytest.mark.parametrize("name", ["dp", "lagrangian", "mist"])
def test_spec_6_which_level_is_called_first_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        level = rng.integers(4, size=400)
        score = rng.random(400)
        positive = rng.random(400) < score ** (1 + level)
        names = rng.permutation(4)
        values = set()
        for uncertainty in (level, names[level]):
            sample = Sample.of(score, uncertainty, positive)
            boundary = METHODS[name].best(sample, Settings(levels=400, bins=20), Goal("recall", 0.7))
            found = outcome(sample, boundary.accepts(score, sample.uncertainty))
            values.add(round(found.recall, 12))
        assert len(values) == 1


def test_spec_7_levels_that_say_nothing_gain_nothing_on_test() -> None:
    gains = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        score = rng.random(60_000)
        sample = Sample.of(score, rng.random(60_000), rng.random(60_000) < score)
        held, test = sample.take(np.arange(30_000)), sample.take(np.arange(30_000, 60_000))
        gains.append(recall_at(held, test, "dp", 0.8) - recall_at(held, test, "threshold", 0.8))
    mean, error = np.mean(gains), np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert mean < 3 * error + 0.005


@pytest.mark.parametrize("name", ["dp", "mist"])
def test_spec_7_mixed_evidence_and_dropped_negatives_let_levels_win_on_test(name: str) -> None:
    gains = []
    for seed in range(5):
        held, test = (beta_world(40_000, tau=5, mixed=True, seed=10 * seed + half) for half in range(2))
        gains.append(recall_at(held, test, name, 0.9) - recall_at(held, test, "threshold", 0.9))
    assert min(gains) > 0.05


def recall_at(held: Sample, test: Sample, name: str, precision: float) -> float:
    """Return recall at a precision *on test* of boundaries fitted on the hold-out for a range of targets."""
    best = 0.0
    for target in np.linspace(precision - 0.06, precision + 0.06, 25):
        boundary = METHODS[name].best(held, Settings(levels=5, bins=50), Goal("recall", float(target)))
        found = outcome(test, boundary.accepts(test.score, test.uncertainty))
        if found.precision >= precision:
            best = max(best, found.recall)
    return best
