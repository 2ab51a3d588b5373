"""A ranking of any system against judgements of any source: what `prodmatch evaluate` prints.

The queries are those of the judgements. A product that was not judged is worth nothing and is not relevant; one
that was judged and not retrieved is missed; a query that the run leaves out counts as 0. So does ir-measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data import gains
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation import significance
from prodmatch_core.evaluation.ranked import TIE_RULES, Ideal, Ranked, ideal_of, rank
from prodmatch_core.records import MeasureSpec

_SAME = 1e-12
"Difference of two values that rounding explains."


@attrs.frozen
class Judging:
    """How judgements are read."""

    profile: str = "linear"
    "Name of the gain profile."
    relevant_from: int = 1
    "Least grade that counts as relevant."
    ties: str = "expected"
    "Name of the tie rule."


@attrs.frozen(eq=False)
class Judgements:
    """Judgements ready to rank runs against."""

    table: pl.DataFrame
    "Columns query (UInt32 number), query_id, product_id, gain (Float64) and relevant (Boolean)."
    query_ids: pl.Series
    "(G,) in the order of their first judgement."
    ideal: Ideal
    judging: Judging

    @classmethod
    def of(cls, qrels: pl.DataFrame, judging: Judging) -> Judgements:
        """Number the queries and give the grades their gains.

        Args:
            qrels: columns query_id, product_id and grade, no pair twice.
            judging: how to read them.

        Raises:
            DataError: there is no judgement, or the grades do not fit the gain profile.
        """
        if not qrels.height:
            raise DataError("the judgements are empty: there is no query to average over. Give another file.")
        grades = qrels["grade"].to_numpy()
        worth = gains.of_grades(judging.profile, grades, judging.relevant_from)
        query_ids = qrels["query_id"].unique(maintain_order=True)
        numbers = pl.DataFrame({"query_id": query_ids}).with_row_index("query")
        relevant = grades >= judging.relevant_from
        table = qrels.select(
            "query_id", "product_id", gain=pl.Series(worth), relevant=pl.Series(relevant)
        ).join(numbers, on="query_id", how="left", maintain_order="left")
        query = table["query"].to_numpy().astype(np.int64)
        return cls(table, query_ids, ideal_of(query, worth, relevant, len(query_ids)), judging)

    def rank(self, run: pl.DataFrame) -> JudgedRun:
        """Rank a run.

        Args:
            run: columns query_id, product_id and score, no pair twice.
        """
        numbers = pl.DataFrame({"query_id": self.query_ids}).with_row_index("query")
        rows = run.join(numbers, on="query_id", how="inner")
        judged = self.table.select("query", "product_id", "gain", "relevant")
        rows = rows.join(judged, on=["query", "product_id"], how="left")
        query = rows["query"].to_numpy().astype(np.int64)
        ranked = rank(
            query,
            rows["score"].to_numpy(),
            rows["gain"].fill_null(0.0).to_numpy(),
            rows["relevant"].fill_null(False).to_numpy(),
            queries=len(self.query_ids),
            tie_break=rows["product_id"] if self.judging.ties == "trec" else None,
            ideal=self.ideal,
        )
        retrieved = np.bincount(query, minlength=len(self.query_ids))
        counts = {
            "queries": len(self.query_ids),
            "queries_without_relevant": int((self.ideal.relevant == 0).sum()),
            "queries_not_in_run": int((retrieved == 0).sum()),
            "rows": run.height,
            "rows_of_other_queries": run.height - rows.height,
            "rows_not_judged": rows["gain"].null_count(),
            "judgements": self.table.height,
        }
        return JudgedRun(ranked, retrieved, counts)


@attrs.frozen(eq=False)
class JudgedRun:
    """A run in rank order, and what was met on the way."""

    ranked: Ranked
    retrieved: np.ndarray
    "(G,) int64 rows of each query."
    counts: Mapping[str, int]


def figures(
    measures: Sequence[MeasureSpec],
    run: JudgedRun,
    other: JudgedRun | None,
    judging: Judging,
    *,
    seed: int,
    replicates: int,
    level: float,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return all figures of a run, and its values per query.

    Args:
        measures: what is measured; each reads a ranking.
        run: the run.
        other: a run to compare with, on the same judgements.
        judging: how the judgements were read, to be printed.
        seed: of resamples and swaps.
        replicates: number of resamples of the queries, and of random swaps.
        level: coverage of the intervals.

    Returns:
        The figures as plain values, and name of a column -> (G,) values; where nothing can be found, 0.
    """
    settings: dict[str, Any] = {"seed": seed, "replicates": replicates}
    runs = {"": run} if other is None else {"": run, "against:": other}
    names = [spec.name for spec in measures]
    columns = {
        f"{prefix}{spec.name}": spec.load_ranking()(judged.ranked)
        for prefix, judged in runs.items()
        for spec in measures
    }
    values = np.stack(list(columns.values()), axis=1)
    columns = {name: np.nan_to_num(column) for name, column in columns.items()}
    means = _Means(values, len(names) if other is not None else 0)
    rows = significance.PerQueryRows(run.ranked.queries)
    found = significance.joint_intervals(means, rows, level=level, at_once=16, **settings)
    estimates = [{"value": i.value, "low": i.low, "high": i.high} for i in found]
    result: dict[str, Any] = {
        "profile": judging.profile,
        "relevant_from": judging.relevant_from,
        "tie_rule": {"name": judging.ties, "means": TIE_RULES[judging.ties]},
        "level": level,
        **settings,
        **_of(run, names, estimates),
    }
    if other is not None:
        result["against"] = _of(other, names, estimates[len(names) :])
        p = significance.paired_sign_flips(means.gained, **settings)
        result["differences"] = {
            name: {
                **estimates[2 * len(names) + place],
                "p": float(p[place]),
                "better": int((means.gained[:, place] > _SAME).sum()),
                "worse": int((means.gained[:, place] < -_SAME).sum()),
            }
            for place, name in enumerate(names)
        }
    return result, columns


def _of(run: JudgedRun, names: Sequence[str], estimates: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {
        "counts": dict(run.counts),
        "ties": attrs.asdict(run.ranked.ties),
        "measures": dict(zip(names, estimates, strict=False)),
    }


class _Means:
    """All means of a resample at once: of every column, then of the paired differences."""

    def __init__(self, values: np.ndarray, pairs: int) -> None:
        """Hold (G, m) values, of which the first `pairs` are compared with the next as many."""
        self.possible = ~np.isnan(values)
        self.columns = np.nan_to_num(values)
        self.gained = self.columns[:, :pairs] - self.columns[:, pairs : 2 * pairs]
        self.pairs = pairs

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return the means, (r, m + pairs), for (r, G) weights; NaN where no drawn query has anything to find."""
        means = (weights @ self.columns) / weights.sum(axis=1, keepdims=True)
        gained = means[:, : self.pairs] - means[:, self.pairs : 2 * self.pairs]
        for replicate, column in np.argwhere(means == 0):
            if not weights[replicate] @ self.possible[:, column]:
                means[replicate, column] = np.nan
        return np.concatenate([means, gained], axis=1)


def per_query(judgements: Judgements, run: JudgedRun, columns: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return a row per query: its id, how many products are relevant, judged and retrieved, and its values."""
    judged = np.bincount(judgements.table["query"].to_numpy(), minlength=len(judgements.query_ids))
    return pl.DataFrame(
        {
            "query_id": judgements.query_ids,
            "relevant": judgements.ideal.relevant.astype(np.int64),
            "judged": judged,
            "retrieved": run.retrieved,
            **columns,
        }
    )
