"""The embed task: vectors of items whose nearest neighbours are the same product, for groups never seen in training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.errors import DataError
from prodmatch_core.sections import PipelineFile
from prodmatch_core.task_specs import EMBED
from prodmatch_core.tasks.base import Task, TaskData

SAME = LabelScheme("same-product", ("same", "other"), (1.0, 0.0), ("same",))
"What a pair of items can be."


class EmbedTask(Task):
    """Items in, vectors out; a label is the number of an item's group."""

    spec = EMBED
    sides: ClassVar[tuple[str, ...]] = ("product",)

    def examples(self, dataset: Dataset, pipeline: PipelineFile) -> TaskData:
        """Return the grouped items, with the groups numbered over all splits.

        Raises:
            DataError: a table is missing, an item is no product, a group is in two splits, or a split has no group of
                two items, so that nothing can be learnt from it or measured on it.
        """
        groups, products = dataset.groups, dataset.products
        if groups is None or products is None:
            absent = sorted({"groups", "products"} - dataset.gives)
            raise DataError(
                f"{dataset.source}: no table {', '.join(absent)}; the task embed needs products and groups."
            )
        items = products.unique("product_id", keep="first", maintain_order=True)
        items = items.join(
            groups, left_on="product_id", right_on="item_id", how="semi", maintain_order="left"
        )
        rows = groups.join(
            items.select("product_id").with_row_index("_product"),
            left_on="item_id",
            right_on="product_id",
            how="left",
            maintain_order="left",
        ).with_columns((pl.col("group").rank("dense").cast(pl.Int64) - 1).alias("_group"))
        _check(dataset, rows)
        examples, behind, notes = {}, {}, []
        for split in SPLITS:
            part = rows.filter(pl.col("split") == split)
            product, label = part["_product"].to_numpy(), part["_group"].to_numpy()
            examples[split] = Examples(np.full(len(product), -1), product, label, np.ones(len(product)))
            behind[split] = part.select("item_id", "group", "split")
            alone = int((part.group_by("group").len()["len"] == 1).sum())
            if alone:
                notes.append(f"items alone in their group, {split}: {alone} (they can be found for no one)")
        none = pl.DataFrame(schema={"query_id": pl.String, "locale": pl.String, "text": pl.String})
        return TaskData(Corpus(none, items), examples, behind, SAME, tuple(notes))

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme, dropout: float = 0.1) -> nn.Module:
        """Return the identity: the encoder's vector is the answer."""
        return nn.Identity()

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return the items' vectors."""
        assert encoding.product is not None
        return Output(labels=labels, weights=weights, embeddings=head(encoding.product))


def _check(dataset: Dataset, rows: pl.DataFrame) -> None:
    unknown = rows["_product"].is_null()
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise DataError(
            f"{dataset.source}: table groups, row {row + 1}: item_id {rows['item_id'][row]!r} is not in table products "
            f"(rows like this: {unknown.sum()}). Add the product or remove the row."
        )
    wrong = ~rows["split"].is_in(list(SPLITS))
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f"{dataset.source}: table groups, row {row + 1}: split {rows['split'][row]!r} is not one of "
            f"{', '.join(SPLITS)}. Correct the split."
        )
    sizes = rows.group_by("group", maintain_order=True).agg(pl.col("split").n_unique().alias("splits"))
    torn = sizes.filter(pl.col("splits") > 1)
    if torn.height:
        raise DataError(
            f"{dataset.source}: group {torn['group'][0]!r} is in more than one split (groups like this: "
            f"{torn.height}). Give all its items one split."
        )
    for split in SPLITS:
        part = rows.filter(pl.col("split") == split)
        if not (part.group_by("group").len()["len"] > 1).any():
            raise DataError(
                f"{dataset.source}: split {split} has no group of two items. Give it some, or set [data.split]."
            )
