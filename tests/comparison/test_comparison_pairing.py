"""Which runs are an arm, which are pairs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from made_runs import BINARY, make_neighbour_run, make_run
from prodmatch_core.comparison import Choice, compare_runs
from prodmatch_core.errors import ConfigError, RunError
from prodmatch_core.registry import default_registry

QUICK = Choice(measures=("accuracy",), replicates=100)


def refusal(*places: Path, **choice) -> str:
    with pytest.raises((RunError, ConfigError)) as caught:
        compare_runs(places, attrs.evolve(QUICK, **choice), default_registry())
    return str(caught.value)


def arms(*places: Path, **choice) -> dict[str, int]:
    found = compare_runs(places, attrs.evolve(QUICK, **choice), default_registry())
    return {arm["name"]: len(arm["runs"]) for arm in found["arms"]}


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Return a folder of two arms with three seeds each."""
    for seed in range(3):
        make_run(tmp_path / "grid" / "cross" / f"seed-{seed}", seed=seed, noise=seed)
        make_run(tmp_path / "grid" / "focal" / f"seed-{seed}", loss="core.focal", seed=seed, noise=10 + seed)
    return tmp_path / "grid"


def test_runs_that_differ_in_seeds_are_one_arm_called_after_their_folder(seeds: Path) -> None:
    assert arms(seeds) == {"cross": 3, "focal": 3}


def test_a_second_run_of_the_same_settings_and_seed_is_an_arm_of_its_own(tmp_path: Path) -> None:
    assert arms(make_run(tmp_path / "old"), make_run(tmp_path / "new")) == {"old": 1, "new": 1}


def test_arms_of_the_same_folder_name_are_called_by_their_paths(tmp_path: Path) -> None:
    places = [make_run(tmp_path / "x" / "run"), make_run(tmp_path / "y" / "run", loss="core.focal")]
    assert list(arms(*places)) == [str(place) for place in places]


def test_unfinished_runs_in_hidden_folders_are_no_runs(seeds: Path) -> None:
    make_run(seeds / "cross" / ".seed-9.partial", seed=9)
    assert arms(seeds) == {"cross": 3, "focal": 3}


def test_a_run_named_twice_counts_once(seeds: Path) -> None:
    assert arms(seeds, seeds / "cross" / "seed-0") == {"cross": 3, "focal": 3}


@pytest.mark.parametrize("against", ["focal", "path"])
def test_the_arm_to_compare_to_is_named_or_pointed_at(seeds: Path, against: str) -> None:
    named = "focal" if against == "focal" else str(seeds / "focal" / "seed-1")
    found = compare_runs([seeds], attrs.evolve(QUICK, against=named), default_registry())
    assert [(one["first"], one["second"]) for one in found["differences"]] == [("cross", "focal")]


def test_settings_that_differ_are_listed(seeds: Path) -> None:
    found = compare_runs([seeds], QUICK, default_registry())
    assert found["settings"] == [
        {"path": "member.0.loss.0.use", "values": ["core.cross_entropy", "core.focal"]}
    ]


def test_software_that_differs_is_listed(tmp_path: Path) -> None:
    make_run(tmp_path / "new", versions={"prodmatch-core": "2", "torch": "9"})
    make_run(tmp_path / "old", versions={"prodmatch-core": "1", "torch": "9"})
    found = compare_runs([tmp_path], QUICK, default_registry())
    assert found["software"] == [{"path": "prodmatch-core", "values": ["2", "1"]}]


def test_runs_without_a_partner_are_told_of(seeds: Path) -> None:
    make_run(seeds / "cross" / "seed-7", seed=7)
    found = compare_runs([seeds], QUICK, default_registry())
    assert found["notes"] == [
        "focal and cross: 3 pairs of runs; without a partner: 1 of cross. Such runs count for their arm's own figure "
        "only."
    ]


def test_one_run_an_arm_is_told_of(tmp_path: Path) -> None:
    make_run(tmp_path / "a"), make_run(tmp_path / "b", loss="core.focal")
    assert compare_runs([tmp_path], QUICK, default_registry())["notes"] == [
        "One run an arm: intervals and tests tell of other queries, not of other seeds. Train with several seeds to see "
        "how much a seed moves."
    ]


