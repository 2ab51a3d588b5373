from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, nDCG

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.trec import grades, read_qrels, read_run, write_qrels, write_run

word = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=4)
rows = st.lists(
    st.tuples(word, word, st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3)),
    unique_by=lambda row: row[:2],
)


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trec") / "file"


@given(rows=rows)
def test_a_run_is_read_as_it_was_written(file: Path, rows: list[tuple[str, str, float, int]]) -> None:
    queries, products, scores, _ = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
    write_run(file, queries, products, np.array(scores))
    run = read_run(file)
    found = zip(run.query_ids, run.product_ids, run.scores.tolist(), strict=True)
    assert sorted(found) == sorted(zip(queries, products, scores, strict=True))


@given(rows=rows)
def test_qrels_are_read_as_they_were_written(file: Path, rows: list[tuple[str, str, float, int]]) -> None:
    queries, products, _, labels = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
    write_qrels(file, queries, products, np.array(labels, dtype=np.int64), ESCI)
    qrels = read_qrels(file)
    assert (qrels.query_ids, qrels.product_ids) == (queries, products)
    assert qrels.grades.tolist() == [(100, 10, 1, 0)[label] for label in labels]


def test_a_run_lists_each_query_by_falling_score(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["q2", "q1", "q2"], ["a", "b", "c"], np.array([0.25, 1.0, 0.5]), tag="mine")
    assert (tmp_path / "run").read_text() == "q2 Q0 c 1 0.5 mine\nq2 Q0 a 2 0.25 mine\nq1 Q0 b 1 1.0 mine\n"


def test_the_rank_is_the_one_trec_eval_finds(tmp_path: Path) -> None:
    # As 32-bit floats the two scores tie, and trec_eval then takes the greater product id first.
    write_run(tmp_path / "run", ["q", "q"], ["a", "b"], np.array([0.5 + 1e-9, 0.5]))
    write_qrels(tmp_path / "qrels", ["q", "q"], ["a", "b"], np.array([0, 3]), ESCI)
    assert read_run(tmp_path / "run").product_ids == ["b", "a"]
    assert by_ir_measures(tmp_path, RR) == 0.5


def test_ir_measures_reads_the_files(tmp_path: Path) -> None:
    products = ["a", "b", "c", "d"]
    write_run(tmp_path / "run", ["q"] * 4, products, np.array([0.8, 0.6, 0.4, 0.2]))
    write_qrels(tmp_path / "qrels", ["q"] * 4, products, np.array([1, 0, 3, 2]), ESCI)
    dcg = 0.1 + 1 / np.log2(3) + 0.01 / np.log2(5)
    assert by_ir_measures(tmp_path, nDCG) == pytest.approx(dcg / (1 + 0.1 / np.log2(3) + 0.01 / 2))


def by_ir_measures(folder: Path, measure: ir_measures.Measure) -> float:
    qrels = ir_measures.read_trec_qrels(str(folder / "qrels"))
    run = ir_measures.read_trec_run(str(folder / "run"))
    return ir_measures.calc_aggregate([measure], qrels, run)[measure]


def test_esci_gains_become_the_grades_of_its_judgements() -> None:
    assert grades(ESCI) == (100, 10, 1, 0)


def test_whole_gains_stay_as_they_are() -> None:
    assert grades(LabelScheme("graded", ("a", "b", "c"), (3, 1, 0), ("a",))) == (3, 1, 0)


@pytest.mark.parametrize(
    ("gains", "message"),
    [
        (
            (1 / 3, 0),
            "label scheme odd: gains (0.3333333333333333, 0.0) need more than 6 decimals, and TREC grades are "
            "integers. Round the gains.",
        ),
        ((1, -1), "label scheme odd: gain -1.0 is negative; TREC grades start at 0."),
    ],
)
def test_gains_that_fit_no_grades_are_refused(gains: tuple[float, float], message: str) -> None:
    with pytest.raises(DataError) as error:
        grades(LabelScheme("odd", ("a", "b"), gains, ("a",)))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("queries", "products", "scores", "message"),
    [
        (
            ["q", "q"],
            ["a", "b c"],
            [1, 2],
            "row 2: product id is 'b c', expected one word: TREC columns are separated by white space. Rename it.",
        ),
        (
            [""],
            ["a"],
            [1],
            "row 1: query id is '', expected one word: TREC columns are separated by white space. Rename it.",
        ),
        (["q", "q"], ["a", "a"], [1, 2], "row 2: product a repeats for query q. Keep one row a pair."),
        (["q", "q"], ["a", "b"], [1, np.nan], "row 2: score is nan, expected a finite number."),
        (["q"], ["a", "b"], [1], "1 query ids, 2 product ids and 1 values; expected one of each per row."),
    ],
)
def test_a_run_that_the_format_cannot_hold_is_refused(
    tmp_path: Path, queries: list[str], products: list[str], scores: list[float], message: str
) -> None:
    path = tmp_path / "run"
    with pytest.raises(DataError) as error:
        write_run(path, queries, products, np.array(scores))
    assert str(error.value) == f"{path}: {message}"
    assert not path.exists()


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_run, "q Q0 a 1 0.5\n", ", line 1: 5 columns, expected 6: query Q0 product rank score tag."),
        (read_run, "\nq Q0 a 1 high t\n", ", line 2: score is 'high', expected a finite number."),
        (read_run, "q Q0 a 1 inf t\n", ", line 1: score is 'inf', expected a finite number."),
        (read_qrels, "q 0 a 1\nq 0 b\n", ", line 2: 3 columns, expected 4: query iteration product grade."),
        (read_qrels, "q 0 a 0.5\n", ", line 1: grade is '0.5', expected a whole number."),
        (read_qrels, "q 0 a 1\nq 0 a 2\n", ": row 2: product a repeats for query q. Keep one row a pair."),
    ],
)
def test_a_broken_file_is_refused_by_line(
    tmp_path: Path, read: Callable[[Path], object], text: str, message: str
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value) == f"{path}{message}"
