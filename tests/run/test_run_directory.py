from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prodmatch_core.errors import RunError
from prodmatch_core.rundir import Draft, Run, free_name
from prodmatch_core.stages import Stage, content_key, versions
from prodmatch_core.writing import write_json, write_text


def test_a_stage_is_done_only_under_its_own_key(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "member", content_key(seed=0, data="abc"))
    assert not stage.done()
    (stage.begin() / "weights").write_text("1")
    assert not stage.done()
    stage.finish(seconds=1.5)
    assert stage.done()
    assert stage.facts()["seconds"] == 1.5
    assert not Stage(tmp_path / "member", content_key(seed=1, data="abc")).done()


def test_beginning_a_stage_throws_away_what_a_killed_one_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "member", "key")
    (stage.begin() / "half").write_text("written")
    assert list(stage.begin().iterdir()) == []


def test_a_key_depends_on_names_and_values_and_not_on_their_order() -> None:
    assert content_key(a=1, b=2) == content_key(b=2, a=1)
    assert len({content_key(a=1, b=2), content_key(a=2, b=1), content_key(a=1), content_key(a="1", b=2)}) == 4


def test_versions_say_what_is_absent() -> None:
    found = versions(["prodmatch-core", "no-such-distribution"])
    assert found["no-such-distribution"] == "absent"
    assert found["prodmatch-core"] != "absent"


def test_an_existing_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "provenance.json").write_text("{}")
    with pytest.raises(RunError) as caught:
        Draft.start(out)
    assert (
        str(caught.value) == f"{out}: exists already. Choose another --out, or replace it with --overwrite."
    )
    assert Draft.start(out, overwrite=True).path.is_dir()


def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(RunError, match="is not a run directory, so --overwrite will not replace it"):
        Draft.start(tmp_path, overwrite=True)
    assert (tmp_path / "precious.txt").read_text() == "keep me"


def test_finishing_a_draft_replaces_the_old_run_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for content in ("old", "new"):
        draft = Draft.start(out, overwrite=True)
        (draft.path / "provenance.json").write_text("{}")
        (draft.path / f"{content}.txt").write_text(content)
        draft.finish()
    assert sorted(path.name for path in out.iterdir()) == ["new.txt", "provenance.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_next_free_name_counts_up(tmp_path: Path) -> None:
    assert free_name(tmp_path / "demo").name == "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert free_name(tmp_path / "demo").name == "demo-3"


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_text(target, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_json_has_no_word_for_nan_so_it_becomes_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": np.float64("nan"), "b": np.array([1, 2]), "c": (np.int64(3),)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1, 2], "c": [3]}


def test_opening_what_is_no_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no provenance\.json\); name the folder `prodmatch run` printed"):
        Run.open(tmp_path / "nothing")
    Draft.start(tmp_path / "stopped")
    with pytest.raises(RunError, match="it was never finished"):
        Run.open(tmp_path / "stopped")


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text('{"format": 99}')
    with pytest.raises(
        RunError, match=r"written in format 99, this version reads up to 1\. Upgrade prodmatch-core"
    ):
        Run.open(tmp_path)


def test_a_missing_file_of_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text('{"format": 1}')
    with pytest.raises(RunError, match=r"metrics\.json: missing; the run directory is incomplete"):
        _ = Run.open(tmp_path).metrics
