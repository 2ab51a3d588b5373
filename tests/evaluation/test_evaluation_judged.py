"""Runs of any system against judgements of any source, beside ir-measures."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.judged import JudgedRun, Judgements, Judging, figures, per_query
from prodmatch_core.evaluation.judgement_lists import read_judgements
from prodmatch_core.registry import default_registry

PAIRS = [
    ("ndcg", nDCG),
    ("mrr", RR),
    ("map", AP),
    *((f"ndcg@{k}", nDCG @ k) for k in (1, 3, 10, 20, 100)),
    *((f"recall@{k}", R @ k) for k in (1, 10, 100)),
    *((f"precision@{k}", P @ k) for k in (1, 5, 10)),
    *((f"hit_rate@{k}", Success @ k) for k in (1, 5, 10)),
]


def judge(
    run: list[tuple[str, str, float]], qrels: list[tuple[str, str, int]], judging: Judging
) -> tuple[Judgements, JudgedRun]:
    judgements = Judgements.of(
        pl.DataFrame(qrels, schema=["query_id", "product_id", "grade"], orient="row"), judging
    )
    schema = {"query_id": pl.String, "product_id": pl.String, "score": pl.Float64}
    return judgements, judgements.rank(pl.DataFrame(run, schema=schema, orient="row"))


def ours(ranked: JudgedRun) -> dict[str, np.ndarray]:
    return {
        name: np.nan_to_num(default_registry().measure(name).load_ranking()(ranked.ranked))
        for name, _ in PAIRS
    }


def by_ir_measures(
    run: list[tuple[str, str, float]], qrels: list[tuple[str, str, int]], rel: int = 1
) -> dict[str, dict[str, float]]:
    measures = {name: m if m.NAME == "nDCG" else m(rel=rel) for name, m in PAIRS}
    names = {measure: name for name, measure in measures.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in names.values()}
    for metric in ir_measures.iter_calc(
        list(names),
        [ir_measures.Qrel(*row) for row in qrels],
        [ir_measures.ScoredDoc(*row) for row in run],
    ):
        found[names[metric.measure]][metric.query_id] = metric.value
    return found


def assert_agrees(
    run: list[tuple[str, str, float]], qrels: list[tuple[str, str, int]], ties: str, rel: int = 1
) -> None:
    judgements, ranked = judge(run, qrels, Judging(ties=ties, relevant_from=rel))
    expected = by_ir_measures(run, qrels, rel)
    for name, values in ours(ranked).items():
        wanted = [expected[name][query] for query in judgements.query_ids]
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-9, err_msg=name)


ids = st.tuples(st.sampled_from("qrs"), st.sampled_from("abcdefgh"))


@settings(max_examples=60, deadline=None)
@given(
    qrels=st.dictionaries(ids, st.integers(0, 3), min_size=1),
    run=st.dictionaries(ids, st.integers(-2, 2).map(lambda x: x / 4)),
    rel=st.integers(1, 3),
)
def test_with_ties_holes_and_unjudged_products_every_query_agrees_with_ir_measures(
    qrels: dict[tuple[str, str], int], run: dict[tuple[str, str], float], rel: int
) -> None:
    assert_agrees(
        [(*key, score) for key, score in run.items()], [(*key, g) for key, g in qrels.items()], "trec", rel
    )


@settings(max_examples=25, deadline=None)
@given(
    qrels=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), min_size=1),
    run=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1).map(float), min_size=1),
)
def test_by_default_a_query_has_the_mean_of_ir_measures_over_all_orders_of_its_ties(
    qrels: dict[str, int], run: dict[str, float]
) -> None:
    _, ranked = judge([("q", *row) for row in run.items()], [("q", *row) for row in qrels.items()], Judging())
    # A query for every order of the ids in the run, others' ids kept: the mean over them is that over orders.
    runs, judged = [], []
    for number, order in enumerate(itertools.permutations(run)):
        renamed = dict(zip(run, order, strict=True))
        runs += [(f"q{number}", renamed[product], score) for product, score in run.items()]
        judged += [(f"q{number}", renamed.get(product, product), grade) for product, grade in qrels.items()]
    expected = by_ir_measures(runs, judged)
    for name, values in ours(ranked).items():
        assert values[0] == pytest.approx(np.mean(list(expected[name].values())), abs=1e-9)


def test_counts_say_what_was_left_out() -> None:
    qrels = [("q", "a", 1), ("q", "b", 0), ("r", "a", 0), ("s", "a", 2)]
    _, ranked = judge([("q", "a", 1.0), ("q", "x", 1.0), ("r", "a", 1.0), ("t", "a", 1.0)], qrels, Judging())
    assert dict(ranked.counts) == {
        "queries": 3,
        "queries_without_relevant": 1,
        "queries_not_in_run": 1,
        "rows": 4,
        "rows_of_other_queries": 1,
        "rows_not_judged": 1,
        "judgements": 4,
    }


def test_a_negative_grade_is_worth_nothing() -> None:
    # No comparison here: given negative grades, ir-measures may never return (pytrec_eval, 2000 random runs).
    run = [("q", "a", 1.0), ("q", "b", 0.5), ("r", "a", 1.0)]
    spam, plain = (
        judge(run, [("q", "a", worst), ("q", "b", 2), ("r", "a", worst)], Judging())[1] for worst in (-2, 0)
    )
    for name, values in ours(spam).items():
        assert values.tolist() == ours(plain)[name].tolist()
    assert ours(spam)["mrr"].tolist() == [0.5, 0.0]


def test_values_per_query_stand_in_the_order_of_the_judgements() -> None:
    qrels = [("r", "a", 1), ("q", "a", 1), ("q", "b", 0)]
    judgements, ranked = judge([("q", "b", 1.0), ("q", "a", 0.5)], qrels, Judging())
    table = per_query(judgements, ranked, {"mrr": np.array([0.0, 0.5])})
    assert table.rows() == [("r", 1, 1, 0, 0.0), ("q", 1, 2, 2, 0.5)]


def test_figures_hold_the_paired_difference() -> None:
    qrels = [(f"q{k}", p, int(p == "a")) for k in range(20) for p in "ab"]
    good = [(f"q{k}", p, s) for k in range(20) for p, s in (("a", 1.0), ("b", 0.0))]
    bad = [(f"q{k}", p, s) for k in range(20) for p, s in (("a", 0.0), ("b", 1.0))]
    judgements, first = judge(good, qrels, Judging())
    _, second = judge(bad, qrels, Judging())
    specs = [default_registry().measure("mrr")]
    found, columns = figures(specs, first, second, judgements.judging, seed=1, replicates=200, level=0.95)
    assert found["measures"]["mrr"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["against"]["measures"]["mrr"]["value"] == 0.5
    # No swap of 200 is as extreme as all twenty queries better: 1 / 201.
    assert found["differences"]["mrr"] == {
        "value": 0.5,
        "low": 0.5,
        "high": 0.5,
        "p": pytest.approx(1 / 201),
        "better": 20,
        "worse": 0,
    }
    assert columns["against:mrr"].tolist() == [0.5] * 20


def test_nothing_to_find_anywhere_is_undefined() -> None:
    judgements, ranked = judge([("q", "a", 1.0)], [("q", "a", 0), ("r", "a", 0)], Judging())
    specs = [default_registry().measure("mrr")]
    found, _ = figures(specs, ranked, None, judgements.judging, seed=0, replicates=100, level=0.9)
    assert all(np.isnan(value) for value in found["measures"]["mrr"].values())


def test_no_judgements_are_refused() -> None:
    with pytest.raises(DataError) as error:
        judge([], [], Judging())
    assert str(error.value) == (
        "the judgements are empty: there is no query to average over. Give another file."
    )


LIST = '{"judgmentRatings": [%s]}'


def test_a_workbenchs_list_is_read_with_blanks_as_underscores(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(
        LIST
        % '{"query": "red  mug", "ratings": [{"docId": "B1", "rating": "100.000"}, {"docId": "B2", "rating": 1}]}'
    )
    assert read_judgements(path).rows() == [("red_mug", "B1", 100), ("red_mug", "B2", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", ': has no list "judgmentRatings". Give TREC qrels, or a workbench\'s judgement list.'),
        (LIST % '{"query": "", "ratings": []}', ": judgmentRatings[0]: \"query\" is '', expected a text."),
        (LIST % '{"query": "q"}', ': judgmentRatings[0]: has no list "ratings".'),
        (
            LIST % '{"query": "q", "ratings": [{"docId": "a", "rating": "0.5"}]}',
            ": judgmentRatings[0].ratings[0]: \"rating\" is '0.5', expected a whole number.",
        ),
        (
            LIST % '{"query": "q", "ratings": [{"docId": "a", "rating": "nan"}]}',
            ": judgmentRatings[0].ratings[0]: \"rating\" is 'nan', expected a whole number.",
        ),
        (
            LIST % '{"query": "q", "ratings": [{"docId": "a", "rating": 1}, {"docId": "a", "rating": 1}]}',
            ": judgmentRatings[0].ratings[1]: product a repeats for query q. Keep one rating a pair.",
        ),
        (
            "{",
            ": is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1). "
            "Export the judgements again.",
        ),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_judgements(path)
    assert str(error.value) == f"{path}{message}"


@pytest.fixture(scope="module")
def esci() -> pl.DataFrame:
    if "PRODMATCH_DATA" not in os.environ:
        pytest.skip("PRODMATCH_DATA is not set: the ESCI judgements are not here")
    return read_judgements(Path(os.environ["PRODMATCH_DATA"], "esci_judgements", "esci_us_judgments.json"))


@pytest.mark.real
def test_the_esci_judgements_are_all_read(esci: pl.DataFrame) -> None:
    assert (esci.height, esci["query_id"].n_unique()) == (6678, 150)
    assert set(esci["grade"]) == {100, 10, 1, 0}


@pytest.mark.real
@pytest.mark.parametrize("rel", [1, 100])
@pytest.mark.parametrize("levels", [None, 5], ids=["no ties", "ties"])
@pytest.mark.parametrize("kept", [1.0, 0.6], ids=["all retrieved", "some retrieved"])
def test_on_the_esci_judgements_every_query_agrees_with_ir_measures(
    esci: pl.DataFrame, rel: int, levels: int | None, kept: float
) -> None:
    generator = np.random.default_rng(11)
    rows = esci.height
    score = (
        generator.permutation(rows) / rows if levels is None else generator.integers(levels, size=rows) / 8
    )
    there = generator.random(rows) < kept
    run = [
        (*ids, float(value))
        for ids, value, retrieved in zip(
            esci.select("query_id", "product_id").rows(), score, there, strict=True
        )
        if retrieved
    ]
    assert_agrees(run, esci.rows(), "trec", rel)
    if levels is None:
        assert_agrees(run, esci.rows(), "expected", rel)


@pytest.mark.real
def test_on_the_esci_judgements_the_expectation_is_what_random_orders_average_to(esci: pl.DataFrame) -> None:
    generator = np.random.default_rng(3)
    few = esci.filter(pl.col("query_id").is_in(esci["query_id"].unique(maintain_order=True)[:10].to_list()))
    score = generator.integers(3, size=few.height) / 8
    run = [(*ids, s) for ids, s in zip(few.select("query_id", "product_id").rows(), score, strict=True)]
    _, ranked = judge(run, few.rows(), Judging())
    drawn = []
    for _ in range(200):
        names = {
            p: f"{n:05}" for p, n in zip(few["product_id"], generator.permutation(few.height), strict=True)
        }
        found = by_ir_measures(
            [(q, names[p], s) for q, p, s in run], [(q, names[p], g) for q, p, g in few.rows()]
        )
        drawn.append([np.mean(list(found[name].values())) for name, _ in PAIRS])
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(200)
    expected = np.array([values.mean() for values in ours(ranked).values()])
    assert (np.abs(mean - expected) <= 4.5 * error + 1e-9).all()