def test_refuses_one_arm(seeds: Path) -> None:
    assert refusal(seeds / "cross") == (
        "nothing to compare: 3 runs differ in nothing but seeds, so there is one arm, cross. Name runs with other "
        "settings too."
    )


def test_refuses_one_run(tmp_path: Path) -> None:
    assert refusal(make_run(tmp_path / "a")) == "nothing to compare: a is the only run. Name another one."


def test_refuses_what_is_no_run_all_at_once(seeds: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "none", tmp_path / "nothing"
    rest = (
        "is no run directory and holds none. Name folders that `prodmatch run` printed, or a folder of them."
    )
    assert refusal(a, seeds, b) == f"{a}: {rest}\n{b}: {rest}"


def test_refuses_other_data(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", loss="core.focal", fingerprint="f2")
    assert refusal(a, b) == (
        f"{b} and {a}: the data's fingerprints differ. Run both on the same data and split, or compare the rows they "
        "share with --common."
    )


def test_refuses_other_test_rows(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(10))
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(8, 20))
    assert refusal(a, b) == (
        f"{b} and {a}: test sets differ: 50 of 60 rows are only in the first, 40 of 50 only in the second. Run both on "
        "the same data and split, or compare the rows they share with --common."
    )


@pytest.mark.parametrize(("change", "named"), [({"weight": 2.0}, "weight"), ({"flipped": 3}, "label")])
def test_refuses_other_labels_or_weights(tmp_path: Path, change: dict, named: str) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", loss="core.focal", **change)
    assert refusal(a, b) == (
        f"{b} and {a}: test sets differ in {named} of the same rows. Run both on the same data and split, or compare "
        "the rows they share with --common."
    )


def test_refuses_other_seeds(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", seed=1), make_run(tmp_path / "b", loss="core.focal", seed=2)
    assert refusal(a, b) == (
        f"{b} and {a}: no two runs share a seed (2 and 1). Run the second with --set pipeline.seed=2."
    )


def test_refuses_other_schemes(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", loss="core.focal", scheme=attrs.evolve(BINARY, gains=(2, 0)))
    assert refusal(a, b) == (
        f"{b} and {a}: label schemes differ (labels, gains, or what counts as a match). Run both with one scheme and "
        "one evaluation.gain_profile."
    )


def test_refuses_other_tasks(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_neighbour_run(tmp_path / "b", loss="core.focal", hits=np.ones((4, 2), bool))
    assert refusal(a, b) == (
        f"{b} and {a}: tasks embed and match differ, and so do their measures. Compare runs of one task."
    )


def test_refuses_an_unknown_arm(seeds: Path) -> None:
    assert refusal(seeds, against="foca") == "--against foca: is no arm; there are cross, focal."


def test_refuses_all_wrong_measures_at_once(seeds: Path) -> None:
    assert refusal(seeds, measures=("map_at_r", "acuracy")) == (
        "--measure: map_at_r needs neighbours (the ranked neighbours of every item); the task match gives classes\n"
        '--measure: unknown measure "acuracy"; did you mean "accuracy"?'
    )


def test_common_compares_the_rows_both_have(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(10), fingerprint="f1")
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(4, 20), fingerprint="f2", shuffle=3)
    found = compare_runs([a, b], attrs.evolve(QUICK, common=True), default_registry())
    assert found["tests"] == [{"rows": 30, "groups": 6}]


def test_common_rows_give_what_runs_on_them_alone_give(tmp_path: Path) -> None:
    right = np.random.default_rng(0).random(50) < 0.7
    a = make_run(tmp_path / "a", queries=range(10), right=right)
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(6), right=right[:30][::-1].copy())
    c = make_run(tmp_path / "c", queries=range(6), right=right[:30])
    (shared,) = compare_runs([a, b], attrs.evolve(QUICK, common=True), default_registry())["differences"]
    (alone,) = compare_runs([c, b], QUICK, default_registry())["differences"]
    assert {**shared, "second": ""} == {**alone, "second": ""}


def test_common_refuses_runs_without_a_common_row(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(5))
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(5, 9))
    assert refusal(a, b, common=True) == (
        f"--common: no test row of {a} is in all of the other runs. Compare runs on the same data."
    )
