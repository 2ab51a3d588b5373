from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, nDCG

from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation import trec
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
    assert sorted(run.rows()) == sorted(zip(queries, products, scores, strict=True))


@given(rows=rows)
def test_qrels_are_read_as_they_were_written(file: Path, rows: list[tuple[str, str, float, int]]) -> None:
    queries, products, _, labels = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
    write_qrels(file, queries, products, np.array(labels, dtype=np.int64), ESCI)
    qrels = read_qrels(file)
    grades_of = [(100, 10, 1, 0)[label] for label in labels]
    assert qrels.rows() == list(zip(queries, products, grades_of, strict=True))


def test_a_run_lists_each_query_by_falling_score(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["q2", "q1", "q2"], ["a", "b", "c"], np.array([0.25, 1.0, 0.5]), tag="mine")
    assert (tmp_path / "run").read_text() == "q2 Q0 c 1 0.5 mine\nq2 Q0 a 2 0.25 mine\nq1 Q0 b 1 1.0 mine\n"


def test_the_rank_is_the_one_trec_eval_finds(tmp_path: Path) -> None:
    # As 32-bit floats the two scores tie, and trec_eval then takes the greater product id first.
    write_run(tmp_path / "run", ["q", "q"], ["a", "b"], np.array([0.5 + 1e-9, 0.5]))
    write_qrels(tmp_path / "qrels", ["q", "q"], ["a", "b"], np.array([0, 3]), ESCI)
    assert read_run(tmp_path / "run")["product_id"].to_list() == ["b", "a"]
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
        (
            read_qrels,
            "q 0 a 1\n\nq 0 a 2\n",
            ", line 3: product a repeats for query q. Keep one line a pair.",
        ),
        (
            read_run,
            "q Q0 a 1 1 t\nq Q0 a 2 0 t\n",
            ", line 2: product a repeats for query q. Keep one line a pair.",
        ),
        (
            read_qrels,
            "q 0 a 9223372036854775808\n",
            ", line 1: grade is '9223372036854775808', expected a whole number.",
        ),
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


@pytest.mark.parametrize("name", ["absent", "absent.gz"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as error:
        read_run(tmp_path / name)
    assert str(error.value) == f"{tmp_path / name}: no such file."


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"q Q0 \xff 1 0.5 t\n")
    with pytest.raises(DataError) as error:
        read_run(tmp_path / "run")
    assert str(error.value) == f"{tmp_path / 'run'}: not UTF-8: invalid start byte. Save the file as UTF-8."


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "text",
    ["q\tQ0\ta\t1\t0.5\tt\nq\tQ0\tb\t2\t.25\tt\n", "q Q0  a 1 0.5 t\r\n\r\n q\tQ0 b 2 25e-2 t"],
    ids=["tabs", "mixed"],
)
def test_columns_may_be_separated_in_any_way(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / ("run.gz" if packed else "run")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read_run(path).rows() == [("q", "a", 0.5), ("q", "b", 0.25)]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("")
    assert read_qrels(tmp_path / "qrels").schema == {
        "query_id": pl.String,
        "product_id": pl.String,
        "grade": pl.Int64,
    }


cell = st.sampled_from(["q", "a", '"', "1", "2", "-1", "0.5", "1e400", "nan", "", "#", "\x1c", "\u2028", "é"])
gap = st.sampled_from([" ", " ", " ", "\t", "  ", "\n", "\r\n"])


@settings(max_examples=150, deadline=None)
@given(read=st.sampled_from([read_run, read_qrels]), parts=st.lists(st.tuples(cell, gap), max_size=24))
def test_any_text_is_read_as_line_by_line_or_refused_by_name(
    file: Path, read: Callable[[Path], pl.DataFrame], parts: list[tuple[str, str]]
) -> None:
    file.write_text("".join(map("".join, parts)), newline="")
    outcomes = []
    for careful in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if careful:
                patch.setattr(trec, "_read_regular", lambda *_: None)
            try:
                outcomes.append(read(file).rows())
            except DataError as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], list) or outcomes[0].startswith(str(file))
