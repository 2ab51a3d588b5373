"""`compare_arms` and `compare_runs`: known answers, and what must not change them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_runs import BINARY, make_neighbour_run, make_run
from prodmatch_core.comparison import Choice, compare_runs
from prodmatch_core.evaluation.comparing import System, compare_arms
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.significance import interval, paired_bootstrap, paired_randomisation
from prodmatch_core.registry import Registry, default_registry

NAMES = ("macro_f1", "accuracy", "nll", "ece", "ndcg", "roc_auc")
"Sums of every kind, a mean over queries, and a measure that is no sum."


@pytest.fixture(scope="module")
def registry() -> Registry:
    return default_registry()


@pytest.fixture(scope="module")
def specs(registry: Registry) -> list:
    return [registry.measure(name) for name in NAMES]


def system(right: float, noise: int, queries: int = 30) -> Evaluated:
    rng = np.random.default_rng(noise)
    groups = np.repeat(np.arange(queries), 4)
    labels = np.arange(len(groups)) % 2
    decisions = np.where(rng.random(len(groups)) < right, labels, 1 - labels)
    lean = rng.uniform(0.5, 1, len(groups))
    score = np.where(decisions == 0, lean, 1 - lean)
    weights = np.random.default_rng(5).integers(1, 4, len(groups)) / 2
    return Evaluated(labels, np.stack([score, 1 - score], 1), decisions, groups, BINARY, weights)


def test_one_run_an_arm_is_the_paired_bootstrap(specs) -> None:
    first, second = system(0.8, 1), system(0.6, 2)
    found = compare_arms(
        [System("a", "0", "t", first), System("b", "0", "t", second)], [("a", "b")], specs, seed=4
    )
    for spec, one in zip(specs, found.differences, strict=True):
        make = spec.load()
        known = paired_bootstrap(make(first), make(second), first, seed=4)
        assert (one.value, one.low, one.high) == pytest.approx(
            (known.value, known.low, known.high), abs=1e-12
        )


def test_one_run_an_arm_is_the_paired_randomisation_test(specs) -> None:
    first, second = system(0.7, 1), system(0.6, 2)
    found = compare_arms(
        [System("a", "0", "t", first), System("b", "0", "t", second)], [("a", "b")], specs, seed=4
    )
    known = [paired_randomisation(spec.load(), first, second, seed=4) for spec in specs]
    assert [one.p for one in found.differences] == pytest.approx(known)


def test_one_run_an_arm_has_the_interval_of_its_own_report(specs) -> None:
    runs = [System("a", "0", "t", system(0.7, 1)), System("b", "0", "t", system(0.6, 2))]
    figures = compare_arms(runs, [("a", "b")], specs, seed=4).figures
    for spec, figure in zip(specs, figures, strict=False):
        known = interval(spec.load()(runs[0].found), runs[0].found, seed=4)
        assert (figure.value, figure.low, figure.high) == pytest.approx(
            (known.value, known.low, known.high), abs=1e-12
        )


def test_an_arm_is_the_mean_of_its_runs(specs) -> None:
    runs = [System("a", str(n), "t", system(0.7, n)) for n in range(3)]
    runs += [System("b", str(n), "t", system(0.6, 10 + n)) for n in range(3)]
    found = compare_arms(runs, [("a", "b")], specs, seed=0, replicates=100)
    for figure in found.figures:
        assert figure.value == pytest.approx(np.mean([value for _, value in figure.runs]))
    for one in found.differences:
        means = {f.arm: f.value for f in found.figures if f.measure == one.measure}
        assert one.value == pytest.approx(means["a"] - means["b"])
        assert one.value == pytest.approx(np.mean([value for _, value in one.pairs]))


def test_runs_on_two_test_sets_are_paired_within_each(specs) -> None:
    easy, hard = [system(0.9, n) for n in (1, 2)], [system(0.6, n, queries=20) for n in (3, 4)]
    runs = [
        System(arm, "0", test, found)
        for test, pair in (("easy", easy), ("hard", hard))
        for arm, found in zip("ab", pair, strict=True)
    ]
    (one,) = compare_arms(runs, [("a", "b")], specs[1:2], seed=0, replicates=100).differences
    accuracy = [specs[1].load()(s.found)(s.found.example_weights) for s in runs]
    assert [value for _, value in one.pairs] == pytest.approx(
        [accuracy[0] - accuracy[1], accuracy[2] - accuracy[3]]
    )
    assert one.wins + one.ties + one.losses == 30 + 20


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 5))
def test_the_order_of_runs_changes_nothing(order: list[int], seed: int) -> None:
    specs = [default_registry().measure(name) for name in ("macro_f1", "ndcg")]
    runs = [
        System(arm, str(n), "t", system(0.7, n + 10 * ord(arm), 12))
        for arm, n in itertools.product("ab", range(3))
    ]
    known = compare_arms(runs, [("a", "b")], specs, seed=seed, replicates=100)
    found = compare_arms([runs[n] for n in order], [("a", "b")], specs, seed=seed, replicates=100)
    assert found.differences == known.differences
    assert sorted(found.figures, key=str) == sorted(known.figures, key=str)


@settings(max_examples=15, deadline=None)
@given(noise=st.integers(0, 1000))
def test_turning_a_contrast_round_turns_its_sign(noise: int) -> None:
    specs = [default_registry().measure(name) for name in ("accuracy", "nll")]
    runs = [System("a", "0", "t", system(0.8, noise, 12)), System("b", "0", "t", system(0.5, noise + 1, 12))]
    found = compare_arms(runs, [("a", "b"), ("b", "a")], specs, seed=0, replicates=100).differences
    for one, other in zip(found[:2], found[2:], strict=True):
        assert (one.value, one.p) == pytest.approx((-other.value, other.p))
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)


def test_identical_runs_differ_by_nothing_with_p_of_one(tmp_path: Path, registry: Registry) -> None:
    places = [make_run(tmp_path / name, noise=3) for name in ("before", "after")]
    found = compare_runs(places, Choice(), registry)
    assert [(d["value"], d["low"], d["high"], d["p"], d["verdict"]) for d in found["differences"]] == [
        (0.0, 0.0, 0.0, 1.0, "same")
    ] * 4


def test_a_planted_difference_is_found_in_its_direction(tmp_path: Path, registry: Registry) -> None:
    for seed in range(3):
        make_run(tmp_path / "plain" / f"seed-{seed}", seed=seed, right=0.6, noise=seed)
        make_run(
            tmp_path / "better" / f"seed-{seed}", loss="core.focal", seed=seed, right=0.85, noise=10 + seed
        )
    choice = Choice(measures=("accuracy", "nll"), against="plain")
    accuracy, nll = compare_runs([tmp_path], choice, registry)["differences"]
    assert (accuracy["first"], accuracy["second"], accuracy["verdict"]) == ("better", "plain", "better")
    assert accuracy["low"] > 0.1 and accuracy["adjusted"] < 0.01
    assert accuracy["wins"] > 3 * accuracy["losses"]
    assert nll["value"] < 0 and nll["verdict"] == "better"


def test_what_is_no_difference_stays_open(tmp_path: Path, registry: Registry) -> None:
    make_run(tmp_path / "a", noise=1)
    make_run(tmp_path / "b", loss="core.focal", noise=2)
    found = compare_runs([tmp_path], Choice(measures=("accuracy",)), registry)
    assert found["differences"][0]["verdict"] == "open"


def test_holm_counts_every_arm_and_measure(tmp_path: Path, registry: Registry) -> None:
    for number, loss in enumerate(("core.cross_entropy", "core.focal", "core.other")):
        make_run(tmp_path / loss, loss=loss, right=0.6 + number / 20, noise=number)
    found = compare_runs([tmp_path], Choice(measures=("accuracy", "nll"), all_pairs=True), registry)
    raw = sorted((one["p"], one["adjusted"]) for one in found["differences"])
    assert len(raw) == 6
    largest = 0.0
    for left, (p, adjusted) in zip(range(6, 0, -1), raw, strict=True):
        largest = min(max(largest, p * left), 1.0)
        assert adjusted == pytest.approx(largest)


def test_won_tied_and_lost_queries_by_hand(tmp_path: Path, registry: Registry) -> None:
    # Four queries of two pairs: the second arm wins two, ties one (each right once), loses one.
    first = np.array([0, 0, 0, 1, 1, 0, 1, 1], dtype=bool)
    second = np.array([1, 0, 1, 1, 0, 1, 0, 1], dtype=bool)
    make_run(tmp_path / "a", right=first, queries=range(4), per_query=2)
    make_run(tmp_path / "b", right=second, loss="core.focal", queries=range(4), per_query=2)
    (one,) = compare_runs([tmp_path], Choice(measures=("accuracy",)), registry)["differences"]
    assert (one["wins"], one["ties"], one["losses"]) == (2, 1, 1)
    assert one["value"] == pytest.approx(1 / 8)


def test_the_order_of_rows_in_a_file_does_not_matter(tmp_path: Path, registry: Registry) -> None:
    make_run(tmp_path / "x" / "a", noise=1)
    make_run(tmp_path / "x" / "b", loss="core.focal", noise=2)
    make_run(tmp_path / "y" / "a", noise=1)
    make_run(tmp_path / "y" / "b", loss="core.focal", noise=2, shuffle=9)
    one, other = (compare_runs([tmp_path / name], Choice(), registry)["differences"] for name in "xy")
    assert one == other


def test_neighbour_runs_are_compared_by_their_hits(tmp_path: Path, registry: Registry) -> None:
    few, many = np.zeros((20, 3), bool), np.zeros((20, 3), bool)
    few[:5, 0], many[:15, 0] = True, True
    make_neighbour_run(tmp_path / "few", loss="core.metric", hits=few)
    make_neighbour_run(tmp_path / "many", loss="core.other", hits=many)
    found = compare_runs([tmp_path], Choice(measures=("hit_rate@1",)), registry)
    (one,) = found["differences"]
    assert one["value"] == pytest.approx(0.5)
    assert (one["wins"], one["ties"], one["losses"]) == (6, 4, 0)
    assert one["verdict"] == "better"
    assert found["tests"] == [{"rows": 20, "groups": 10}]
