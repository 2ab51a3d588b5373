"""`prodmatch compare` as a user calls it: runs, swaps, what is kept, what fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from made_runs import make_run
from prodmatch_core.cli import cli
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder

FILE = """
[pipeline]
name = "tiny"
seed = 3

[data]
use = "core.folder"
path = "tiny"

[[member]]
encoder = { use = "core.overlap" }

[evaluation]
replicates = 100
baselines = []
"""
SWAP = ("--swap", "calibrator.0.use=none,core.temperature")
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a function that runs `prodmatch compare` in a folder with `tiny.toml` and its data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRODMATCH_DATA", raising=False)
    write_folder(tiny_dataset, Path("tiny"))
    Path("tiny.toml").write_text(FILE)

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["compare", *words, "--replicates", "100"])

    return run


def written(root: Path = Path("runs/tiny-arms")) -> dict[str, int]:
    """Return when each run was finished, by arm and seed."""
    return {
        str(file.parent.relative_to(root)): file.stat().st_mtime_ns for file in root.glob("*/*/metrics.json")
    }


# -- a grid -----------------------------------------------------------------------------------------------------------


def test_a_grid_is_run_and_compared(invoke) -> None:
    result = invoke("tiny.toml", *SWAP, "--seeds", "2", "--measure", "nll", "--measure", "accuracy")
    assert (result.exit_code, sorted(written())) == (
        0,
        ["core.temperature/seed-3", "core.temperature/seed-4", "none/seed-3", "none/seed-4"],
    )
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["arm", "runs", "nll", "accuracy"]
    assert [line.split()[:2] for line in lines[1:3]] == [["none", "2"], ["core.temperature", "2"]]
    assert lines[-1] == "page: runs/tiny-arms/compare.html"
    assert Path("runs/tiny-arms/compare.html").is_file()


def test_a_grid_that_is_there_is_kept(invoke) -> None:
    first = invoke("tiny.toml", *SWAP)
    before = written()
    again = invoke("tiny.toml", *SWAP)
    assert (written(), again.stdout) == (before, first.stdout)


def test_a_grid_grows_by_a_seed(invoke) -> None:
    invoke("tiny.toml", *SWAP)
    before = written()
    invoke("tiny.toml", *SWAP, "--seeds", "2")
    assert {name: time for name, time in written().items() if name in before} == before
    assert len(written()) == 4


def test_a_run_of_other_settings_is_made_again(invoke) -> None:
    invoke("tiny.toml", *SWAP)
    before = written()
    invoke("tiny.toml", *SWAP, "--set", "evaluation.mistakes=3")
    assert all(time != before[name] for name, time in written().items())


def test_a_run_on_other_data_is_made_again(invoke, tiny_dataset: Dataset) -> None:
    invoke("tiny.toml", *SWAP)
    before = written()
    assert tiny_dataset.judgements is not None
    shutil.rmtree("tiny")
    write_folder(attrs.evolve(tiny_dataset, judgements=tiny_dataset.judgements[:-6]), Path("tiny"))
    assert invoke("tiny.toml", *SWAP).exit_code == 0
    assert all(time != before[name] for name, time in written().items())


def test_a_run_of_other_software_is_made_again(invoke) -> None:
    invoke("tiny.toml", *SWAP)
    before = written()
    noted = Path("runs/tiny-arms/none/seed-3/provenance.json")
    made = json.loads(noted.read_text())
    made["distributions"]["prodmatch-core"] = "0.0.1"
    noted.write_text(json.dumps(made))
    invoke("tiny.toml", *SWAP)
    after = written()
    assert [name for name in after if after[name] != before[name]] == ["none/seed-3"]


def test_a_damaged_run_is_made_again(invoke) -> None:
    invoke("tiny.toml", *SWAP)
    before = written()
    Path("runs/tiny-arms/none/seed-3/resolved.toml").unlink()
    assert invoke("tiny.toml", *SWAP).exit_code == 0
    assert [name for name, time in written().items() if time != before[name]] == ["none/seed-3"]


def test_split_seeds_test_on_other_rows(invoke) -> None:
    rows = [
        f"red thing {n},red thing {m},{'match' if n == m else 'mismatch'}"
        for n in range(40)
        for m in range(n, n + 3)
    ]
    Path("pairs.csv").write_text("\n".join(["query,title,label", *rows]) + "\n")
    data = """
