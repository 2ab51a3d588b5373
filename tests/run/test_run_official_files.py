"""The official formats of ESCI and WANDS, written small, through the pipeline files that are shipped."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.testing.official_files import esci_frames, write_esci, write_magellan, write_wands

SMALL = (
    "member.0.encoder.buckets=512",
    "member.0.encoder.width=8",
    "member.0.training.epochs=1",
    "member.1.encoder.hidden=16",
    "member.1.encoder.heads=2",
    "member.1.encoder.layers=1",
    "member.1.encoder.vocabulary=400",
    "member.1.encoder.max_length=32",
    "member.1.training.epochs=1",
    "evaluation.replicates=100",
)
"Settings of size and time only; what is read stays as the file says."


def run_small(repository: Path, data: Path, name: str, settings: tuple[str, ...] = ()) -> pl.DataFrame:
    pipeline = load_pipeline(repository / "pipelines" / f"{name}.toml", (*SMALL, *settings))
    run: Run = run_pipeline(pipeline, out=data / "run", context=ReadContext(root=data))
    return pl.read_parquet(run.path / "decisions.parquet")


def test_the_shipped_esci_pipeline_runs_on_the_official_files(repository: Path, tmp_path: Path) -> None:
    write_esci(tmp_path / "esci")
    decided = run_small(repository, tmp_path, "esci")
    examples, _ = esci_frames()
    asked = examples.filter(pl.col("small_version") == 1, pl.col("product_locale") == "us")
    tested = decided.filter(pl.col("split") == "test")
    assert set(decided["locale"]) == {"us"}
    assert sorted(tested.select("query_id", "product_id").rows()) == sorted(
        asked.filter(pl.col("split") == "test")
        .select(pl.col("query_id").cast(pl.String), "product_id")
        .rows()
    )


def test_the_shipped_wands_pipeline_runs_on_the_official_files(repository: Path, tmp_path: Path) -> None:
    write_wands(tmp_path / "wands")
    decided = run_small(repository, tmp_path, "wands")
    assert set(decided["label"]) == {"exact", "partial", "irrelevant"}


@pytest.mark.parametrize("tables", [True, False])
def test_the_shipped_amazon_google_pipeline_reads_both_layouts(
    repository: Path, tmp_path: Path, tables: bool
) -> None:
    write_magellan(tmp_path / "amazon_google", tables=tables)
    for short, long in (("train", "train"), ("valid", "validation"), ("test", "test")):
        folder = tmp_path / "amazon_google"
        (folder / f"{short}.csv").rename(folder / f"amz_goog_{long}.csv")
    decided = run_small(repository, tmp_path, "amazon_google")
    assert set(decided["label"]) == {"match", "mismatch"}
