"""Splits by whole queries, the check of references between tables, and leaks across splits."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import attrs
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.data.structure import check_structure
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.data.texts import normalised
from prodmatch_core.errors import DataError

STRATUM = 20
"Queries of similar label shares that are divided together."


def split_by_query(
    queries: pl.DataFrame,
    split: SplitConfig,
    classes: pl.DataFrame | None = None,
    given: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Divide queries into train, valid and test, every normalised text in one split only.

    Which split a text goes to depends on the seed, the set of texts and their judgements, never on the order
    of rows. From three texts on, no split that has a share is empty.

    Args:
        queries: columns query_id and text.
        split: shares of the distinct texts, and the seed.
        classes: columns query_id and class (class index), one row per judgement. Where given, texts whose
            judgements have about the same mean class are divided together, so that label shares come close.
        given: columns query_id and split, the splits a source comes with. They are kept; a split that it
            does not have is cut out of its train split, with `split`'s share of the train split's texts.

    Returns:
        Columns query_id and split, in the order of `queries`.
    """
    keyed = queries.select("query_id", normalised(queries["text"]).alias("key"))
    free = keyed
    missing = {"valid", "test"}
    if given is not None:
        keyed = keyed.join(given, on="query_id", how="left", maintain_order="left")
        missing -= set(given["split"])
        fixed = keyed.filter(pl.col("split") != "train")
        free = keyed.join(fixed, on="key", how="anti")
    else:
        keyed = keyed.with_columns(split=pl.lit("train"))
    order = shuffled_strata(free, split.seed, classes)
    cut = cut_splits(order, split, missing)
    return keyed.join(cut, on="key", how="left", maintain_order="left").select(
        "query_id", split=pl.coalesce("cut", "split")
    )


def cut_splits(order: pl.Series, split: SplitConfig, missing: Collection[str]) -> pl.DataFrame:
    """Cut the splits `missing` out of keys in a drawn order, evenly spread over it.

    Args:
        order: (n,) String, distinct keys.
        split: the shares.
        missing: some of valid and test; the others are there already.

    Returns:
        Columns key and cut, for the keys that leave train. From three keys on no split with a share is empty.
    """
    count = len(order)
    shares = {name: getattr(split, name) if name in missing else 0.0 for name in ("valid", "test")}
    kept = 1 + (shares["valid"] > 0 and count > 2)  # a training key, and where there are enough a valid one
    test = _share(count, shares["test"], room=count - kept)
    valid = _share(count, shares["valid"], room=count - 1 - test)
    in_test = _every(count, test)
    rest = order.filter(~in_test)
    in_valid = _every(len(rest), valid)
    return pl.DataFrame(
        {
            "key": pl.concat([order.filter(in_test), rest.filter(in_valid)]),
            "cut": ["test"] * test + ["valid"] * valid,
        },
        schema={"key": pl.String, "cut": pl.String},
    )


def check_references(dataset: Dataset) -> None:
    """Check what one table says of another, and that judgements can be learnt from and measured.

    Raises:
        DataError: a judgement names a query, product, label or split that is not there, a judged query or
            product has no text, a query is in two splits, a weight is no weight, or a table does not pass
            `structure.check_structure`; with table, row and id.
    """
    check_structure(dataset)
    judgements, queries, products = dataset.judgements, dataset.queries, dataset.products
    if queries is not None:
        blank = queries["text"].str.strip_chars() == ""
        _refuse(dataset, "queries", queries, "query_id", blank, "has no text", "Fill it or remove the query.")
    if judgements is None or dataset.scheme is None:
        return
    for name, table in (("queries", queries), ("products", products)):
        if table is None:
            raise DataError(f"{dataset.source}: judgements without a table {name}. Add the table.")
    assert queries is not None
    assert products is not None
    joined = judgements.join(
        queries.select("query_id", "locale"), on="query_id", how="left", maintain_order="left"
    ).join(
        products.select("product_id", "locale", "title", there=pl.lit(True)),
        on=["product_id", "locale"],
        how="left",
        maintain_order="left",
    )
    label = dataset.scheme
    once = judgements.group_by("query_id").agg(pl.col("split").n_unique().alias("n")).filter(pl.col("n") > 1)
    checks = [
        (
            "query_id",
            joined["locale"].is_null(),
            "is not in table queries",
            "Add the query or remove the row.",
        ),
        (
            "product_id",
            joined["there"].is_null(),
            "is not in table products in the query's locale",
            "Add the product or remove the row.",
        ),
        (
            "product_id",
            joined["title"].fill_null("").str.strip_chars() == "",
            "has no title",
            "Fill the title or remove the row.",
        ),
        (
            "label",
            ~joined["label"].is_in(list(label.labels)),
            f"is not a label of the scheme {label.name} ({', '.join(label.labels)})",
            "Correct the label or the scheme.",
        ),
        (
            "split",
            ~joined["split"].is_in(list(SPLITS)),
            f"is not one of {', '.join(SPLITS)}",
            "Correct the split.",
        ),
        (
            "query_id",
            joined["query_id"].is_in(once["query_id"].implode()),
            "is in more than one split",
            "Give all its rows one split, or leave the splits out so that whole queries are divided anew.",
        ),
    ]
    if "weight" in joined.columns:
        wrong = ~joined["weight"].is_finite() | (joined["weight"] < 0)
        checks.append(("weight", wrong, "is not a number of at least 0", "Correct the weight."))
    for column, bad, reason, remedy in checks:
        _refuse(dataset, "judgements", joined, column, bad, reason, remedy)