use = "core.pairs"
path = "pairs.csv"
scheme = { labels = ["match", "mismatch"], gains = [1, 0], positive = ["match"] }
"""
    Path("pairs.toml").write_text(FILE.replace('\nuse = "core.folder"\npath = "tiny"\n', data))
    result = invoke("pairs.toml", *SWAP, "--seeds", "2", "--split-seeds", "--json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert len(found["test_sets"]) == 2
    assert [pair["seeds"] for pair in found["differences"][0]["by_seed"]] == [[3, -1, 0], [4, -1, 1]]
    assert found["notes"][-1] == (
        "several test sets are resampled apart; where they share queries, intervals are too narrow"
    )


def test_an_arm_that_fails_is_told_of_and_the_others_are_compared(invoke) -> None:
    # A folder that is no run stands where the third arm would go.
    Path("runs/tiny-arms/core.threshold/seed-3").mkdir(parents=True)
    Path("runs/tiny-arms/core.threshold/seed-3/mine.txt").write_text("mine")
    result = invoke("tiny.toml", "--swap", "calibrator.0.use=none,core.temperature,core.threshold", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == (
        "core.threshold failed: seed 3: runs/tiny-arms/core.threshold/seed-3: is not a run directory, so --overwrite "
        "will not replace it. Choose another --out.\n"
    )
    assert sorted(written()) == ["core.temperature/seed-3", "none/seed-3"]
    assert "core.temperature" in result.stdout
    assert Path("runs/tiny-arms/core.threshold/seed-3/mine.txt").read_text() == "mine"


def test_a_failure_is_in_the_json_too(invoke) -> None:
    Path("runs/tiny-arms/none/seed-3").mkdir(parents=True)
    Path("runs/tiny-arms/none/seed-3/mine.txt").write_text("mine")
    result = invoke(
        "tiny.toml",
        "--swap",
        "calibrator.0.use=none,core.temperature,core.threshold",
        "--json",
        "--out",
        "runs/tiny-arms",
    )
    assert result.exit_code == 1
    assert list(json.loads(result.stdout)["failed"]) == ["none"]


def test_nothing_is_run_while_an_arm_is_wrong(invoke) -> None:
    result = invoke(
        "tiny.toml", "--swap", "calibrator.0.use=none,core.temperatur", "--swap", "evaluation.mistakes=1,x"
    )
    assert result.exit_code == 2
    assert not Path("runs").exists()
    told = str(result.exception) + result.stderr
    assert 'unknown calibrator "core.temperatur"; did you mean "core.temperature"?' in told
    assert 'evaluation.mistakes: expected a whole number of at least 0, got "x"' in told


def test_arms_that_are_the_same_pipeline_are_refused(invoke) -> None:
    result = invoke("tiny.toml", "--swap", "pipeline.seed=1,2")
    assert result.exit_code == 2
    assert (
        "seed-2: is the same pipeline as seed-1, but for its seeds or its name. Correct the path or the values of "
        "--swap; for several seeds use --seeds"
    ) in result.stderr


# -- finished runs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def made(invoke) -> Invoke:
    """Return `invoke` in a folder with two arms of two seeds in `grid`."""
    for loss, right in (("core.cross_entropy", 0.6), ("core.focal", 0.9)):
        for seed in range(2):
            make_run(
                Path("grid") / loss / f"seed-{seed}",
                loss=loss,
                seed=seed,
                right=right,
                noise=seed + len(loss),
            )
    return invoke


def test_runs_are_compared_in_a_table(made) -> None:
    result = made("grid", "--measure", "accuracy", "--measure", "roc_auc")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[4] == "differences from core.cross_entropy"
    header = ["measure", "arm", "difference", "p", "Holm", "verdict", "queries", "won/tied/lost"]
    assert lines[5].split() == header
    assert lines[6].startswith("accuracy  core.focal  +0.")
    assert "  better  " in lines[6]
    assert lines[7].endswith("  -")
    assert "measured on 200 pairs of 40 queries" in lines


def test_several_reference_arms_stand_in_a_column_of_their_own(made) -> None:
    make_run(Path("grid/core.other/seed-0"), loss="core.other", seed=0)
    lines = made("grid", "--all-pairs", "--measure", "accuracy").stdout.splitlines()
    assert lines[5].split()[:4] == ["measure", "arm", "against", "difference"]
    assert [line.split()[1:3] for line in lines[6:9]] == [
        ["core.focal", "core.cross_entropy"],
        ["core.other", "core.cross_entropy"],
        ["core.other", "core.focal"],
    ]


def test_the_page_goes_where_it_is_asked_for(made) -> None:
    result = made("grid", "-o", "page.html", "--quiet")
    assert result.stdout.splitlines()[-1] == "page: page.html"
    assert "</html>" in Path("page.html").read_text()


def test_no_page_is_written_unasked(made) -> None:
    made("grid")
    assert not list(Path.cwd().glob("**/*.html"))


def test_all_pairs_compares_every_arm_with_every_other(made) -> None:
    make_run(Path("grid/core.other/seed-0"), loss="core.other", seed=0)
    found = json.loads(made("grid", "--all-pairs", "--measure", "accuracy", "--json").stdout)
    pairs = [(one["arm"], one["against"]) for one in found["differences"]]
    assert pairs == [
        ("core.focal", "core.cross_entropy"),
        ("core.other", "core.cross_entropy"),
        ("core.other", "core.focal"),
    ]
    assert (
        "core.other and core.focal" not in found["notes"]
        and "core.other and core.focal are compared on 1 pair of the same seed; they have 1 and 2 runs"
        in found["notes"]
    )


def test_against_names_the_arm_that_others_are_compared_with(made) -> None:
    found = json.loads(made("grid", "--against", "core.focal", "--measure", "accuracy", "--json").stdout)
    assert [(one["arm"], one["against"], one["standing"]) for one in found["differences"]] == [
        ("core.cross_entropy", "core.focal", "worse")
    ]


def test_too_few_replicates_for_a_clear_difference_are_told_of(made) -> None:
    found = json.loads(
        made("grid", "--json", *(word for n in range(1, 8) for word in ("--measure", f"ndcg@{n}"))).stdout
    )
    assert (
        "with 7 comparisons nothing can be clear at these replicates: give --replicates 140" in found["notes"]
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("tiny.toml",),
            2,
            "tiny.toml: is a file; to run it, say what to swap: --swap member.0.loss.0.use=A,B",
        ),
        (("nowhere",), 1, "nowhere: holds no finished run. Name run directories, or a folder of them."),
        (("grid", "--split-seeds"), 2, "--split-seeds belong to a pipeline file with --swap or --seeds."),
        (
            ("grid", "--all-pairs", "--against", "core.focal"),
            2,
            "--all-pairs compares every arm with every other; leave --against out.",
        ),
        (("grid", "grid", *SWAP), 2, "--swap and --seeds take one pipeline file."),
        (("grid", "--against", "core.foca"), 2, '--against: no arm "core.foca"; did you mean "core.focal"?'),
        (
            ("grid", "--measure", "acuracy"),
            2,
            '--measure: unknown measure "acuracy"; did you mean "accuracy"?',
        ),
        (
            ("grid", "--measure", "map_at_r"),
            2,
            "--measure: map_at_r needs neighbours (the ranked neighbours of every item); the task match gives classes",
        ),
        (("tiny.toml", *SWAP, "--against", "x"), 2, '--against: no arm "x"; known: core.temperature, none'),
    ],
)
def test_wrong_usage_is_told(made, words: tuple[str, ...], code: int, message: str) -> None:
    result = made(*words)
    assert result.exit_code == code
    assert result.stderr.strip().removeprefix("Error: ").endswith(message)
