"""Splits by whole groups (open set: a test group was never seen in training), and what the groups leak."""

from __future__ import annotations

import polars as pl

from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.data.splits import cut_splits, shuffled_strata
from prodmatch_core.data.texts import normalised


def split_by_group(
    groups: pl.DataFrame, split: SplitConfig, given: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Divide items into train, valid and test, all items of a group in one split.

    Which split a group goes to depends on the seed and the set of groups, never on the order of rows or on how
    many items a group has. From three groups on, no split that has a share is empty.

    Args:
        groups: columns item_id and group, String.
        split: shares of the groups, and the seed.
        given: columns group and split, the splits a source comes with. They are kept; a split that it does not
            have is cut out of its train split.

    Returns:
        Columns item_id, group and split, in the order of `groups`.
    """
    keyed = groups.select("item_id", "group")
    missing = {"valid", "test"}
    if given is None:
        keyed = keyed.with_columns(split=pl.lit("train"))
    else:
        keyed = keyed.join(given, on="group", how="left", maintain_order="left")
        missing -= set(given["split"])
    free = keyed.filter(pl.col("split") == "train").select(key="group")
    cut = cut_splits(shuffled_strata(free, split.seed, None), split, missing)
    return keyed.join(cut, left_on="group", right_on="key", how="left", maintain_order="left").select(
        "item_id", "group", split=pl.coalesce("cut", "split")
    )


def group_leak_notes(groups: pl.DataFrame, products: pl.DataFrame) -> list[str]:
    """Return a note for titles that stand in more than one group, and one for those in more than one split.

    Args:
        groups: columns item_id, group and split.
        products: columns product_id and title; titles are compared normalised, nulls not at all.
    """
    titles = products.select(item_id="product_id", title=normalised(products["title"])).drop_nulls("title")
    seen = (
        groups.join(titles, on="item_id")
        .group_by("title")
        .agg(pl.col("group").n_unique(), pl.col("split").n_unique(), pl.len())
    )
    shared = seen.filter(pl.col("group") > 1)
    lines = (
        (
            f"titles in more than one group: {shared.height} ({int(shared['len'].sum())} items; no model can "
            "tell such items apart)",
            shared.height,
        ),
        (
            f"titles in more than one split: {shared.filter(pl.col('split') > 1).height} "
            "(a test item that training saw under another group)",
            shared.filter(pl.col("split") > 1).height,
        ),
    )
    return [line for line, count in lines if count]
