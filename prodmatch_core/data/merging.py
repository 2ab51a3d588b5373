"""One judgement per query and product, out of rows that repeat or contradict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

_PAIR = ["query_id", "product_id"]


def merge_judgements(
    frame: pl.DataFrame, labels: Sequence[str], thresholds: Mapping[str, float]
) -> tuple[pl.DataFrame, list[str]]:
    """Merge the rows about one pair, whatever their order in the file.

    Rows that agree keep their label. Where they do not, a number in the file decides by its mean, put through
    the thresholds; words decide by majority, and of equally frequent labels the worse one stands. Weight and
    spread are averaged: how often a file repeats a pair says nothing about how much the pair matters.

    Args:
        frame: columns query_id, product_id and class; where there are thresholds, relevance; optionally
            weight and spread.
        labels: labels by class index, best first.
        thresholds: label -> least relevance; empty where labels are words.

    Returns:
        Columns query_id, product_id, label (and weight, spread) in order of first appearance; and notes that
        count what was merged.
    """
    extra = [name for name in ("weight", "spread") if name in frame.columns]
    repeated = frame.select(pl.struct(_PAIR).is_duplicated()).to_series()
    notes: list[str] = []
    merged = frame.select(*_PAIR, "class", *extra)
    if repeated.any():
        again = frame.filter(repeated)
        groups = again.group_by(_PAIR, maintain_order=True).agg(
            pl.len().alias("rows"),
            pl.col("class").n_unique().alias("kinds"),
            *(pl.col(n).mean() for n in extra),
        )
        decided = _by_mean(again, labels, thresholds) if thresholds else _by_majority(again)
        groups = groups.join(decided, on=_PAIR, how="left", maintain_order="left")
        agreed, torn = groups.filter(pl.col("kinds") == 1), groups.filter(pl.col("kinds") > 1)
        if agreed.height:
            surplus = int(agreed["rows"].sum()) - agreed.height
            notes.append(f"rows merged because they repeat a query, product and label: {surplus}")
        if torn.height:
            rule = "the mean decides" if thresholds else "the majority decides, in a tie the worse label"
            notes.append(f"pairs of query and product with different labels: {torn.height} ({rule})")
        merged = frame.select(_PAIR).unique(maintain_order=True)
        values = pl.concat(
            [
                frame.filter(~repeated).select(*_PAIR, "class", *extra),
                groups.select(*_PAIR, "class", *extra),
            ]
        )
        merged = merged.join(values, on=_PAIR, how="left", maintain_order="left")
    label = pl.col("class").replace_strict(range(len(labels)), list(labels), return_dtype=pl.String)
    return merged.select(*_PAIR, label.alias("label"), *extra), notes


def _by_majority(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by(*_PAIR, "class")
        .len()
        .sort(*_PAIR, "len", "class", descending=[False, False, True, True])
        .group_by(_PAIR, maintain_order=True)
        .agg(pl.col("class").first())
    )


def _by_mean(rows: pl.DataFrame, labels: Sequence[str], thresholds: Mapping[str, float]) -> pl.DataFrame:
    mean = rows.group_by(_PAIR).agg(
        pl.col("relevance").sort().mean(), pl.col("class").min(), kinds=pl.col("class").n_unique()
    )
    # A mean of equal thresholds may come out a hair below them, so it is rounded before it is compared.
    relevance = pl.col("relevance").round(9)
    index = classify(relevance, labels, thresholds)
    return mean.select(*_PAIR, pl.when(pl.col("kinds") == 1).then("class").otherwise(index).alias("class"))


def classify(relevance: pl.Expr, labels: Sequence[str], thresholds: Mapping[str, float]) -> pl.Expr:
    """Return the class index of a number: the best label whose least number it reaches, else the worst."""
    index = pl.lit(len(labels) - 1, dtype=pl.Int64)
    for rank in reversed(range(len(labels) - 1)):
        index = (
            pl.when(relevance >= thresholds[labels[rank]]).then(pl.lit(rank, dtype=pl.Int64)).otherwise(index)
        )
    return index
