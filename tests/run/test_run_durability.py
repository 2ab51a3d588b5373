"""What a run promises when it is killed, refused, or out of space."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prodmatch_core.errors import RunError
from prodmatch_core.locking import exclusive
from prodmatch_core.rundir import Draft
from prodmatch_core.stages import STAMP, Stage
from prodmatch_core.writing import saving

FILE = """
[pipeline]
name = "events"
task = "convert"
[data]
use = "shop.synthetic"
size = 2000
[[member]]
name = "one"
encoder = { use = "core.event_features", buckets = 4096 }
training = { epochs = 12, batch_size = 32, patience = 0 }
[[member]]
name = "two"
encoder = { use = "core.event_features", hidden = [16], buckets = 1024 }
training = { epochs = 12, batch_size = 32, patience = 0 }
[aggregator]
use = "core.mean"
[[calibrator]]
use = "core.temperature"
[evaluation]
replicates = 100
"""


def command(folder: Path, out: str, *options: str) -> list[str]:
    file = folder / "events.toml"
    file.write_text(FILE)
    return [
        sys.executable,
        "-m",
        "prodmatch_core",
        "run",
        str(file),
        "--out",
        str(folder / out),
        "--quiet",
        *options,
    ]


ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(folder: Path, out: str, *options: str, limit: str = "") -> subprocess.CompletedProcess[str]:
    words = command(folder, out, *options)
    if limit:
        words = ["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh", *words]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=ALONE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Return a finished run that nobody disturbed, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    done = run(folder, "run")
    assert done.returncode == 0, done.stderr
    return folder / "run", time.monotonic() - started


@pytest.mark.slow
def test_law_8_ten_kills_at_random_moments_change_no_byte_of_the_figures(
    undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    finished, seconds = undisturbed
    moments = random.Random(5)
    partial = tmp_path / ".run.partial" / "checkpoints"
    kills = during_checkpoint = 0
    while kills < 10:
        process = subprocess.Popen(command(tmp_path, "run"), stderr=subprocess.PIPE, env=ALONE)
        # Most of a start is imports: what is written begins in the second half.
        limit = time.monotonic() + moments.uniform(0.4, 0.9) * seconds
        while process.poll() is None and time.monotonic() < limit:
            # Every other time a checkpoint that is being written is the moment.
            if kills % 2 and any(partial.glob(".*.partial")):
                during_checkpoint += 1
                break
            time.sleep(0.0005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            if not (tmp_path / "run").exists():
                continue  # else it was killed after its last act, the renaming: whole, and another begins
        else:  # it was quicker than the moment: what it made must be right, and another begins
            assert process.returncode == 0, process.stderr.read().decode()  # type: ignore[union-attr]
        same(tmp_path / "run", finished)
        shutil.rmtree(tmp_path / "run")
    done = run(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    same(tmp_path / "run", finished)
    assert during_checkpoint >= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.toml", "run"]


def same(path: Path, other: Path) -> None:
    models = [f"members/{name}/model.safetensors" for name in ("one", "two")]
    for name in ("metrics.json", "decisions.parquet", *models):
        assert (path / name).read_bytes() == (other / name).read_bytes(), name


def test_a_second_run_on_one_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    first = subprocess.Popen(command(tmp_path, "run"), stderr=subprocess.PIPE, env=ALONE)
    lock = tmp_path / ".run.lock"
    while not (lock.exists() and lock.read_text()) and first.poll() is None:
        time.sleep(0.01)
    second = run(tmp_path, "run")
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"{tmp_path / 'run'}: is being written by another run (process {first.pid}). Wait for it, stop it, or choose "
        "another --out."
    )
    assert first.wait() == 0
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert not lock.exists()


@pytest.mark.slow
@pytest.mark.parametrize("blocks", ["40", "300"])
def test_out_of_space_keeps_what_is_finished_and_the_same_command_goes_on(
    undisturbed: tuple[Path, float], tmp_path: Path, blocks: str
) -> None:
    # A limit on the size of files makes real writes fail half-way, at the first of that size: checkpoint or model.
    failed = run(tmp_path, "run", limit=blocks)
    assert failed.returncode == 1
    assert "cannot be written" in failed.stderr and "Free space" in failed.stderr.replace("free", "Free")
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "run").exists()
    done = run(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    finished, _ = undisturbed
    assert (tmp_path / "run" / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()


def test_a_lock_left_by_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    lock = tmp_path / ".run.lock"
    lock.write_text("999999")
    with exclusive(lock, "run"):
        assert lock.read_text() == str(os.getpid())
    assert not lock.exists()


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock", "runs/a"),
        pytest.raises(RunError) as error,
        exclusive(tmp_path / "lock", "runs/a"),
    ):
        pass
    assert str(error.value).startswith(f"runs/a: is being written by another run (process {os.getpid()}).")


def test_a_run_killed_between_the_two_renames_of_a_replacement_comes_back(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "run")
    draft.old.mkdir()
    (draft.old / "provenance.json").write_text("{}")
    Draft.start(draft.final, overwrite=True)
    assert (draft.final / "provenance.json").read_text() == "{}"


def test_a_half_emptied_stage_does_not_look_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path / "stage", "old")
    stage.begin()
    (stage.folder / "model").write_text("weights")
    stage.finish()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Stage(tmp_path / "stage", "new").begin()
    assert (stage.folder / "model").exists() and not (stage.folder / STAMP).exists()
    assert not stage.done()


def test_a_part_that_cannot_write_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error, saving(tmp_path / "members" / "one"):
        raise OSError(28, "No space left on device")
    assert str(error.value) == (
        f"{tmp_path / 'members' / 'one'}: cannot be written: No space left on device. What is finished is kept; free "
        "space and run the same command again."
    )
