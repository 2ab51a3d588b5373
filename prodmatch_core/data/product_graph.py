"""A data set of products and the directed edges between them, whatever file they came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import read_table
from prodmatch_core.data.graph_config import ProductsFile
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.named_columns import named_columns
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import Rows
from prodmatch_core.errors import DataError
from prodmatch_core.fields import PRODUCT_FIELDS

_EDGE = ["src", "relation", "dst"]


def product_graph(
    edges: pl.DataFrame,
    products: pl.DataFrame | None,
    *,
    path: Path,
    origin: Origin,
    locale: str,
    unknown: str,
    self_loops: str,
    truth: dict[str, pl.DataFrame] | None = None,
    notes: Iterable[str] = (),
) -> Dataset:
    """Return the data set of a product graph.

    Args:
        edges: columns src, relation and dst, String without nulls; count Float64 above 0; optionally at.
            Edges that repeat become one: counts are added, the latest time stands.
        products: the products with texts; None: the ends of the edges, without texts.
        path: file named in errors.
        origin: name and terms.
        locale: locale of products that come without one.
        unknown: keep or drop edges to or from what is not in `products`; kept ends become products.
        self_loops: keep or drop edges from a product to itself.
        truth: tables that no part may learn from.
        notes: what the reader has to tell so far.

    Raises:
        DataError: no edge is left.
    """
    notes = list(notes)
    loops = edges["src"] == edges["dst"]
    if count := int(loops.sum()):
        done = "kept" if self_loops == "keep" else "left out"
        notes.append(f"edges from a product to itself: {count} ({done})")
        if self_loops == "drop":
            edges = edges.filter(~loops)
    ends = pl.concat([edges["src"], edges["dst"].alias("src")]).unique(maintain_order=True)
    strange = ends if products is None else ends.filter(~ends.is_in(products["product_id"].implode()))
    if products is None:
        products = pl.DataFrame(schema={"product_id": pl.String, "locale": pl.String, "title": pl.String})
    elif len(strange):
        out = edges["src"].is_in(strange.implode()) | edges["dst"].is_in(strange.implode())
        done = "kept, without texts" if unknown == "keep" else "left out"
        notes.append(
            f"edges with an end that has no product row: {out.sum()} to {len(strange)} products ({done})"
        )
        if unknown == "drop":
            edges, strange = edges.filter(~out), strange.clear()
    if not edges.height:
        raise DataError(
            f"{path}: no edge between two products is left; there is nothing to learn. "
            + " ".join(f"{note[0].upper()}{note[1:]}." for note in notes[-2:])
            + (" " if notes else "")
            + "Check the columns of source and target, and that the file is whole."
        )
    bare = pl.DataFrame({"product_id": strange}).select(
        "product_id", locale=pl.lit(locale), title=pl.lit(None, dtype=pl.String)
    )
    products = pl.concat([products, bare], how="diagonal")
    merged = edges.group_by(_EDGE, maintain_order=True).agg(
        pl.col("count").sum(), *([pl.col("at").max()] if "at" in edges.columns else [])
    )
    if repeated := edges.height - merged.height:
        notes.append(
            f"edges merged because they repeat source, relation and target: {repeated} (counts added)"
        )
    engagements = merged.with_columns(src_kind=pl.lit("product"), dst_kind=pl.lit("product"))
    return Dataset(
        name=origin.name,
        products=products,
        engagements=engagements,
        truth=truth or {},
        licence=origin.licence,
        source=origin.source,
        notes=tuple(notes),
    )


def read_products(
    file: ProductsFile, locale: str, context: ReadContext, key: str = "products"
) -> tuple[pl.DataFrame, list[str]]:
    """Return the table of products of a file, one row an identifier, and notes about rows skipped.

    Args:
        file: where it is and what its columns are called.
        locale: of products that name none.
        context: where files are, and whether bad rows end the reading.
        key: the setting that `file` stands under, for remedies.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a bad row and `context` skips none.
    """
    path = context.find(file.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, file.format, file.encoding, file.quote, bad)
    remedy = f'Say which column holds what, e.g. {key}.columns.product_id = "asin".'
    names = named_columns(raw, file.columns, {"product_id"}, remedy)
    rows = Rows(raw, names, bad, "")
    rows.refuse(
        "product_id", rows.frame["product_id"].is_null(), lambda row: "the identifier is empty", "Fill it"
    )
    rows.drop_bad()
    refuse_repeated(rows, "product_id")
    rows.drop_bad()
    texts = [field for field in PRODUCT_FIELDS if field in names]
    frame = rows.frame.with_columns(pl.col("locale").fill_null(locale))
    if "title" not in texts:
        frame = frame.with_columns(title=pl.lit(None, dtype=pl.String))
    products = frame.select("product_id", "locale", *dict.fromkeys(["title", *texts]))
    return products, bad.notes(raw.total)


def refuse_repeated(rows: Rows, column: str) -> None:
    """Refuse rows whose identifier an earlier row has."""
    keys = rows.frame[column]
    again = ~keys.is_first_distinct()
    if not again.any():
        return
    first = dict(zip(*rows.frame.filter(~again).select(column, "_record"), strict=True))
    rows.refuse(
        column,
        again,
        lambda row: f"{row[column]} is there already, in row {rows.number(first[row[column]])}",
        "Keep one row for each",
    )
