"""`core.node_vectors`: a source and a target vector of every product, learnt from edges alone.

Two vectors a node as in LINE's second-order proximity (arXiv 1503.03578, section 4.1.2), which makes them directed.
A product without a known edge has no neighbours to learn from: its vectors stay near 0 as they began.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from prodmatch_core.builtin.structure_configs import NodeVectorsConfig
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared, Rows
from prodmatch_core.data.corpus import Corpus

IDS = "products.json"


@attrs.frozen(eq=False)
class NodeRows:
    """Rows of the vectors' table for each row of a corpus, by side; 0 stands for products not seen in training."""

    sides: dict[str, np.ndarray]

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return 1 for every example, (n,) int64."""
        rows = product if query is None else query
        assert rows is not None
        return np.ones(len(rows), dtype=np.int64)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return `query` and `product`, (n,) int64 rows of the table."""
        sides = (("query", query), ("product", product))
        return {name: torch.from_numpy(self.sides[name][rows]) for name, rows in sides if rows is not None}


class NodeVectorsEncoder(Encoder):
    """A table of source vectors and one of target vectors."""

    def __init__(self, config: NodeVectorsConfig, ids: Sequence[str]) -> None:
        """Make tables with small random vectors for the products `ids`."""
        super().__init__()
        self.ids, self.width = list(ids), config.width
        # Directions are what is learnt; unit variance would take long to turn.
        self.source = nn.Embedding(len(self.ids) + 1, config.width)
        self.target = nn.Embedding(len(self.ids) + 1, config.width)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = nn.Dropout(config.dropout)

    @classmethod
    def build(cls, config: NodeVectorsConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make vectors for every product of the corpus."""
        return cls(config, data.corpus.products["product_id"].to_list())

    @classmethod
    def load(cls, config: NodeVectorsConfig, folder: Path) -> Self:
        """Make the tables for the products that `save_assets` listed."""
        return cls(config, json.loads((folder / IDS).read_text(encoding="utf-8")))

    def save_assets(self, folder: Path) -> None:
        """Write the products' identifiers as JSON."""
        (folder / IDS).write_text(json.dumps(self.ids, ensure_ascii=False), encoding="utf-8")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Look every product up once."""
        table = pl.DataFrame({"id": self.ids}, schema={"id": pl.String}).with_row_index("row", offset=1)

        def rows(ids: pl.Series) -> np.ndarray:
            found = ids.to_frame("id").join(table, on="id", how="left", maintain_order="left")["row"]
            return found.fill_null(0).to_numpy().astype(np.int64)

        sides = {"query": rows(corpus.queries["query_id"]), "product": rows(corpus.products["product_id"])}
        return NodeRows(sides)

    def forward(self, batch: Batch) -> Encoding:
        """Return source vectors as `query`, target vectors as `product`, (batch, width) float32."""

        def side(name: str, table: nn.Embedding) -> Tensor | None:
            return self.dropout(table(batch[name])) if name in batch else None

        return Encoding(query=side("query", self.source), product=side("product", self.target))
