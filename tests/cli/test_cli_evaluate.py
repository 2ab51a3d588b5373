"""`prodmatch evaluate`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.cli import cli


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a run of two queries, with a tie and an unjudged product, another run, and the judgements."""
    monkeypatch.chdir(tmp_path)
    Path("qrels").write_text("q1 0 a 100\nq1 0 b 10\nq2 0 a 1\nq2 0 b 0\nq3 0 c 0\n")
    Path("run").write_text(
        "q1 Q0 a 1 0.9 t\nq1 Q0 b 2 0.5 t\nq2 Q0 a 1 0.5 t\nq2 Q0 b 2 0.5 t\nq2 Q0 x 3 0 t\n"
    )
    Path("other").write_text("q1 Q0 b 1 0.9 t\nq1 Q0 a 2 0.5 t\nq9 Q0 a 1 0.5 t\n")
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *arguments], catch_exceptions=False)


def test_the_table_has_value_and_interval_and_says_what_it_rests_on(files: Path) -> None:
    result = call("run", "qrels", "--measure", "mrr", "--measure", "recall@1")
    assert result.exit_code == 0
    assert result.stdout == (
        "measure    value          interval\n"
        "mrr       0.5833  [0.2500, 1.0000]\n"
        "recall@1  0.3333  [0.1667, 0.5000]\n"
        "\n"
        "gains: linear (the grade); relevant from grade 1\n"
        "intervals: 95%, 1000 resamples of the queries, seed 0\n"
        "ties: 2 of 5 rows, in 1 of 3 queries; the rule decides values of 1\n"
        "tie rule: expected: equal scores share their ranks: a measure is its expectation over all orders of the "
        "ties\n"
        "1 queries have no relevant product and count as 0 (nDCG: by their gains)\n"
        "1 judged queries are not in the run and count as 0\n"
        "1 rows were not judged and count as not relevant\n"
    )


def test_another_run_is_compared_query_by_query(files: Path) -> None:
    result = call("run", "qrels", "--measure", "mrr", "--against", "other", "--relevant", "100")
    assert result.stdout.splitlines()[:2] == [
        "measure   value          interval  against  difference            interval       p  better  worse",
        "mrr      0.3333  [0.3333, 1.0000]   0.1667     +0.1667  [+0.0000, +0.5000]  1.0000       1      0",
    ]
    assert "other run: ties: 0 of 3 rows, in 0 of 3 queries; the rule decides values of 0" in result.stdout
    assert "other run: 1 rows are of queries without judgements and are left out" in result.stdout


def test_json_has_every_figure(files: Path) -> None:
    found = json.loads(call("run", "qrels", "--profile", "esci", "--ties", "trec", "--json").stdout)
    assert found["profile"] == "esci"
    assert found["tie_rule"]["name"] == "trec"
    assert found["ties"] == {"rows": 2, "queries": 1, "decided_by_rule": 1}
    assert list(found["measures"]) == [
        "ndcg",
        "ndcg@10",
        "mrr",
        "map",
        "precision@10",
        "recall@10",
        "hit_rate@10",
    ]
    # q1 is in the best order, in q2 the tie puts b before a, q3 has nothing to find.
    assert found["measures"]["mrr"]["value"] == pytest.approx((1 + 1 / 2 + 0) / 3)


@pytest.mark.parametrize("name", ["each.csv", "each.parquet"])
def test_values_per_query_are_written(files: Path, name: str) -> None:
    result = call("run", "qrels", "--measure", "mrr", "--against", "other", "-o", name)
    assert result.stdout.endswith(f"per query: {name}\n")
    table = pl.read_csv(name) if name.endswith("csv") else pl.read_parquet(name)
    assert table.columns == ["query_id", "relevant", "judged", "retrieved", "mrr", "against:mrr"]
    assert table.rows()[:2] == [("q1", 2, 2, 2, 1.0, 1.0), ("q2", 1, 2, 3, 0.75, 0.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--measure", "ndgc@5", "--measure", "accuracy"),
            '--measure: unknown measure "ndgc@5"; did you mean "ndcg@5"?\n'
            "--measure: accuracy reads class predictions, which a run file has not; it can be ",
        ),
        (
            ("--measure", "recall@k"),
            '--measure: measure "recall@k": write a number for k, like "recall@10"\n',
        ),
        (("-o", "each.xls"), "--out each.xls: end its name in .csv or .parquet\n"),
    ],
)
def test_wrong_usage_is_refused_before_a_file_is_read(
    files: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("absent", "absent", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_a_broken_line_is_named(files: Path) -> None:
    Path("run").write_text("q1 Q0 a 1 0.9 t\nq1 Q0 b 2 many t\n")
    result = call("run", "qrels")
    assert result.exit_code == 1
    assert result.stderr == "run, line 2: score is 'many', expected a finite number.\n"


def test_grades_that_do_not_fit_the_profile_are_refused(files: Path) -> None:
    Path("qrels").write_text("q1 0 a 7\n")
    result = call("run", "qrels", "--profile", "esci")
    assert result.exit_code == 1
    assert "the judgements have 7." in result.stderr
