"""Queries and titles that nearly repeat another, and those that do so across splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describing.minhash import Neighbours, near_neighbours, recall, sample
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.data.texts import normalised

CHARACTERS = 60_000_000
"Characters compared at most, whatever the number of texts: some 600 MB at eight bytes a trigram."
_TRAIN = 1
_MARKS = {split: 1 << place for place, split in enumerate(SPLITS)}


def near_duplicates(
    dataset: Dataset, similarity: float, limit: int, examples: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Return how many queries and products have a near-duplicate, by text and by title, and where.

    Args:
        dataset: what to look at.
        similarity: Jaccard similarity of character trigrams from which two different texts are near.
        limit: most different texts compared; of more, a sample that keeps near ones together.
        examples: pairs shown at most.
        generator: of the hash functions and of the sample.

    Returns:
        `similarity`, `recall` (the least chance that a near pair is found) and, under `queries` and `titles`
        where there are such: `rows` with a text, `texts` that differ when normalised, `compared` of them, and,
        of the rows compared, those `identical` to another, those `near` another text, those `either`; `leaks`
        (of each split but train, its `texts`, those `in_train` as they are, and those that are only
        `near_train`), and `examples` ({similarity, texts, splits}).
    """
    found: dict[str, Any] = {"similarity": similarity, "recall": recall(similarity)}
    for kind, rows in _rows(dataset):
        found[kind] = _describe(rows, similarity, limit, examples, generator)
    return found


def _rows(dataset: Dataset) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield kind and one row per query or product: its text and the marks of the splits it is in."""
    if dataset.queries is not None:
        table = dataset.queries.select("query_id", text="text")
        yield "queries", _marked(table, ["query_id"], dataset.judgements)
    if dataset.products is not None:
        table = dataset.products.select("product_id", "locale", text="title")
        uses = None
        if dataset.groups is not None:
            uses = dataset.groups.select("split", product_id="item_id")
        elif dataset.judgements is not None and dataset.queries is not None:
            located = dataset.queries.select("query_id", "locale")
            uses = dataset.judgements.select("query_id", "product_id", "split").join(located, on="query_id")
        keys = ["product_id"] if uses is None or "locale" not in uses.columns else ["product_id", "locale"]
        yield "titles", _marked(table, keys, uses)


def _marked(table: pl.DataFrame, keys: list[str], uses: pl.DataFrame | None) -> pl.DataFrame:
    if uses is None:
        return table.select("text", marks=pl.lit(0, dtype=pl.UInt8))
    seen = uses.group_by(keys).agg(
        *((pl.col("split") == split).any().cast(pl.UInt8).alias(split) for split in SPLITS)
    )
    marks = reduce(lambda a, b: a | b, (pl.col(split) * mark for split, mark in _MARKS.items()))
    return table.join(seen.select(*keys, marks=marks), on=keys, how="left", maintain_order="left").select(
        "text", pl.col("marks").fill_null(0).cast(pl.UInt8)
    )


def _describe(
    rows: pl.DataFrame, similarity: float, limit: int, examples: int, generator: np.random.Generator
) -> dict[str, Any]:
    rows = rows.drop_nulls("text").with_columns(normalised(rows["text"].drop_nulls()).alias("key"))
    rows = rows.filter(pl.col("key") != "")
    texts = rows.group_by("key", maintain_order=True).agg(
        pl.len().alias("rows"),
        pl.col("text").first(),
        *((pl.col("marks") & mark).max().alias(split) for split, mark in _MARKS.items()),
    )
    texts = texts.select("key", "rows", "text", marks=pl.sum_horizontal(*SPLITS).cast(pl.UInt8))
    result: dict[str, Any] = {"rows": rows.height, "texts": texts.height}
    characters = int(texts["key"].str.len_chars().sum() or 0)
    share = min(limit / max(texts.height, 1), CHARACTERS / max(characters, 1))
    if share < 1:
        texts = texts.filter(pl.Series(sample(texts["key"], share, generator)))
    marks = texts["marks"].to_numpy()
    found = near_neighbours(texts["key"], marks, similarity, generator)
    multiple = texts["rows"].to_numpy()
    result |= {
        "compared": texts.height,
        "rows_compared": int(multiple.sum()),
        "identical": int(multiple[multiple > 1].sum()),
        "near": int(multiple[found.near].sum()),
        "either": int(multiple[found.near | (multiple > 1)].sum()),
        "leaks": _leaks(marks, found.around),
        "examples": _examples(texts, found, examples),
    }
    return result


def _leaks(marks: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8]) -> Mapping[str, Mapping[str, int]]:
    leaks = {}
    for split, mark in _MARKS.items():
        inside = marks & mark > 0
        if mark != _TRAIN and inside.any():
            trained = marks & _TRAIN > 0
            leaks[split] = {
                "texts": int(inside.sum()),
                "in_train": int((inside & trained).sum()),
                "near_train": int((inside & ~trained & (around & _TRAIN > 0)).sum()),
            }
    return leaks


def _examples(texts: pl.DataFrame, found: Neighbours, examples: int) -> list[dict[str, Any]]:
    """Return pairs from the least to the most similar, those between train and another split before others."""
    here = np.flatnonzero(found.near)
    there = found.partner[here]
    # Both ends of a pair may name each other: the pair is shown once.
    _, once = np.unique(np.sort(np.column_stack([here, there])), axis=0, return_index=True)
    here, there = here[once], there[once]
    marks = texts["marks"].to_numpy()
    crossing = (marks[here] & ~marks[there] & _TRAIN > 0) & (marks[there] & ~np.uint8(_TRAIN) > 0)
    crossing |= (marks[there] & ~marks[here] & _TRAIN > 0) & (marks[here] & ~np.uint8(_TRAIN) > 0)
    order = np.lexsort((here, found.similarity[here]))
    picked: list[int] = []
    for wanted in (crossing, ~crossing):
        rows = order[wanted[order]]
        room = min(examples - len(picked), len(rows))
        if room > 0:
            picked += rows[np.unique(np.linspace(0, len(rows) - 1, room).astype(np.int64))].tolist()
    return [
        {
            "similarity": float(found.similarity[here[pair]]),
            "texts": [texts["text"][int(end)] for end in (here[pair], there[pair])],
            "splits": [
                [split for split, mark in _MARKS.items() if marks[end] & mark]
                for end in (here[pair], there[pair])
            ],
        }
        for pair in picked
    ]
