"""`comparing.compare`: known answers, and what must not change them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_runs import make_neighbour_run, make_run
from prodmatch_core.comparison.arms import arms_of
from prodmatch_core.comparison.comparing import Settings, compare, seeds_text, standing
from prodmatch_core.comparison.pairing import Sheet, paired
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


def compared(
    paths: list[Path], specs: list, pairs: list[tuple[int, int]] | None = None, **options: Any
) -> dict:
    arms = arms_of(paired([Sheet.read(path) for path in paths]))
    wanted = pairs if pairs is not None else [(number, 0) for number in range(1, len(arms))]
    return compare(arms, wanted, specs, Settings(**{"replicates": 200, **options}))


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Return two runs of one seed, of unlike quality."""
    return [
        make_run(tmp_path / "a", right=0.6, noise=1),
        make_run(tmp_path / "b", loss="core.focal", right=0.75, noise=2),
    ]


def test_one_run_an_arm_is_the_paired_bootstrap(two, specs) -> None:
    found = compared(two, specs, seed=4)["differences"]
    first, second = (Sheet.read(path).found for path in two)
    for spec, one in zip(specs, found, strict=True):
        make = spec.load()
        known = paired_bootstrap(make(second), make(first), first, seed=4, replicates=200)
        assert [one["value"], one["low"], one["high"]] == pytest.approx(
            [known.value, known.low, known.high], abs=1e-12
        )


def test_one_run_an_arm_is_the_paired_randomisation_test(two, specs) -> None:
    found = compared(two, specs, seed=4)["differences"]
    first, second = (Sheet.read(path).found for path in two)
    known = [paired_randomisation(spec.load(), second, first, seed=4, replicates=200) for spec in specs]
    assert [one["p"] for one in found] == pytest.approx(known)


def test_one_run_an_arm_has_the_interval_of_its_own(two, specs) -> None:
    arms = compared(two, specs, seed=4)["arms"]
    for path, arm in zip(two, arms, strict=True):
        mine = Sheet.read(path).found
        for spec in specs:
            known = interval(spec.load()(mine), mine, seed=4, replicates=200)
            figure = arm["measures"][spec.name]
            assert [figure["value"], figure["low"], figure["high"]] == pytest.approx(
                [known.value, known.low, known.high], abs=1e-12
            )


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    """Return three runs each of two arms."""
    return [
        make_run(
            tmp_path / loss / f"seed-{seed}", loss=loss, seed=seed, right=right, noise=10 * seed + len(loss)
        )
        for loss, right in (("core.cross_entropy", 0.6), ("core.focal", 0.7))
        for seed in range(3)
    ]


def test_an_arm_is_the_mean_of_its_runs(seeds, specs) -> None:
    for arm in compared(seeds, specs)["arms"]:
        for name, figure in arm["measures"].items():
            values = [run["measures"][name] for run in arm["runs"]]
            assert figure["value"] == pytest.approx(np.mean(values))
            assert figure["spread"] == pytest.approx(np.std(values, ddof=1))


def test_a_difference_is_the_mean_over_pairs_of_the_same_seed(seeds, specs) -> None:
    found = compared(seeds, specs)
    first, second = found["arms"]
    for one in found["differences"]:
        each = [
            b["measures"][one["measure"]] - a["measures"][one["measure"]]
            for a, b in zip(first["runs"], second["runs"], strict=True)
        ]
        assert [pair["value"] for pair in one["by_seed"]] == pytest.approx(each)
        assert one["value"] == pytest.approx(np.mean(each))