@attrs.frozen
class Leaks:
    """What the splits of a data set share: counts of distinct texts found in more than one of them."""

    queries: int
    "Normalised query texts."
    pairs: int
    "Pairs of normalised query text and product title."
    titles: int
    "Product titles; usual where splits are by query, so this is for information."

    def notes(self) -> list[str]:
        """Return a line for each count that is not 0."""
        harm = "measures on test are too good"
        lines = (
            ("query texts", self.queries, harm),
            ("pairs of query and title", self.pairs, harm),
            ("product titles", self.titles, "for information"),
        )
        return [f"{what} in more than one split: {count} ({why})" for what, count, why in lines if count]


def leaks(dataset: Dataset) -> Leaks:
    """Count exact duplicates across the splits of a data set with queries, products and judgements."""
    judgements, queries, products = dataset.judgements, dataset.queries, dataset.products
    if judgements is None or queries is None or products is None:
        return Leaks(0, 0, 0)
    rows = (
        judgements.select("query_id", "product_id", "split")
        .join(
            queries.select("query_id", "locale", query=normalised(queries["text"])),
            on="query_id",
            how="inner",
        )
        .join(products.select("product_id", "locale", "title"), on=["product_id", "locale"], how="inner")
    )
    return Leaks(
        *(_crossing(rows, columns) for columns in (["query"], ["query", "title"], ["title"])),
    )


def _crossing(rows: pl.DataFrame, columns: list[str]) -> int:
    seen = rows.drop_nulls(columns).group_by(columns).agg(pl.col("split").n_unique())
    return int((seen["split"] > 1).sum())


def shuffled_strata(free: pl.DataFrame, seed: int, classes: pl.DataFrame | None) -> pl.Series:
    """Return the distinct keys: strata of similar mean class one after the other, each shuffled by `seed`.

    Args:
        free: column key; with `classes` also query_id.
        seed: of the shuffle; the order is that of a hash of seed and key, whatever the order of rows.
        classes: columns query_id and class; without them there is one stratum.
    """
    keys = free["key"].unique()
    dice = [
        int.from_bytes(hashlib.blake2b(f"{seed}\x00{key}".encode(), digest_size=8).digest(), "big")
        for key in keys
    ]
    drawn = pl.DataFrame({"key": keys, "dice": pl.Series(dice, dtype=pl.UInt64)})
    if classes is None:
        return drawn.sort("dice", "key")["key"]
    mean = (
        free.join(classes, on="query_id")
        .group_by("key")
        .agg((pl.col("class").sum() / pl.len()).alias("mean"))
    )
    return (
        drawn.join(mean, on="key", how="left")
        .sort("mean", "dice", "key", nulls_last=True)
        .with_row_index("stratum")
        .with_columns(pl.col("stratum") // STRATUM)
        .sort("stratum", "dice", "key")["key"]
    )


def _share(count: int, share: float, room: int) -> int:
    """Return how many of `count` a share is: at least one where there is a share, at most `room`."""
    wanted = max(1, int(count * share + 0.5)) if share else 0
    return max(0, min(wanted, room))


def _every(count: int, picks: int) -> pl.Series:
    """Return a mask of length `count` with `picks` true values, spread evenly."""
    position = pl.int_range(count, eager=True)
    if not count:
        return pl.Series([], dtype=pl.Boolean)
    return (position + 1) * picks // count > position * picks // count


def _refuse(
    dataset: Dataset, name: str, table: pl.DataFrame, column: str, bad: pl.Series, reason: str, remedy: str
) -> None:
    if bad.any():
        row = int(bad.arg_max() or 0)
        query = f" (query_id {table['query_id'][row]!r})" if column in ("label", "split", "weight") else ""
        raise DataError(
            f"{dataset.source}: table {name}, row {row + 1}: {column} {table[column][row]!r}{query} {reason} "
            f"(rows like this: {bad.sum()}). {remedy}"
        )
