"""Reader of the Wayfair Annotation Dataset, from its three official files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.files import RawTable, read_table
from prodmatch_core.data.judged import Origin, judged_dataset
from prodmatch_core.data.official_config import WANDS_LABELS, WandsConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.records_file import read_records
from prodmatch_core.data.rows import Rows, check_texts, identify, parse_labels, require_columns

WANDS = LabelScheme("wands", WANDS_LABELS, (1.0, 0.5, 0.0), ("exact",))
"The three classes, with the gains of the data set's paper."
_REMEDY = (
    "core.wands reads query.csv, product.csv and label.csv of the WANDS repository's folder `dataset`; "
    "put all three into one folder and name it in data.folder."
)
_QUERY = {"query_id": "query_id", "query": "query"}
_PRODUCT = {
    "product_id": "product_id",
    "title": "product_name",
    "description": "product_description",
    "bullets": "product_features",
}
_NAMES = {**_QUERY, **_PRODUCT, "label": "label"}


def read(config: WandsConfig, context: ReadContext) -> Dataset:
    """Return the WANDS data set. It has no splits; queries are divided whole.

    The product's name is its title, its features (`name : value` joined by `|`) become bullets, one a line.

    Raises:
        DataError: a file is absent, unreadable or lacks a column; or a row is bad and `context` skips none: a label
            that is none of Exact, Partial and Irrelevant, or a query or product that is not in its file.
    """
    files = (config.query, config.product, config.label)
    query_path, product_path, label_path = context.find_files(config.folder, files, _REMEDY)
    queries, notes = _records(config, context, query_path, _QUERY, ("query_id", "query"))
    products, more = _records(config, context, product_path, _PRODUCT, ("product_id", "title"))
    if "bullets" in products.columns:
        products = products.with_columns(pl.col("bullets").str.replace_all("|", "\n", literal=True))
    bad = BadRows(label_path, context.skip_bad_rows)
    raw = read_table(label_path, "tsv", "utf-8", config.quote, bad)
    require_columns(label_path, raw.frame.columns, ("query_id", "product_id", "label"), _REMEDY)
    joined = _joined(raw, queries, products)
    names = {ours: name for ours, name in _NAMES.items() if name in joined.frame.columns}
    rows = Rows(joined, names, bad, "core.wands")
    rows.frame = rows.frame.with_columns(locale=pl.lit(config.locale))
    for column, table, path in (("query_id", queries, query_path), ("product_id", products, product_path)):
        rows.refuse_blank(column)
        rows.refuse_unknown(column, ~rows.frame[column].is_in(table[column].implode()), path.name)
    check_texts(rows)
    parse_labels(rows, WANDS.labels, {label.capitalize(): label for label in WANDS.labels}, {})
    rows.drop_bad()
    identify(rows)
    rows.require_some()
    origin = Origin("wands", "Wayfair Annotation Dataset (WANDS), ECIR 2022", "MIT", "core.wands")
    return judged_dataset(
        rows.frame,
        path=label_path,
        origin=origin,
        scheme=WANDS,
        split=context.split,
        notes=(*notes, *more, *bad.notes(raw.total)),
    )


def _records(
    config: WandsConfig, context: ReadContext, path: Path, names: Mapping[str, str], required: tuple[str, str]
) -> tuple[pl.DataFrame, list[str]]:
    """Return the queries or the products, and notes; the first of `required` identifies a row."""
    return read_records(
        path,
        names,
        required,
        key=required[0],
        format="tsv",
        encoding="utf-8",
        quote=config.quote,
        skip_bad_rows=context.skip_bad_rows,
        remedy=_REMEDY,
    )


def _joined(raw: RawTable, queries: pl.DataFrame, products: pl.DataFrame) -> RawTable:
    """Return the file of labels with the texts of its queries and products beside each row."""
    blank = pl.when(pl.all().str.strip_chars() != "").then(pl.all())
    frame = raw.frame.select("query_id", "product_id", "label").select(blank)
    for key, table, names in (("query_id", queries, _QUERY), ("product_id", products, _PRODUCT)):
        frame = frame.join(table.rename(names, strict=False), on=key, how="left", maintain_order="left")
    return RawTable(raw.path, frame, raw.total, raw.row_numbers)
