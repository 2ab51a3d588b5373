"""Exported members answer as the ones they were made from; needs the extra `onnx`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.errors import RunError
from prodmatch_core.onnx_members import OnnxModel, exported, folder_of, require
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run

pytest.importorskip("onnx", reason="the extra prodmatch-core[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra prodmatch-core[onnx] is not installed")

PAIRS = pl.DataFrame(
    {
        "query": [
            "red kettle",
            "blue lamp with a long list of words that is cut somewhere at the end",
            "mug",
        ],
        "title": ["kettle red no7", "lamp", "a very long title " * 8],
    }
)


def export(run: Run, *words: str) -> Result:
    return CliRunner().invoke(cli, ["export", str(run.path), "--int8", "--quiet", *words])


@pytest.fixture(scope="module")
def done(served: Run) -> Run:
    """Return the run with its export made."""
    result = export(served)
    assert result.exit_code == 0, result.output
    return served


def weights(run: Run, name: str) -> Path:
    return run.path / "members" / name / "model.safetensors"


@pytest.mark.parametrize("place", [0, 1], ids=["cross", "towers"])
@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0], [1], [0, 0, 0, 0, 0, 0, 0]], ids=str)
def test_logits_are_those_of_the_member_whatever_the_shape_of_the_batch(
    done: Run, place: int, rows: list[int]
) -> None:
    member = Pipeline.load(done.path).members[place]
    light = exported(member, weights(done, member.name), folder_of(done.path)).model
    corpus, examples = frame_examples(PAIRS[rows])
    batch = member.model.encoder.prepare(corpus).batch(examples.query, examples.product)
    with torch.inference_mode():
        expected = member.model.head(member.model.encoder(batch))
    assert isinstance(light, OnnxModel)
    found = light.logits(batch)
    assert (found.dtype, found.shape) == (torch.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_an_exported_member_stands_in_for_the_member(done: Run) -> None:
    member = Pipeline.load(done.path).members[0]
    light = exported(member, weights(done, "cross"), folder_of(done.path))
    corpus, examples = frame_examples(PAIRS)
    np.testing.assert_allclose(light.predict(corpus, examples), member.predict(corpus, examples), atol=0.05)


def test_exporting_leaves_the_member_as_it_was(done: Run) -> None:
    network = Pipeline.load(done.path).members[0].model.encoder.network
    assert network.config._attn_implementation == "sdpa"


def test_the_loss_of_quality_is_written_beside_the_files(done: Run) -> None:
    folder = folder_of(done.path)
    assert sorted(path.name for path in folder.iterdir()) == ["cross.onnx", "quality.json", "towers.onnx"]
    figures = json.loads((folder / "quality.json").read_text())
    assert list(figures) == ["backend", "left_as_they_are", "members", "pairs", "pipeline"]
    assert (figures["backend"], figures["left_as_they_are"], figures["pairs"]) == (
        "onnx-int8",
        ["overlap"],
        72,
    )
    cross = figures["members"]["cross"]
    assert 0 < cross["difference"]["mean"] <= cross["difference"]["max"] < 0.1
    assert cross["bytes"]["before"] == weights(done, "cross").stat().st_size
    assert cross["bytes"]["after"] == (folder / "cross.onnx").stat().st_size
    assert set(figures["pipeline"]["measures"]) == {"macro_f1", "ndcg"}


def test_the_measures_before_are_those_of_the_run(done: Run) -> None:
    from prodmatch_core.registry import default_registry

    figures = json.loads((folder_of(done.path) / "quality.json").read_text())
    evaluated = done.evaluated("valid")
    measure = default_registry().measure("macro_f1").load()(evaluated)
    assert figures["pipeline"]["measures"]["macro_f1"]["before"] == pytest.approx(
        float(measure(evaluated.example_weights))
    )


def test_the_command_prints_what_it_measured(served: Run, tmp_path: Path) -> None:
    result = export(served, "--out", str(tmp_path / "there"))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "on 72 validation pairs:"
    assert [line.split()[0] for line in lines[2:9] if line] == [
        "member",
        "cross",
        "towers",
        "pipeline",
        "macro_f1",
        "ndcg",
    ]
    assert lines[-2:] == ["left as they are: overlap", f"export: {tmp_path / 'there'}"]


def test_a_folder_that_is_no_export_is_not_replaced(served: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    result = export(served, "--out", str(tmp_path))
    assert (result.exit_code, result.stderr) == (
        1,
        f"{tmp_path}: exists and is no export. Choose another --out.\n",
    )
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_run_with_nothing_to_export_is_refused(unserved: Run) -> None:
    result = export(unserved)
    assert (result.exit_code, result.stderr) == (
        1,
        f"{unserved.path}: has no member that can be exported: overlap (core.overlap). Those of core.transformer can "
        "be, and of plugins' encoders that say so; the others are scored as they are.\n",
    )
    assert not (unserved.path / "export").exists()


def test_what_was_not_exported_is_told(unserved: Run, done: Run, tmp_path: Path) -> None:
    member = Pipeline.load(done.path).members[0]
    with pytest.raises(RunError) as error:
        exported(member, weights(done, "cross"), tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/cross.onnx: missing. Make it again: prodmatch export {done.path} --int8."
    )


def test_an_export_of_other_weights_is_refused(done: Run, tmp_path: Path) -> None:
    member = Pipeline.load(done.path).members[0]
    with pytest.raises(RunError) as error:
        exported(member, weights(done, "towers"), folder_of(done.path))
    assert str(error.value) == (
        f"{folder_of(done.path)}/cross.onnx: was made from other weights than {weights(done, 'towers')}. Make it "
        f"again: prodmatch export {done.path} --int8."
    )


def test_a_damaged_export_is_told(done: Run, tmp_path: Path) -> None:
    shutil.copytree(folder_of(done.path), tmp_path / "copy")
    (tmp_path / "copy" / "cross.onnx").write_bytes(b"no model")
    member = Pipeline.load(done.path).members[0]
    with pytest.raises(RunError, match=r"cross\.onnx: cannot be loaded: .*Make it again: prodmatch export "):
        exported(member, weights(done, "cross"), tmp_path / "copy")


def test_an_absent_package_is_told_with_the_extra_that_brings_it() -> None:
    with pytest.raises(RunError) as error:
        require("onnx", "no_such_package")
    assert str(error.value) == (
        "no_such_package is not installed, which onnx-int8 needs. Install the extra: "
        'pip install "prodmatch-core[onnx]".'
    )


def test_a_form_must_be_named(served: Run) -> None:
    result = CliRunner().invoke(cli, ["export", str(served.path)])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: say what to export: --int8 is the one form there is.",
    )


def test_a_run_is_scored_with_what_was_exported(done: Run, tmp_path: Path) -> None:
    PAIRS.write_csv(tmp_path / "pairs.csv")
    out = tmp_path / "out.parquet"
    words = ["score", str(done.path), str(tmp_path / "pairs.csv"), "-o", str(out), "--backend", "onnx-int8"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    plain = Pipeline.load(done.path, "fp32").predict(PAIRS)["p_match"].to_numpy()
    light = pl.read_parquet(out)["p_match"].to_numpy()
    np.testing.assert_allclose(light, plain, atol=0.05)
    assert not np.array_equal(light, plain)


def test_a_backend_without_a_member_to_run_is_refused(unserved: Run) -> None:
    with pytest.raises(RunError) as caught:
        Pipeline.load(unserved.path, backend="onnx-int8")
    assert str(caught.value) == (
        f"{unserved.path}: has no member that can be exported. Score it with the backend torch."
    )
