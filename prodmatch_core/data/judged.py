"""A data set out of judged rows: one judgement a pair, splits by whole queries, references and leaks checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.merging import merge_judgements
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.data.splits import check_references, leaks, split_by_query
from prodmatch_core.errors import DataError
from prodmatch_core.fields import PRODUCT_FIELDS


@attrs.frozen
class Origin:
    """What is known of a file beyond how to read it."""

    name: str
    "Name of the data set."
    source: str
    "Where it comes from."
    licence: str = "unknown"
    "Terms of use."
    part: str = "core.pairs"
    "The part that reads it; remedies that only `core.pairs` has a setting for are not offered by others."


def judged_dataset(
    frame: pl.DataFrame,
    *,
    path: Path,
    origin: Origin,
    scheme: LabelScheme,
    split: SplitConfig,
    given: pl.DataFrame | None = None,
    thresholds: Mapping[str, float] | None = None,
    products: pl.DataFrame | None = None,
    notes: Iterable[str] = (),
) -> Dataset:
    """Return the data set of judged rows.

    Args:
        frame: columns query_id, locale, query, product_id and class; relevance where there are thresholds;
            optionally weight and spread; and the product's texts where `products` is not given.
        path: file or folder named in errors.
        origin: name and terms.
        scheme: the labels, by class index.
        split: how queries are divided where the source does not say.
        given: columns query_id and split, the splits the source comes with.
        thresholds: label -> least relevance; none where labels are words.
        products: table of products; made of the rows' texts where there is none.
        notes: what the reader has to tell so far.

    Raises:
        DataError: all rows have one label, or the tables do not fit each other.
    """
    if frame["class"].n_unique() == 1:
        label = scheme.labels[frame["class"][0]]
        raise DataError(
            f'{path}: all {frame.height} rows have the label "{label}"; there is nothing to tell apart. '
            "Check labels or thresholds, and that the file is whole."
        )
    judgements, merged = merge_judgements(frame, scheme.labels, thresholds or {})
    queries = frame.group_by("query_id", maintain_order=True).agg(
        pl.col("locale").first(), pl.col("query").first().alias("text")
    )
    several: Iterable[str] = ()
    if products is None:
        products, several = products_of(frame)
    rank = pl.col("label").replace_strict(scheme.labels, range(len(scheme.labels)), return_dtype=pl.Int64)
    classes = judgements.select("query_id", rank.alias("class"))
    splits = split_by_query(queries, split, classes, given)
    dataset = Dataset(
        name=origin.name,
        scheme=scheme,
        products=products,
        queries=queries,
        judgements=judgements.join(splits, on="query_id", how="left", maintain_order="left"),
        licence=origin.licence,
        source=origin.source,
        notes=(*notes, *merged, *several),
    )
    check_references(dataset)
    return attrs.evolve(dataset, notes=(*dataset.notes, *leaks(dataset).notes()))


def products_of(frame: pl.DataFrame) -> tuple[pl.DataFrame, Iterable[str]]:
    """Return one row per product and locale, with the first text found in each field, and notes."""
    fields = [name for name in PRODUCT_FIELDS if name in frame.columns]
    products = frame.group_by("product_id", "locale", maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in fields), titles=pl.col("title").n_unique()
    )
    several = int((products["titles"] > 1).sum())
    notes = [f"products with more than one title, of which the first is kept: {several}"] if several else []
    return products.drop("titles"), notes
