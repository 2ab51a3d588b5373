"""Ranking measures of an ESCI-sized test set: ours beside ir-measures, in one process on the same rows.

    python benchmarks/ranking_measures.py [--queries 130000] [--rows 2600000]

Both get the rows in the form they like best, ready in memory: arrays of query, score and label, and dictionaries of
dictionaries. What is timed is from there to the mean of every measure. Scores of the second case tie. At these
sizes the tables go into docs/explanation/benchmarks-ranking.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ir_measures
import numpy as np
import polars as pl
from ir_measures import AP, RR, P, R, Success, nDCG

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.evaluation import trec
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.judged import Judgements, Judging, figures
from prodmatch_core.evaluation.ranked import rank
from prodmatch_core.evaluation.significance import PerQueryRows, bootstrap_weights, joint_intervals
from prodmatch_core.registry import default_registry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-ranking.md"
MEASURES = {
    "ndcg": nDCG,
    "ndcg@10": nDCG @ 10,
    "mrr": RR(rel=100),
    "map": AP(rel=100),
    "precision@10": P(rel=100) @ 10,
    "recall@10": R(rel=100) @ 10,
    "hit_rate@10": Success(rel=100) @ 10,
}
GRADES = np.array([100, 10, 1, 0])


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def best(work: Callable[[], Any], times: int = 3) -> tuple[Any, float]:
    found = [timed(work) for _ in range(times)]
    return found[-1][0], min(seconds for _, seconds in found)


def ours(
    query: np.ndarray, score: np.ndarray, label: np.ndarray, queries: int, ids: np.ndarray | None
) -> dict[str, float]:
    gain = GRADES[label].astype(np.float64)
    ranked = rank(query, score, gain, label == 0, queries=queries, tie_break=ids)
    registry = default_registry()
    return {
        name: float(np.nan_to_num(registry.measure(name).load_ranking()(ranked)).mean()) for name in MEASURES
    }


def theirs(qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> dict[str, float]:
    found = ir_measures.calc_aggregate(list(MEASURES.values()), qrels, run)
    return {name: found[measure] for name, measure in MEASURES.items()}


def nested(query: np.ndarray, product: list[str], values: list[Any]) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for q, p, value in zip(query.tolist(), product, values, strict=True):
        result.setdefault(f"q{q}", {})[p] = value
    return result


def measures_table(queries: int, rows: int) -> list[str]:
    generator = np.random.default_rng(0)
    query = np.sort(np.append(np.arange(queries), generator.integers(queries, size=rows - queries)))
    label = generator.choice(4, size=rows, p=[0.44, 0.33, 0.05, 0.18])
    ids = generator.permutation(rows)
    names = [f"B{number:09}" for number in ids]
    qrels = nested(query, names, GRADES[label].tolist())
    lines = [
        "| scores | tie rule | prodmatch s | ir-measures s | ratio | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for title, score in (
        ("no ties", generator.permutation(rows) / rows),
        ("40 levels", generator.integers(40, size=rows) / 40),
    ):
        run = nested(query, names, score.tolist())
        expected, reference = timed(lambda qrels=qrels, run=run: theirs(qrels, run))
        for rule, tie_break in (("expected", None), ("trec", ids)):
            work = lambda score=score, tie=tie_break: ours(query, score, label, queries, tie)  # noqa: E731
            found, seconds = best(work)
            gap = max(abs(found[name] - expected[name]) for name in MEASURES)
            # With ties the two rules mean different things, and only one of them is trec_eval's.
            same = rule == "trec" or title == "no ties"
            shown = f"{gap:.0e}" if same else "-"
            lines.append(
                f"| {title} | {rule} | {seconds:.2f} | {reference:.1f} | {reference / seconds:.0f} | {shown} |"
            )
    return lines


def replicates_table(queries: int, rows: int) -> list[str]:
    generator = np.random.default_rng(1)
    values = generator.random((queries, len(MEASURES)))
    by_query = PerQueryRows(queries)
    work = lambda: joint_intervals(  # noqa: E731
        lambda weights: weights @ values, by_query, seed=0, replicates=200, at_once=16
    )
    _, together = timed(work)
    score, label = generator.random(rows), generator.integers(4, size=rows)
    query = np.sort(np.append(np.arange(queries), generator.integers(queries, size=rows - queries)))
    probabilities = np.stack([score, *[(1 - score) / 3] * 3], axis=1)
    evaluated = Evaluated(label, probabilities, label, query, ESCI)
    statistic = default_registry().measure("ndcg").load()(evaluated)
    weights = next(bootstrap_weights(evaluated.groups, 1, 0))
    _, one = best(lambda: statistic(weights), 20)
    return [
        "| a bootstrap replicate | ms |",
        "|---|---|",
        f"| values per query, {len(MEASURES)} measures, queries drawn | {1e3 * together / 200:.2f} |",
        f"| rows of a run with weights, nDCG, weights given | {1e3 * one:.2f} |",
    ]


def files_table(queries: int, rows: int) -> list[str]:
    generator = np.random.default_rng(2)
    query = np.sort(np.append(np.arange(queries), generator.integers(queries, size=rows - queries)))
    query_ids = pl.Series(query).cast(pl.String)
    product_ids = "B" + pl.Series(generator.permutation(rows)).cast(pl.String)
    judging = Judging()
    specs = [default_registry().measure(name) for name in MEASURES]
    with TemporaryDirectory() as folder:
        run, qrels = Path(folder, "run"), Path(folder, "qrels")
        label = generator.integers(4, size=rows)
        steps = {
            "write run.trec": lambda: trec.write_run(run, query_ids, product_ids, generator.random(rows)),
            "write qrels.trec": lambda: trec.write_qrels(qrels, query_ids, product_ids, label, ESCI),
            "read the run": lambda: trec.read_run(run),
            "read the judgements": lambda: trec.read_qrels(qrels),
        }
        results = {name: timed(work) for name, work in steps.items()}
        judgements, seconds = timed(lambda: Judgements.of(results["read the judgements"][0], judging))
        ranked, more = timed(lambda: judgements.rank(results["read the run"][0]))
        draws = {"seed": 0, "replicates": 1000, "level": 0.95}
        _, rest = timed(lambda: figures(specs, ranked, None, judging, **draws))
        _, compared = timed(lambda: figures(specs, ranked, ranked, judging, **draws))
        lines = {name: found for name, (_, found) in results.items()}
        lines |= {
            "join the two and sort": seconds + more,
            f"{len(MEASURES)} measures with intervals (1,000 resamples)": rest,
            "the same of two runs, with differences and 1,000 swaps": compared,
        }
    return ["| step | s |", "|---|---|", *(f"| {name} | {value:.2f} |" for name, value in lines.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=130_000)
    parser.add_argument("--rows", type=int, default=2_600_000)
    args = parser.parse_args()
    size = (args.queries, args.rows)
    versions = f"ir-measures {ir_measures.__version__}, NumPy {np.__version__}, Polars {pl.__version__}"
    lines = [
        "# Ranking measures: speed",
        "",
        "Made by `python benchmarks/ranking_measures.py`; do not edit.",
        "",
        f"{args.rows:,} judged rows of {args.queries:,} queries; {', '.join(MEASURES)}. {versions};",
        f"{os.cpu_count()} cores, {platform.machine()}. Seconds are of a machine that does other things too;",
        "the ratio is within one process on the same rows, from rows in memory to the mean of every measure",
        "(ir-measures once, prodmatch the best of three).",
        "",
        *measures_table(*size),
        "",
        "The difference is that of the means, under the rule that trec_eval has too.",
        "",
        *replicates_table(*size),
        "",
        "`prodmatch evaluate`, step by step:",
        "",
        *files_table(*size),
        "",
    ]
    print("\n".join(lines))
    if args == parser.parse_args([]):
        PAGE.write_text("\n".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
