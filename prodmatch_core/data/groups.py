"""Readers of items labelled by group: any file of them, and Shopee's listings."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import RawTable, read_table
from prodmatch_core.data.group_splits import group_leak_notes, split_by_group
from prodmatch_core.data.groups_config import GroupColumns, GroupsConfig, ShopeeConfig
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.named_columns import named_columns
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import Rows, parse_split
from prodmatch_core.data.texts import derive_ids
from prodmatch_core.errors import DataError
from prodmatch_core.fields import PRODUCT_FIELDS

_ANEW = 'columns.split = "" to divide the groups anew'


def read(config: GroupsConfig, context: ReadContext) -> Dataset:
    """Return the data set of one file of items with their groups.

    Splits of the file are kept, those it lacks are cut by whole groups. An item that is there twice in one
    group is kept once.

    Raises:
        DataError: the file cannot be read, lacks a column, has a bad row and `context` skips none, or no
            group has two items.
    """
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, config.format, config.encoding, config.quote, bad)
    name = Path(config.path).name.partition(".")[0]
    return _grouped(raw, config, bad, context, Origin(name, config.path, part="core.groups"))


def read_shopee(config: ShopeeConfig, context: ReadContext) -> Dataset:
    r"""Return Shopee's listings by label group.

    Some titles hold bytes written out (`Caf\xc3\xa9`); they become the characters they stand for.
    """
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, "csv", "utf-8", '"', bad)
    notes: list[str] = []
    if "title" in raw.frame.columns:
        titles, count = decode_escapes(raw.frame["title"])
        raw = attrs.evolve(raw, frame=raw.frame.with_columns(titles))
        notes = [f"titles with bytes written out as \\x.., decoded: {count}"] if count else []
    groups = GroupsConfig(
        path=config.path,
        columns=GroupColumns(item_id="posting_id", group="label_group", title="title", split=""),
        locale=config.locale,
    )
    origin = Origin(
        "shopee",
        "Shopee Price Match Guarantee, Kaggle 2021",
        "competition rules: use, no re-publication",
        "core.shopee",
    )
    return _grouped(raw, groups, bad, context, origin, notes)


def decode_escapes(texts: pl.Series) -> tuple[pl.Series, int]:
    r"""Return `texts` with runs of `\xNN` as the UTF-8 they stand for, and how many texts changed.

    Runs that are no UTF-8 stay as they are.
    """
    touched = texts.filter(texts.str.contains(r"\\x[0-9a-fA-F]{2}").fill_null(False)).unique()
    decoded = {text: re.sub(r"(?:\\x[0-9a-fA-F]{2})+", _unescaped, text) for text in touched}
    changed = {text: new for text, new in decoded.items() if new != text}
    if not changed:
        return texts, 0
    result = texts.replace(list(changed), list(changed.values()))
    return result, int((result != texts).sum())


def _unescaped(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("\\x", "")).decode()
    except UnicodeDecodeError:
        return match[0]


def _grouped(
    raw: RawTable,
    config: GroupsConfig,
    bad: BadRows,
    context: ReadContext,
    origin: Origin,
    notes: list[str] | None = None,
) -> Dataset:
    generic = origin.part == "core.groups"
    remedy = (
        'Say which column holds what, e.g. columns.group = "label_group".'
        if generic
        else f'{origin.part} reads the original file; read others with use = "core.groups".'
    )
    required = {"group"} if generic else {"item_id", "group", "title"}
    names = named_columns(raw, config.columns, required, remedy)
    texts = [field for field in PRODUCT_FIELDS if field in names]
    if not texts:
        raise DataError(
            f"{raw.path}: no column with a text ({', '.join(PRODUCT_FIELDS)}). "
            f"The file has {', '.join(raw.frame.columns)}. "
            'Say which column holds what, e.g. columns.title = "name".'
        )
    rows = Rows(raw, names, bad, origin.part)
    rows.frame = rows.frame.with_columns(pl.col("locale").fill_null(config.locale))
    rows.refuse("group", rows.frame["group"].is_null(), lambda row: "the group is empty", "Fill it")
    if "item_id" in names:
        rows.refuse(
            "item_id", rows.frame["item_id"].is_null(), lambda row: "the identifier is empty", "Fill it"
        )
    blank = rows.frame.select(pl.all_horizontal(pl.col(texts).is_null())).to_series()
    rows.refuse(texts[0], blank, lambda row: f"the item has no {' and no '.join(texts)}", "Fill it")
    if "split" in names:
        parse_split(rows, f"Correct it, or set {_ANEW}")
    rows.drop_bad()
    if "item_id" not in names:
        rows.frame = rows.frame.with_columns(derive_ids(rows.frame, ["group", *texts], "i").alias("item_id"))
    repeated = _once_each(rows)
    rows.drop_bad()
    rows.require_some()
    frame = rows.frame.filter(pl.col("item_id").is_first_distinct())
    sizes = frame["group"].value_counts()["count"]
    if sizes.max() == 1:
        raise DataError(
            f"{raw.path}: all {frame.height} groups have one item; there is nothing to bring together. Check "
            "that the column of groups is the right one, and that the file is whole."
        )
    products = frame.select(pl.col("item_id").alias("product_id"), "locale", *texts)
    if "title" not in texts:
        products = products.with_columns(title=pl.lit(None, dtype=pl.String))
    groups = split_by_group(frame.select("item_id", "group"), context.split, _given(rows, raw.path))
    singles = int((sizes == 1).sum())
    return Dataset(
        name=origin.name,
        products=products,
        groups=groups,
        licence=origin.licence,
        source=origin.source,
        notes=(
            *bad.notes(raw.total),
            *(notes or []),
            *([f"rows left out because their item is there already: {repeated}"] if repeated else []),
            *([f"groups with a single item: {singles}"] if singles else []),
            *group_leak_notes(groups, products),
        ),
    )


def _once_each(rows: Rows) -> int:
    """Refuse rows whose item was in another group before; return how many rows repeat an item otherwise."""
    frame = rows.frame
    if not frame["item_id"].is_duplicated().any():
        return 0
    first = frame.group_by("item_id").agg(pl.col("group", "_record").first().name.prefix("first_"))
    rows.frame = frame.join(first, on="item_id", how="left", maintain_order="left")
    torn = rows.frame["group"] != rows.frame["first_group"]
    rows.refuse(
        "group",
        torn,
        lambda row: (
            f"item {row['item_id']} is in group {row['group']} here and in group {row['first_group']} in row "
            f"{rows.number(row['first__record'])}"
        ),
        "Keep one of the rows",
    )
    rows.frame = frame
    return int((~frame["item_id"].is_first_distinct() & ~torn).sum())


def _given(rows: Rows, path: Path) -> pl.DataFrame | None:
    """Return group and split of every group, or None where the file has no splits.

    Raises:
        DataError: a group is in two splits; this is not one bad row, so nothing is skipped.
    """
    if "split" not in rows.frame.columns:
        return None
    seen = rows.frame.group_by("group", maintain_order=True).agg(
        pl.col("split").first(),
        pl.col("split").unique(maintain_order=True).alias("splits"),
        pl.col("_record").filter(pl.col("split") != pl.col("split").first()).first().alias("other"),
    )
    torn = seen.filter(pl.col("splits").list.len() > 1)
    if torn.height:
        group, splits, other = torn.select("group", "splits", "other").row(0)
        raise DataError(
            f"{path}, row {rows.number(other)}, column {rows.names['split']}: group {group} is in splits "
            f"{' and '.join(splits)} (groups like this: {torn.height}). Give all rows of a group one split, or "
            f"set {_ANEW}."
        )
    return seen.select("group", "split")
