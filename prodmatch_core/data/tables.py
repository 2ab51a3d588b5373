"""The tables a data set is made of, and the check every table passes before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import polars as pl

from prodmatch_core.errors import DataError

SPLITS = ("train", "valid", "test")
"The three splits. Members stop early and calibrators learn on valid; test is read once, by the measures."


@attrs.frozen
class Column:
    """One column: its type, whether a table may lack it, whether a cell may be null, and what it means."""

    dtype: pl.DataType | type[pl.DataType]
    doc: str
    optional: bool = False
    nullable: bool = False


@attrs.frozen
class TableSchema:
    """Name, columns in order, and the columns that together identify a row (empty: rows may repeat)."""

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    open: bool = False
    "Whether further columns may follow the ones named here (event features)."


_text = pl.String()

PRODUCTS = TableSchema(
    "products",
    {
        "product_id": Column(_text, "identifier, unique within a locale"),
        "locale": Column(_text, "market and language of the texts, e.g. `en`, `us`, `ja`"),
        "title": Column(_text, "title as the seller wrote it", nullable=True),
        "description": Column(_text, "free text", optional=True, nullable=True),
        "bullets": Column(_text, "feature bullets, one a line", optional=True, nullable=True),
        "brand": Column(_text, "brand", optional=True, nullable=True),
        "color": Column(_text, "colour", optional=True, nullable=True),
        "price": Column(pl.Float64(), "price in the locale's currency", optional=True, nullable=True),
    },
    key=("product_id", "locale"),
)

QUERIES = TableSchema(
    "queries",
    {
        "query_id": Column(_text, "identifier"),
        "locale": Column(_text, "market the query was typed in; selects the product's texts"),
        "text": Column(_text, "the query as typed"),
        "frequency": Column(pl.Float64(), "share of traffic, for head/torso/tail slices", True, True),
    },
    key=("query_id",),
)

JUDGEMENTS = TableSchema(
    "judgements",
    {
        "query_id": Column(_text, "row of queries"),
        "product_id": Column(_text, "row of products in the query's locale"),
        "label": Column(_text, "one of the label scheme's labels"),
        "split": Column(_text, "train, valid or test; all rows of a query share it"),
        "weight": Column(pl.Float64(), "per-example weight, 1 where absent", True),
        "spread": Column(pl.Float64(), "disagreement of raters, in the data set's own unit", True, True),
    },
    key=("query_id", "product_id"),
)

ENGAGEMENTS = TableSchema(
    "engagements",
    {
        "src_kind": Column(_text, "query or product"),
        "src": Column(_text, "identifier of the source"),
        "relation": Column(_text, "click, add, purchase, bought_next, ..."),
        "dst_kind": Column(_text, "query or product"),
        "dst": Column(_text, "identifier of the destination"),
        "count": Column(pl.Float64(), "how often"),
        "locale": Column(_text, "market the engagement was seen in", True, True),
        "at": Column(pl.Datetime("us"), "when last seen", True, True),
    },
)

GROUPS = TableSchema(
    "groups",
    {
        "item_id": Column(_text, "product identifier"),
        "group": Column(_text, "items of one group are the same product"),
        "split": Column(_text, "train, valid or test; all items of a group share it"),
    },
    key=("item_id",),
)

EVENTS = TableSchema(
    "events",
    {
        "event_id": Column(_text, "identifier"),
        "query_id": Column(_text, "row of queries", nullable=True),
        "product_id": Column(_text, "row of products", nullable=True),
        "shown_at": Column(pl.Datetime("us"), "when the product was shown or clicked"),
        "engaged_at": Column(pl.Datetime("us"), "first pre-conversion signal", True, True),
        "converted_at": Column(pl.Datetime("us"), "conversion, null if none was seen", True, True),
    },
    key=("event_id",),
    open=True,
)

SCHEMAS = {schema.name: schema for schema in (PRODUCTS, QUERIES, JUDGEMENTS, ENGAGEMENTS, GROUPS, EVENTS)}


def arranged(frame: pl.DataFrame, schema: TableSchema, where: str) -> pl.DataFrame:
    """Return `frame` with the schema's columns first, in order and of the schema's types; values are not looked at.

    Raises:
        DataError: a column is missing, of another type or unknown.
    """
    missing = [n for n, c in schema.columns.items() if not c.optional and n not in frame.columns]
    if missing:
        raise DataError(
            f"{where}: table {schema.name} lacks column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"it has {', '.join(frame.columns) or 'no columns'}. Add or rename the column."
        )
    extra = [n for n in frame.columns if n not in schema.columns]
    if extra and not schema.open:
        raise DataError(
            f"{where}: table {schema.name} has unknown column{'s' if len(extra) > 1 else ''} {', '.join(extra)}; "
            f"known: {', '.join(schema.columns)}. Drop or rename it."
        )
    present = {n: c for n, c in schema.columns.items() if n in frame.columns}
    try:
        return frame.select(*(pl.col(n).cast(c.dtype) for n, c in present.items()), *extra)
    except pl.exceptions.PolarsError as error:
        wrong = next(n for n, c in present.items() if _cast_fails(frame[n], c.dtype))
        raise DataError(
            f"{where}: table {schema.name}, column {wrong}: cannot read {frame.schema[wrong]} as "
            f"{present[wrong].dtype}: {_first_line(error)}"
        ) from error


def check_table(frame: pl.DataFrame, schema: TableSchema, where: str) -> pl.DataFrame:
    """Return `frame` with the schema's columns first, in order and of the schema's types.

    Args:
        frame: the table as it was read.
        schema: what it should be.
        where: file or source, named in errors.

    Raises:
        DataError: a column is missing, of another type, unknown, or null where it must not be, or a key repeats.
    """
    frame = arranged(frame, schema, where)
    present = {n: c for n, c in schema.columns.items() if n in frame.columns}
    for name, column in present.items():
        if not column.nullable and frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise DataError(
                f"{where}: table {schema.name}, row {row + 1}: column {name} is empty "
                f"({frame[name].null_count()} rows in all). Fill it or remove the rows."
            )
    if schema.key:
        repeated = frame.select(pl.struct(schema.key).is_duplicated())
        if repeated.to_series().any():
            row = int(repeated.to_series().arg_max() or 0)
            values = ", ".join(f"{k}={frame[k][row]!r}" for k in schema.key)
            raise DataError(
                f"{where}: table {schema.name}, row {row + 1}: {values} occurs more than once. "
                "Keep one row per key."
            )
    return frame


def _cast_fails(series: pl.Series, dtype: pl.DataType | type[pl.DataType]) -> bool:
    try:
        series.cast(dtype)
    except pl.exceptions.PolarsError:
        return True
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