def test_seeds_with_other_test_sets_are_paired_within_each(tmp_path: Path, specs) -> None:
    paths = [
        make_run(
            tmp_path / loss / f"seed-{seed}", loss=loss, seed=seed, noise=seed + len(loss), queries=queries
        )
        for loss in ("core.cross_entropy", "core.focal")
        for seed, queries in enumerate((range(30), range(30, 50)))
    ]
    found = compared(paths, specs[1:2])
    assert [(one["rows"], one["queries"]) for one in found["test_sets"]] == [(150, 30), (100, 20)]
    assert sum(found["differences"][0]["queries"].values()) == 50


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("six")
    return [
        make_run(
            root / loss / f"seed-{seed}",
            loss=loss,
            seed=seed,
            noise=seed + len(loss),
            queries=range(12),
            per_query=3,
        )
        for loss, seed in itertools.product(("core.cross_entropy", "core.focal"), range(3))
    ]


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 5))
def test_the_order_of_runs_changes_nothing(six: list[Path], order: list[int], seed: int) -> None:
    specs = [default_registry().measure(name) for name in ("macro_f1", "ndcg")]
    first = int(order[0] >= 3)  # the arms come in the order they are met
    known = compared(six, specs, [(1, 0)], seed=seed, replicates=100)
    found = compared([six[n] for n in order], specs, [(first ^ 1, first)], seed=seed, replicates=100)
    assert found["differences"] == known["differences"]
    assert sorted(found["arms"], key=lambda arm: arm["name"]) == known["arms"]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_turning_a_pair_round_turns_its_sign(six: list[Path], seed: int) -> None:
    specs = [default_registry().measure(name) for name in ("accuracy", "nll")]
    found = compared(six, specs, [(1, 0), (0, 1)], seed=seed, replicates=100)["differences"]
    for one, other in zip(found[:2], found[2:], strict=True):
        assert [one["value"], one["p"]] == pytest.approx([-other["value"], other["p"]])
        assert [one["low"], one["high"]] == pytest.approx([-other["high"], -other["low"]])
        assert list(one["queries"].values()) == list(other["queries"].values())[::-1]


def test_identical_runs_differ_by_nothing_with_p_of_one(tmp_path: Path, specs) -> None:
    paths = [make_run(tmp_path / name, noise=3) for name in ("before", "after")]
    found = compared(paths, specs)["differences"]
    assert [(d["value"], d["low"], d["high"], d["p"]) for d in found] == [(0.0, 0.0, 0.0, 1.0)] * len(specs)
    assert {standing(d, "higher", 0.95) for d in found} == {"same"}


def test_a_planted_difference_is_found_in_its_direction(tmp_path: Path, registry: Registry) -> None:
    paths = [
        make_run(tmp_path / loss / f"seed-{seed}", loss=loss, seed=seed, right=right, noise=seed + len(loss))
        for loss, right in (("core.cross_entropy", 0.6), ("core.focal", 0.85))
        for seed in range(3)
    ]
    accuracy, nll = compared(paths, [registry.measure(name) for name in ("accuracy", "nll")])["differences"]
    assert standing(accuracy, "higher", 0.95) == standing(nll, "lower", 0.95) == "better"
    assert accuracy["low"] > 0.1 and accuracy["holm"] == pytest.approx(2 / 201)
    assert accuracy["queries"]["wins"] > 3 * accuracy["queries"]["losses"]


def test_what_is_alike_stays_open(tmp_path: Path, registry: Registry) -> None:
    paths = [make_run(tmp_path / "a", noise=1), make_run(tmp_path / "b", loss="core.focal", noise=2)]
    (one,) = compared(paths, [registry.measure("accuracy")])["differences"]
    assert standing(one, "higher", 0.95) == "open"


def test_holm_counts_every_pair_and_measure(tmp_path: Path, registry: Registry) -> None:
    paths = [
        make_run(tmp_path / loss, loss=loss, right=0.6 + number / 20, noise=number)
        for number, loss in enumerate(("core.cross_entropy", "core.focal", "core.other"))
    ]
    specs = [registry.measure(name) for name in ("accuracy", "nll")]
    found = compared(paths, specs, [(1, 0), (2, 0), (2, 1)])
    raw = sorted((one["p"], one["holm"]) for one in found["differences"])
    assert found["comparisons"] == len(raw) == 6
    largest = 0.0
    for left, (p, adjusted) in zip(range(6, 0, -1), raw, strict=True):
        largest = min(max(largest, p * left), 1.0)
        assert adjusted == pytest.approx(largest)


