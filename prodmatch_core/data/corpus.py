"""Texts stored once, and the labelled pairs that point into them by row number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.data.texts import derive_ids
from prodmatch_core.errors import DataError, did_you_mean
from prodmatch_core.fields import PRODUCT_FIELDS


@attrs.frozen(eq=False)
class Corpus:
    """Unique queries and products that examples point into, by row number."""

    queries: pl.DataFrame
    "Rows of `Dataset.queries` that are used."
    products: pl.DataFrame
    "Rows of `Dataset.products` that are used."

    def query_texts(self, fields: Sequence[str] = ("title",)) -> list[str]:
        """Return the text of each query, in row order.

        Where the query side holds products (what is bought after them is asked), their `fields` are joined as
        `product_texts` does.
        """
        if "text" in self.queries.columns:
            return self.queries["text"].to_list()
        return _joined(self.queries, fields)

    def product_texts(self, fields: Sequence[str] = ("title",)) -> list[str]:
        """Return `fields` of each product joined by a space, in row order.

        Empty cells and columns the data set does not have are left out; a product with none of them is "".

        Raises:
            DataError: a field is no text column of the products table.
        """
        return _joined(self.products, fields)


def _joined(products: pl.DataFrame, fields: Sequence[str]) -> list[str]:
    for field in fields:
        if field not in PRODUCT_FIELDS:
            hint = did_you_mean(field, PRODUCT_FIELDS)
            raise DataError(f'products have no text field "{field}"{hint}')
    present = [field for field in fields if field in products.columns]
    if not present:
        return [""] * products.height
    joined = pl.concat_str(present, separator=" ", ignore_nulls=True)
    return products.select(joined.fill_null("").alias("text"))["text"].to_list()


@attrs.frozen(eq=False)
class Examples:
    """Labelled pairs as row numbers into a Corpus. All arrays have length n."""

    query: np.ndarray
    "(n,) int64, rows of `Corpus.queries`."
    product: np.ndarray
    "(n,) int64, rows of `Corpus.products`."
    label: np.ndarray
    "(n,) int64, class index with 0 the best match, or number of the group; -1 where unknown."
    weight: np.ndarray
    "(n,) float32, factor of the example in losses."
    facts: Mapping[str, np.ndarray] = attrs.field(factory=dict)
    "(n,) arrays by name: what else losses may read of an example, such as how long an event had been watched."

    def __attrs_post_init__(self) -> None:
        for field, dtype in (("query", np.int64), ("product", np.int64), ("label", np.int64)):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=dtype))
        object.__setattr__(self, "weight", np.asarray(self.weight, dtype=np.float32))
        arrays = {name: getattr(self, name) for name in ("query", "product", "label", "weight")} | {
            **self.facts
        }
        lengths = {name: array.shape for name, array in arrays.items()}
        if len(set(lengths.values())) != 1 or self.query.ndim != 1:
            raise ValueError(f"examples need arrays of one length, got {lengths}")

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: np.ndarray | slice) -> Examples:
        """Return the examples at `rows`: integer positions, a boolean mask or a slice."""
        facts = {name: array[rows] for name, array in self.facts.items()}
        return Examples(self.query[rows], self.product[rows], self.label[rows], self.weight[rows], facts)

    def concat(self, *others: Examples) -> Examples:
        """Return these examples followed by those of `others`, which must point into the same corpus.

        A fact that some do not know is 0 there.
        """
        parts = (self, *others)
        known = {name: array.dtype for part in parts for name, array in part.facts.items()}
        facts = {
            name: np.concatenate([part.facts.get(name, np.zeros(len(part), dtype)) for part in parts])
            for name, dtype in known.items()
        }
        return Examples(
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.product for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.weight for part in parts]),
            facts,
        )

    @staticmethod
    def empty() -> Examples:
        """Return no examples."""
        none = np.empty(0, dtype=np.int64)
        return Examples(none, none, none, np.empty(0, dtype=np.float32))


def match_examples(dataset: Dataset) -> tuple[Corpus, dict[str, Examples], dict[str, pl.DataFrame]]:
    """Return the corpus, the examples of each split, and the judgement rows behind them in the same order.

    The rows carry their query's locale and, where it is known, its frequency.

    A judgement means the product in the locale of its query. All three splits are there; one without
    judgements is empty.

    Raises:
        DataError: a table is missing, or a judgement names a query, product or label that is not there.
    """
    queries, products, judgements, scheme = (
        dataset.queries,
        dataset.products,
        dataset.judgements,
        dataset.scheme,
    )
    if queries is None or products is None or judgements is None or scheme is None:
        absent = sorted({"queries", "products", "judgements"} - dataset.gives)
        raise DataError(
            f"{dataset.source}: no table {', '.join(absent)}; matching needs queries, products and "
            "judgements. Use a data set that gives them."
        )
    of_query = [name for name in ("query_id", "locale", "frequency") if name in queries.columns]
    judged = judgements.join(queries.select(of_query), on="query_id", how="left", maintain_order="left")
    queries = queries.join(judged, on="query_id", how="semi", maintain_order="left")
    products = products.join(judged, on=["product_id", "locale"], how="semi", maintain_order="left")
    rows = judged.join(
        queries.select("query_id").with_row_index("_query"), on="query_id", how="left", maintain_order="left"
    ).join(
        products.select("product_id", "locale").with_row_index("_product"),
        on=["product_id", "locale"],
        how="left",
        maintain_order="left",
    )
    labels = scheme.labels
    rows = rows.with_columns(
        pl.col("label")
        .replace_strict(labels, range(len(labels)), default=None, return_dtype=pl.Int64)
        .alias("_class")
    )
    _complete(rows, dataset.source, scheme)
    weight = pl.col("weight") if "weight" in rows.columns else pl.lit(1.0)
    rows = rows.with_columns(weight.cast(pl.Float32).alias("_weight"))
    examples, behind = {}, {}
    for split in SPLITS:
        part = rows.filter(pl.col("split") == split)
        query, product, label, factor = (
            part[name].to_numpy() for name in ("_query", "_product", "_class", "_weight")
        )
        examples[split] = Examples(query, product, label, factor)
        behind[split] = part.select(judged.columns)
    return Corpus(queries, products), examples, behind


def frame_examples(frame: pl.DataFrame) -> tuple[Corpus, Examples]:
    """Return the corpus and the unlabelled examples of a frame of pairs to score, in the frame's order.

    Args:
        frame: columns query and title; optionally query_id, product_id, locale, description, bullets, brand
            and color. Other columns are ignored. The same texts are stored once.

    Raises:
        DataError: a column is missing, or a row has no query or no title.
    """
    missing = [name for name in ("query", "title") if name not in frame.columns]
    if missing:
        raise DataError(
            f"pairs lack column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"they have {', '.join(frame.columns) or 'no columns'}. Pairs to score need query and title."
        )
    known = ("query", "query_id", "product_id", "locale", *PRODUCT_FIELDS)
    pairs = frame.select(pl.col(name).cast(pl.String) for name in known if name in frame.columns)
    for name in ("query", "title"):
        blank = pairs[name].fill_null("").str.strip_chars() == ""
        if blank.any():
            row = int(blank.arg_max() or 0) + 1
            raise DataError(
                f"pairs, row {row}: {name} is empty (rows like this: {blank.sum()}). "
                "Fill it or remove the rows."
            )
    locale = pl.col("locale").fill_null("en") if "locale" in pairs.columns else pl.lit("en").alias("locale")
    pairs = pairs.with_columns(locale)
    fields = [name for name in PRODUCT_FIELDS if name in pairs.columns]
    for name, columns, prefix in (("query_id", ["locale", "query"], "q"), ("product_id", fields, "p")):
        derived = derive_ids(pairs, columns, prefix).alias(name)
        pairs = pairs.with_columns(pl.col(name).fill_null(derived) if name in pairs.columns else derived)
    query, queries = _unique(pairs, ["query_id", "locale", "query"])
    product, products = _unique(pairs, ["product_id", "locale", *fields])
    count = pairs.height
    examples = Examples(query, product, np.full(count, -1), np.ones(count, dtype=np.float32))
    return Corpus(queries.rename({"query": "text"}), products), examples


def _unique(frame: pl.DataFrame, columns: list[str]) -> tuple[np.ndarray, pl.DataFrame]:
    """Return the distinct rows of `columns` in order of appearance, and which of them each row is."""
    distinct = frame.select(columns).unique(maintain_order=True)
    joined = frame.select(columns).join(
        distinct.with_row_index("_row"), on=columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["_row"].to_numpy(), distinct


def _complete(rows: pl.DataFrame, source: str, scheme: LabelScheme) -> None:
    """Raise DataError for the first judgement that names something that is not there."""
    labels = ", ".join(scheme.labels)
    for column, index, reason in (
        ("query_id", "_query", "is not in table queries"),
        ("product_id", "_product", "is not in table products in the query's locale"),
        ("label", "_class", f"is not a label of the scheme {scheme.name} ({labels})"),
    ):
        bad = rows[index].is_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise DataError(
                f"{source}: table judgements, row {row + 1}: {column} {rows[column][row]!r} {reason} "
                f"(rows like this: {bad.sum()}). Add what is missing or remove the rows."
            )
