"""What the shipped pipeline recommends in the embedded shop, whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from click.testing import CliRunner

from prodmatch_core.cli import cli
from prodmatch_core.cli.options import read_context
from prodmatch_core.config import load_pipeline
from prodmatch_core.rundata import read_dataset

PIPELINE = Path(__file__).parent.parent / "pipelines" / "shop_next.toml"
ACCESSORIES = ("phone_case", "phone_charger", "power_bank", "screen_protector")


def prodmatch(*arguments: str) -> None:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == 0, done.output


def test_phones_are_followed_by_what_fits_them_and_cases_not_by_phones(tmp_path: Path) -> None:
    smaller = [part for value in ("data.size=2000", "evaluation.replicates=100") for part in ("--set", value)]
    prodmatch("run", str(PIPELINE), *smaller, "--out", str(tmp_path / "run"), "--quiet")
    prodmatch("refresh", str(tmp_path / "run"), "--out", str(tmp_path / "vectors"))
    dataset = read_dataset(load_pipeline(tmp_path / "run" / "resolved.toml"), read_context(None, tmp_path))
    types = dataset.truth["attributes"].unique("product_id").select("product_id", "type")
    table = pl.read_parquet(tmp_path / "vectors" / "vectors.parquet").join(
        types, on="product_id", how="left", maintain_order="left"
    )
    kind = table["type"].to_numpy()
    source, target = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (table[side].to_numpy() for side in ("source", "target"))
    )
    scores = source @ target.T
    np.fill_diagonal(scores, -np.inf)
    top = kind[np.argsort(-scores, axis=1)[:, :5]]
    after_phones = np.isin(top[kind == "phone"], ACCESSORIES).mean()
    after_cases = (top[kind == "phone_case"] == "phone").mean()
    assert after_phones > 0.5
    assert after_cases < 0.15