def test_won_tied_and_lost_queries_by_hand(tmp_path: Path, registry: Registry) -> None:
    # Four queries of two pairs: the second arm wins two, ties one (each right once), loses one.
    first = np.array([0, 0, 0, 1, 1, 0, 1, 1], dtype=bool)
    second = np.array([1, 0, 1, 1, 0, 1, 0, 1], dtype=bool)
    paths = [
        make_run(tmp_path / "a", right=first, queries=range(4), per_query=2),
        make_run(tmp_path / "b", right=second, loss="core.focal", queries=range(4), per_query=2),
    ]
    (one,) = compared(paths, [registry.measure("accuracy")])["differences"]
    assert one["queries"] == {"wins": 2, "ties": 1, "losses": 1}
    assert one["value"] == pytest.approx(1 / 8)


def test_a_measure_of_all_rows_at_once_has_no_won_queries(two, registry: Registry) -> None:
    (one,) = compared(two, [registry.measure("roc_auc")])["differences"]
    assert one["queries"] is None


def test_the_order_of_rows_in_a_file_does_not_matter(tmp_path: Path, specs) -> None:
    found = []
    for name, shuffle in (("x", None), ("y", 9)):
        a = make_run(tmp_path / name / "a", noise=1)
        b = make_run(tmp_path / name / "b", loss="core.focal", noise=2, shuffle=shuffle)
        found.append(compared([a, b], specs)["differences"])
    assert found[0] == found[1]


def test_neighbour_runs_are_compared_by_their_hits(tmp_path: Path, registry: Registry) -> None:
    few, many = np.zeros((20, 3), bool), np.zeros((20, 3), bool)
    few[:5, 0], many[:15, 0] = True, True
    paths = [
        make_neighbour_run(tmp_path / "few", loss="core.metric", hits=few),
        make_neighbour_run(tmp_path / "many", loss="core.other", hits=many),
    ]
    found = compared(paths, [registry.measure("hit_rate@1")])
    (one,) = found["differences"]
    assert one["value"] == pytest.approx(0.5)
    assert one["queries"] == {"wins": 6, "ties": 4, "losses": 0}
    assert standing(one, "higher", 0.95) == "better"
    assert [(t["rows"], t["queries"]) for t in found["test_sets"]] == [(20, 10)]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"value": 0.1, "low": 0.05, "high": 0.2, "p": 0.01, "holm": 0.05}, "better"),
        ({"value": -0.1, "low": -0.2, "high": -0.05, "p": 0.01, "holm": 0.05}, "worse"),
        ({"value": 0.1, "low": 0.05, "high": 0.2, "p": 0.01, "holm": 0.06}, "open"),
        ({"value": 0.1, "low": -0.01, "high": 0.2, "p": 0.01, "holm": 0.02}, "open"),
        ({"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "holm": 1.0}, "same"),
        ({"value": 0.1, "low": float("nan"), "high": 0.2, "p": 0.5, "holm": 0.5}, "unknown"),
        ({"value": None, "low": None, "high": None, "p": None, "holm": None}, "unknown"),
    ],
)
def test_standing_asks_for_interval_and_corrected_p(figures: dict, said: str) -> None:
    assert standing(figures, "higher", 0.95) == said


@pytest.mark.parametrize(
    ("seeds", "text"), [((3, -1, 0), "3"), ((3, 2, 0), "3, data 2"), ((0, -1, 1), "0, split 1")]
)
def test_seeds_are_told_as_far_as_they_say_something(seeds: tuple, text: str) -> None:
    assert seeds_text(seeds) == text
