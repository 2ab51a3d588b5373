"""What groups, engagements and events say of other tables and of themselves, checked."""

from __future__ import annotations

import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.errors import DataError


def check_structure(dataset: Dataset) -> None:
    """Check groups, engagements and events of a data set, those that are there.

    Raises:
        DataError: an item or the end of an engagement is in no table, a group is in two splits, a count is no
            count, or an event converted before it was shown; with table, row and value.
    """
    for check in (_check_groups, _check_engagements, _check_events):
        check(dataset)


def _check_groups(dataset: Dataset) -> None:
    groups, products = dataset.groups, dataset.products
    if groups is None:
        return
    if products is not None:
        strange = ~groups["item_id"].is_in(products["product_id"].implode())
        _refuse(dataset, "groups", groups, "item_id", strange, "is not in table products")
    _refuse(
        dataset,
        "groups",
        groups,
        "split",
        ~groups["split"].is_in(SPLITS),
        f"is not one of {', '.join(SPLITS)}",
    )
    torn = groups.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    _refuse(
        dataset,
        "groups",
        groups,
        "group",
        groups["group"].is_in(torn["group"].implode()),
        "is in more than one split",
    )


def _check_engagements(dataset: Dataset) -> None:
    table = dataset.engagements
    if table is None:
        return
    for kind, things, key in (
        ("query", dataset.queries, "query_id"),
        ("product", dataset.products, "product_id"),
    ):
        for end in ("src", "dst"):
            if things is not None:
                strange = (table[f"{end}_kind"] == kind) & ~table[end].is_in(things[key].implode())
                _refuse(dataset, "engagements", table, end, strange, f"is a {kind} that no table has")
    for end in ("src_kind", "dst_kind"):
        _refuse(
            dataset,
            "engagements",
            table,
            end,
            ~table[end].is_in(["query", "product"]),
            "is not query or product",
        )
    wrong = ~(table["count"].is_finite() & (table["count"] >= 0))
    _refuse(dataset, "engagements", table, "count", wrong, "is not a number of at least 0")


def _check_events(dataset: Dataset) -> None:
    events = dataset.events
    if events is None:
        return
    for name in ("engaged_at", "converted_at"):
        if name in events.columns:
            early = (events[name] < events["shown_at"]).fill_null(False)
            _refuse(dataset, "events", events, name, early, "is before shown_at")


def _refuse(
    dataset: Dataset, name: str, table: pl.DataFrame, column: str, wrong: pl.Series, reason: str
) -> None:
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f"{dataset.source}: table {name}, row {row + 1}: {column} {str(table[column][row])!r} {reason} (rows like "
            f"this: {wrong.sum()}). Correct the table, or read the data set again from its source."
        )
