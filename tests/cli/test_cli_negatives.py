"""`data negatives`: what is written, what is printed, what is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli
from prodmatch_core.registry import default_registry

ROWS = """\
query,title,label,split
desk lamp,Acme desk lamp,match,train
desk lamp,Acme sofa,mismatch,train
desk lamp,Bolt desk lamp,mismatch,train
red shoe,Red shoe 42,match,train
red shoe,Blue shoe 42,mismatch,train
oak desk,Oak desk,match,test
oak desk,Desk of oak,mismatch,test
blue rug,Blue rug,match,valid
"""


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRODMATCH_DATA", raising=False)
    Path("pairs.csv").write_text(ROWS)
    Path("data.toml").write_text(
        '[data]\nuse = "core.pairs"\npath = "pairs.csv"\ncolumns = { split = "split" }\n'
        'scheme = { labels = ["match", "mismatch"], gains = [1, 0], positive = ["match"] }\n'
    )
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["data", "negatives", *words, "--quiet"], obj=default_registry())


def test_unjudged_products_of_training_queries_are_written_best_first_with_rank_and_scores(
    pairs: Path,
) -> None:
    result = run("data.toml", "-o", "out.csv")
    assert result.exit_code == 0, result.output
    table = pl.read_csv("out.csv")
    assert table.columns == [
        "query_id", "locale", "query", "positive_id", "positive", "positive_score", "negative_id", "negative",
        "negative_score", "rank",
    ]  # fmt: skip
    assert table.select("query", "positive", "negative", "rank").rows() == [
        ("desk lamp", "Acme desk lamp", "Oak desk", 1),
        ("desk lamp", "Acme desk lamp", "Desk of oak", 2),
    ]
    assert table["positive_score"].min() > table["negative_score"].max() > 0
    assert result.output.splitlines() == [
        "out.csv: 2 negatives",
        "queries 2, repeated titles 0, judged 5, considered 2, margin 0, score 0, guarded 0, candidates 2, without 1",
    ]


def test_as_many_of_a_query_are_written_as_asked_for(pairs: Path) -> None:
    assert run("data.toml", "-o", "out.parquet", "--per-query", "1").exit_code == 0
    assert pl.read_parquet("out.parquet")["negative"].to_list() == ["Oak desk"]


def test_ranks_that_contradict_each_other_are_refused_before_anything_is_read() -> None:
    result = run("absent.toml", "-o", "out.csv", "--first", "9", "--last", "3")
    assert (result.exit_code, result.stderr) == (2, "first (9) must not be above last (3)\n")


def test_data_without_a_training_match_are_refused(pairs: Path) -> None:
    Path("pairs.csv").write_text(ROWS.replace(",match,train", ",mismatch,train"))
    result = run("data.toml", "-o", "out.csv")
    assert (result.exit_code, result.stderr) == (
        1,
        "pairs.csv: no training pair matches, so there is nothing to mine for. Nothing was written.\n",
    )
    assert not Path("out.csv").exists()
