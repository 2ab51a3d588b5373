"""The relate task: given a product, rank all products by how likely they follow it. Edges are directed."""

from __future__ import annotations

import attrs
import numpy as np
import polars as pl
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.data.scramble import scramble
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.errors import DataError
from prodmatch_core.sections import PipelineFile, RelateSection
from prodmatch_core.task_specs import RELATE
from prodmatch_core.tasks.base import Task, TaskData
from prodmatch_core.tasks.heads import DirectedHead

BETWEEN = (pl.col("src_kind") == "product") & (pl.col("dst_kind") == "product")
"Engagements between products."
LINKS = LabelScheme("link", ("link", "no_link"), (1.0, 0.0), ("link",))
"What an ordered pair of products can be."


class RelateTask(Task):
    """Directed edges in, ranked products out; every example is an edge, negatives come from generator or loss."""

    spec = RELATE

    def examples(self, dataset: Dataset, pipeline: PipelineFile) -> TaskData:
        """Return the edges of one relation, some of them hidden for validation and test.

        Row r of the corpus is the same product on both sides. Products without an edge are candidates too.

        Raises:
            DataError: a table is missing, the relation is not there, an edge ends at no product, or there are too few
                edges to hide some.
        """
        engagements, products = dataset.engagements, dataset.products
        if engagements is None or products is None:
            absent = sorted({"engagements", "products"} - dataset.gives)
            raise DataError(
                f"{dataset.source}: no table {', '.join(absent)}; the task relate needs products and engagements."
            )
        nodes = products.unique("product_id", keep="first", maintain_order=True)
        relation = _relation(dataset, engagements, pipeline.relate)
        edges, notes = _edges(dataset, engagements, nodes, relation)
        splits = _hide(edges, pipeline.data.split, pipeline.relate, dataset.source)
        examples, rows = {}, {}
        for number, split in enumerate(SPLITS):
            part = edges.filter(pl.Series(splits == number))
            examples[split] = Examples(
                part["_src"].to_numpy(), part["_dst"].to_numpy(), np.zeros(part.height), np.ones(part.height)
            )
            rows[split] = part.select("src", "dst", pl.lit(split).alias("split"))
        corpus = Corpus(nodes.rename({"product_id": "query_id"}), nodes)
        return TaskData(corpus, examples, rows, LINKS, notes, relation)

    def visible(self, dataset: Dataset, data: TaskData) -> Dataset:
        """Return the data set without events, and without the edges that are hidden for validation and test.

        Edges of other relations stay.
        """
        assert dataset.engagements is not None
        hidden = pl.concat([data.rows["valid"], data.rows["test"]]).select("src", "dst")
        engagements = dataset.engagements
        predicted = BETWEEN & (pl.col("relation") == data.relation)
        seen = pl.concat(
            [
                engagements.filter(~predicted),
                engagements.filter(predicted).join(hidden, on=["src", "dst"], how="anti"),
            ]
        )
        return attrs.evolve(super().visible(dataset, data), engagements=seen, events=None)

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme, dropout: float = 0.1) -> nn.Module:
        """Return the maps to source and target vectors."""
        return DirectedHead(width, "directed" in gives)

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return source vectors as embeddings, target vectors as references, and the logits of link and no link."""
        assert isinstance(head, DirectedHead)
        source, target = head(encoding)
        both = source is not None and target is not None
        return Output(
            labels=labels,
            weights=weights,
            logits=head.logits(source, target) if both else None,
            embeddings=source,
            references=target,
        )


def _relation(dataset: Dataset, engagements: pl.DataFrame, section: RelateSection) -> str:
    """Return the relation that is predicted: the one the file names, or the only one."""
    relations = sorted(engagements.filter(BETWEEN)["relation"].unique())
    relation = section.relation or (relations[0] if len(relations) == 1 else "")
    if relation not in relations:
        said = f'no relation "{relation}"' if relation else "more than one relation" if relations else "none"
        remedy = f"Set relate.relation to one of {', '.join(relations)}" if relations else "Add edges"
        raise DataError(f"{dataset.source}: engagements between products: {said}. {remedy}.")
    return relation


def _edges(
    dataset: Dataset, engagements: pl.DataFrame, nodes: pl.DataFrame, relation: str
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the distinct edges of the relation, in the order of their ends, and what was left out."""
    chosen = engagements.filter(BETWEEN).filter(pl.col("relation") == relation)
    loops = chosen.filter(pl.col("src") == pl.col("dst")).height
    last = [pl.col("at").max()] if "at" in chosen.columns else []
    edges = (
        chosen.filter(pl.col("src") != pl.col("dst")).group_by("src", "dst").agg(pl.col("count").sum(), *last)
    )
    number = nodes.select("product_id").with_row_index("_row")
    for side in ("src", "dst"):
        edges = edges.join(
            number.rename({"_row": f"_{side}"}), left_on=side, right_on="product_id", how="left"
        )
    unknown = edges.filter(pl.col("_src").is_null() | pl.col("_dst").is_null())
    if unknown.height:
        source, target = unknown.select("src", "dst").row(0)
        raise DataError(
            f"{dataset.source}: the edge {source!r} -> {target!r} ends at a product that is not in table products "
            f"(edges like this: {unknown.height}). Add the product or remove the edge."
        )
    edges = edges.sort("src", "dst")
    back = edges.join(edges, left_on=["src", "dst"], right_on=["dst", "src"], how="semi").height
    notes = [
        f"relation {relation}: {edges.height} edges between {nodes.height} products, {back} of them both ways"
    ]
    if loops:
        notes.append(f"edges from a product to itself, left out: {loops}")
    return edges, tuple(notes)


def _hide(edges: pl.DataFrame, split: SplitConfig, section: RelateSection, source: str) -> np.ndarray:
    """Return the split of every edge as an index into SPLITS, (edges,) int64: drawn, or the latest ones."""
    count = edges.height
    test, valid = round(count * split.test), round(count * split.valid)
    if min(test, valid, count - test - valid) < 1:
        raise DataError(
            f"{source}: {count} edges are too few to hide {test} for test and {valid} for validation. "
            "Add edges, or set [data.split]."
        )
    order = np.argsort(scramble(np.arange(count), split.seed), kind="stable")
    if section.hide == "latest":
        if "at" not in edges.columns or edges["at"].null_count():
            raise DataError(
                f'{source}: relate.hide = "latest" needs the time of every edge (column at of engagements). '
                'Add it, or set relate.hide = "random".'
            )
        # A stable sort over drawn order: edges of one moment are divided by chance, not by name.
        order = order[np.argsort(-edges["at"].to_physical().to_numpy()[order], kind="stable")]
    splits = np.zeros(count, dtype=np.int64)
    splits[order[:test]] = 2
    splits[order[test : test + valid]] = 1
    return splits
