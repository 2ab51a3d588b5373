"""Which runs are an arm, which are pairs, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from made_runs import BINARY, make_neighbour_run, make_run
from prodmatch_core.comparison.arms import Arm, arms_of, differing, find, shared_seeds
from prodmatch_core.comparison.pairing import Sheet, paired
from prodmatch_core.errors import ConfigError, RunError


def sheets(*places: Path) -> list[Sheet]:
    return [Sheet.read(place) for place in places]


def sizes(arms: list[Arm]) -> dict[str, int]:
    return {arm.name: len(arm.sheets) for arm in arms}


def refusal(*places: Path, common: bool = False) -> str:
    with pytest.raises(RunError) as caught:
        paired(sheets(*places), common)
    return str(caught.value)


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    """Return three runs each of two arms, in folders as a grid has them."""
    return [
        make_run(tmp_path / "grid" / name / f"seed-{seed}", loss=loss, seed=seed, noise=seed + len(loss))
        for name, loss in (("cross", "core.cross_entropy"), ("focal", "core.focal"))
        for seed in range(3)
    ]


# -- arms -------------------------------------------------------------------------------------------------------------


def test_runs_that_differ_in_seeds_are_one_arm_called_after_their_folder(seeds) -> None:
    assert sizes(arms_of(sheets(*seeds))) == {"cross": 3, "focal": 3}


def test_a_repetition_is_an_arm_of_its_own(tmp_path: Path) -> None:
    places = [make_run(tmp_path / "old"), make_run(tmp_path / "new")]
    assert sizes(arms_of(sheets(*places))) == {"old": 1, "new": 1}


def test_a_copy_of_a_grid_is_two_more_arms(seeds, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "grid" / "focal", tmp_path / "copy" / "focal")
    copies = sorted((tmp_path / "copy" / "focal").iterdir())
    assert sorted(sizes(arms_of(sheets(*seeds, *copies))).values()) == [3, 3, 3]


def test_arms_of_the_same_folder_name_are_called_by_more_of_the_path(tmp_path: Path) -> None:
    places = [make_run(tmp_path / "x" / "run"), make_run(tmp_path / "y" / "run", loss="core.focal")]
    assert list(sizes(arms_of(sheets(*places)))) == ["x/run", "y/run"]


def test_runs_made_by_other_versions_are_other_arms(tmp_path: Path) -> None:
    places = [make_run(tmp_path / "old", seed=0), make_run(tmp_path / "new", seed=1)]
    versions = {place: {"prodmatch-core": place.name} for place in places}
    assert len(arms_of(sheets(*places), versions)) == 2
    assert len(arms_of(sheets(*places), {})) == 1


def test_a_run_named_twice_counts_once(seeds) -> None:
    assert sizes(arms_of(sheets(*seeds, seeds[0]))) == {"cross": 3, "focal": 3}


def test_an_arm_is_found_by_its_name_and_by_one_of_its_runs(seeds) -> None:
    arms = arms_of(sheets(*seeds))
    assert [find(arms, name) for name in ("cross", "focal", str(seeds[4]))] == [0, 1, 1]


def test_an_unknown_arm_is_refused_with_the_nearest_name(seeds) -> None:
    with pytest.raises(ConfigError) as caught:
        find(arms_of(sheets(*seeds)), "foca")
    assert str(caught.value) == '--against: no arm "foca"; did you mean "focal"?'


def test_settings_that_differ_are_listed_by_arm(seeds) -> None:
    found = differing(arms_of(sheets(*seeds)))
    assert found == {"member.0.loss.0.use": ["core.cross_entropy", "core.focal"]}


def test_seeds_in_common_are_what_is_compared(seeds, tmp_path: Path) -> None:
    more = make_run(tmp_path / "grid" / "cross" / "seed-7", seed=7)
    first, second = arms_of(sheets(*seeds, more))
    assert [pair[0] for pair in shared_seeds(first, second)] == [0, 1, 2]


def test_arms_without_a_common_seed_are_refused(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", seed=1), make_run(tmp_path / "b", loss="core.focal", seed=2)
    with pytest.raises(RunError) as caught:
        shared_seeds(*arms_of(sheets(a, b)))
    assert str(caught.value) == (
        f"{a} and {b}: cannot be compared: runs are paired by their seeds, and a and b have none in common "
        "(pipeline.seed 1; 2). Run one with the other's: --set pipeline.seed=2"
    )


def test_seeds_that_are_common_one_by_one_but_not_together_are_told(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", seed=0, split_seed=1)
    b = make_run(tmp_path / "b", loss="core.focal", seed=1, split_seed=0)
    with pytest.raises(RunError) as caught:
        shared_seeds(*arms_of(sheets(a, b)))
    assert str(caught.value) == (
        f"{a} and {b}: cannot be compared: runs are paired by their seeds, and a and b have none in common "
        "(pipeline.seed with data.split.seed 0 with 1; 1 with 0). Run one with the other's: --set pipeline.seed=1 "
        "--set data.split.seed=0"
    )


# -- the same test set ------------------------------------------------------------------------------------------------


def test_other_data_is_refused(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", loss="core.focal", fingerprint="f2")
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: their data differ (fingerprints f1 and f2). Run both on the same data, or "
        "compare the pairs that both have with --common."
    )


def test_other_test_rows_are_refused(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(10))
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(8, 20))
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: their test pairs differ (10 in both, 40 only in the first, 50 only in the "
        "second). Run both with the same split, or compare the pairs that both have with --common."
    )


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"weight": 2.0},
            "200 of 200 test pairs have another weight (first query_id 'q0', product_id 'q0-p0': 1.0 and 2.0)",
        ),
        (
            {"flipped": 3},
            "3 of 200 test pairs have another label (first query_id 'q0', product_id 'q0-p0': 'match' and 'mismatch')",
        ),
    ],
)
def test_other_labels_or_weights_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str, common: bool
) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", loss="core.focal", **change)
    assert (
        refusal(a, b, common=common) == f"{a} and {b}: cannot be compared: {told}. Run both on the same data."
    )


def test_another_number_of_right_answers_is_refused(tmp_path: Path) -> None:
    hits = np.ones((4, 2), bool)
    a = make_neighbour_run(tmp_path / "a", loss="core.metric", hits=hits, relevant=2)
    b = make_neighbour_run(tmp_path / "b", loss="core.other", hits=hits, relevant=3)
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: 4 of 4 test items have another number of right answers (first item_id "
        "'i0': '2' and '3'). Run both on the same data."
    )


def test_other_label_schemes_are_refused(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", loss="core.focal", scheme=attrs.evolve(BINARY, gains=(2, 0)))
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: their label schemes differ (match 1, mismatch 0, positive match; match 2, "
        "mismatch 0, positive match). Run both with the same labels, [data] positive and [evaluation] gain_profile."
    )


def test_other_tie_rules_are_refused(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", loss="core.focal", ties="trec")
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: equal scores are ranked by the rules expected and trec. Run both with the "
        "same [evaluation] ties."
    )


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    b = make_neighbour_run(tmp_path / "b", loss="core.focal", hits=np.ones((4, 2), bool))
    assert refusal(a, b) == (
        f"{a} and {b}: cannot be compared: their tasks are match and embed. Name runs of one task."
    )


def test_common_takes_the_rows_that_both_have(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(10), fingerprint="f1")
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(4, 20), fingerprint="f2", shuffle=3)
    first, second = paired(sheets(a, b), common=True)
    assert first.rows.equals(second.rows)
    assert (first.rows.height, first.found.n_groups, first.whole) == (30, 6, False)


def test_common_rows_answer_what_a_run_on_them_alone_answers(tmp_path: Path) -> None:
    right = np.random.default_rng(0).random(50) < 0.7
    a = make_run(tmp_path / "a", queries=range(10), right=right)
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(6))
    alone = make_run(tmp_path / "c", queries=range(6), right=right[:30])
    first, _ = paired(sheets(a, b), common=True)
    assert np.array_equal(first.found.decisions, Sheet.read(alone).found.decisions)


def test_common_refuses_runs_without_a_common_row(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", queries=range(5))
    b = make_run(tmp_path / "b", loss="core.focal", queries=range(5, 9))
    assert refusal(a, b, common=True) == (
        f"{a} and {b}: cannot be compared: they have no test pairs in common. Run both on the same data."
    )


def test_a_run_without_its_tables_is_told_of(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a")
    (a / "resolved.toml").write_text("broken [")
    with pytest.raises(RunError, match=r"resolved\.toml: cannot be read: .* Run the pipeline again"):
        _ = Sheet.read(a).settings
