"""Counts that are cheap whatever the size: rows, label shares, locales, lengths, exact duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describing.spreads import histogram, quantiles
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.data.texts import normalised
from prodmatch_core.fields import PRODUCT_FIELDS


def table_counts(dataset: Dataset) -> dict[str, Any]:
    """Return the rows of every table and the empty cells of each of its columns."""
    return {
        name: {"rows": table.height, "empty": {c.name: c.null_count() for c in table.iter_columns()}}
        for name, table in dataset.tables()
    }


def split_counts(judgements: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return judgements, queries, products and label shares of each split."""
    return {
        split: {
            "judgements": part.height,
            "queries": part["query_id"].n_unique(),
            "products": part["product_id"].n_unique(),
            "labels": label_shares(part, labels),
        }
        for split in SPLITS
        for part in [judgements.filter(pl.col("split") == split)]
    }


def label_shares(judgements: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the share of each label of a scheme, 0 for one that does not occur."""
    counts = value_counts(judgements, "label")
    return {label: counts.get(label, 0) / max(1, judgements.height) for label in labels}


def value_counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    """Return how often each value of a column occurs, most frequent first."""
    counted = table.group_by(column).len().sort("len", column, descending=[True, False])
    return dict(counted.iter_rows())


def per_query(judgements: pl.DataFrame) -> pl.Series:
    """Return the number of judgements of each query that has any."""
    return judgements.group_by("query_id").len()["len"]


def locales(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return queries, products and judgements of each locale."""
    found: dict[str, dict[str, int]] = {}
    tables = {"queries": dataset.queries, "products": dataset.products}
    if dataset.judgements is not None and dataset.queries is not None:
        located = dataset.queries.select("query_id", "locale")
        tables["judgements"] = dataset.judgements.select("query_id").join(located, on="query_id")
    for name, table in tables.items():
        if table is not None:
            for locale, count in value_counts(table, "locale").items():
                found.setdefault(locale, {})[name] = count
    return dict(sorted(found.items()))


def lengths(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Return quantiles of the characters of every text column, under `queries.text`, `products.title`, ..."""
    return {name: quantiles(text.str.len_chars()) for name, text in _texts(dataset)}


def length_histograms(dataset: Dataset) -> dict[str, Any]:
    """Return histograms of the same lengths."""
    return {name: histogram(text.str.len_chars()) for name, text in _texts(dataset)}


def _texts(dataset: Dataset) -> Iterator[tuple[str, pl.Series]]:
    for name, table, columns in (
        ("queries", dataset.queries, ("text",)),
        ("products", dataset.products, PRODUCT_FIELDS),
    ):
        for column in columns:
            if table is not None and column in table.columns and table[column].count():
                yield f"{name}.{column}", table[column]


def duplicates(dataset: Dataset) -> dict[str, int]:
    """Count rows whose text an earlier row has: queries by normalised text, products by title."""
    found = {}
    if dataset.queries is not None:
        texts = normalised(dataset.queries["text"])
        found["queries"] = len(texts) - texts.n_unique()
    if dataset.products is not None:
        titles = dataset.products["title"].drop_nulls()
        found["titles"] = len(titles) - titles.n_unique()
    return found
