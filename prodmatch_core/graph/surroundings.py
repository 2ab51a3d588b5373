"""`Surroundings`: a graph with its nodes' names and texts, and what of it a batch of pairs reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.corpus import Corpus
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.fields import PRODUCT_FIELDS
from prodmatch_core.graph.cold import borrowed
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.files import load_graph, save_graph
from prodmatch_core.graph.nodes import Nodes

KINDS: Mapping[str, str] = {"query": "query_id", "product": "product_id"}
"Kind of node -> the column of a corpus that names it."


@attrs.frozen(eq=False)
class Surroundings:
    """A graph over places. A node has one place, or one for each side of a pair where the graph is directed.

    With two places a node, node n asks from place 2n and is offered at place 2n + 1.
    """

    sides: ClassVar[tuple[str, ...]] = ("query", "product")

    nodes: Nodes
    graph: Graph
    "Over places."
    texts: Corpus
    "One row for each node of the kinds query and product, in order; missing texts are null."
    two_sided: bool = False

    @property
    def places(self) -> int:
        """Return how many places there are."""
        return self.nodes.count * (2 if self.two_sided else 1)

    def place(self, side: str, node: np.ndarray) -> np.ndarray:
        """Return the place of nodes on a side of a pair, query or product, (n,) int64."""
        return 2 * node + (side == "product") if self.two_sided else node

    def node(self, place: np.ndarray) -> np.ndarray:
        """Return the node at each place, (n,) int64."""
        return place // 2 if self.two_sided else place

    def between(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the positions of all edges between the places of pairs, both ways: what a model predicts them without.

        Args:
            query: (n,) int64 places.
            product: (n,) int64 places.

        Returns:
            (m,) int64 ascending.
        """
        there, back = self.graph.positions(query, product), self.graph.positions(product, query)
        return np.union1d(there, back)

    def of_corpus(self, corpus: Corpus) -> dict[str, np.ndarray]:
        """Return the node of each row of a corpus by side, -1 where there is none.

        Where the query side holds products (what is bought after them is asked), it has product nodes.
        """
        asked = "query" if "text" in corpus.queries.columns else "product"
        return {
            "query": self.nodes.find(asked, corpus.queries["query_id"]),
            "product": self.nodes.find("product", corpus.products["product_id"]),
        }

    def with_cold(self, corpus: Corpus, near: int) -> Surroundings:
        """Return surroundings in which products of a corpus that have no edge read the neighbours of similar ones.

        Args:
            corpus: its products become nodes where they are none yet.
            near: how many products with edges, nearest by their texts, lend their neighbours; 0: none do.
        """
        nodes = self.nodes.joined(corpus.products["product_id"])
        grown = self if nodes is self.nodes else self._grown(corpus, nodes)
        if not near:
            return grown
        first, count = grown.nodes.first("product"), len(grown.nodes.ids["product"])
        graph = grown.graph
        for side in self.sides if self.two_sided else ("query",):
            places = grown.place(side, np.arange(first, first + count))
            graph = borrowed(
                graph, places, grown.texts.product_texts(("title", "description", "brand")), near
            )
        return attrs.evolve(grown, graph=graph)

    def _grown(self, corpus: Corpus, nodes: Nodes) -> Surroundings:
        """Return surroundings with further products, which have no edge, behind all others."""
        grown = attrs.evolve(self, nodes=nodes)
        offsets = np.pad(self.graph.offsets, (0, grown.places - self.places), mode="edge")
        texts = _texts(nodes.ids["product"], "product_id", self.texts.products, corpus.products)
        return attrs.evolve(
            grown, graph=attrs.evolve(self.graph, offsets=offsets), texts=Corpus(self.texts.queries, texts)
        )

    def retold(self, now: Surroundings) -> np.ndarray:
        """Return the places of nodes whose texts `now` has otherwise, (n,) int64; new nodes are not among them."""
        changed = []
        for kind, old, new in (
            ("query", self.texts.queries, now.texts.queries),
            ("product", self.texts.products, now.texts.products),
        ):
            if kind in self.nodes.ids and old.height:
                fields = [name for name in ("text", *PRODUCT_FIELDS) if name in {*old.columns, *new.columns}]
                left, right = (
                    frame.head(old.height).select(
                        (pl.col(name) if name in frame.columns else pl.lit(None, pl.String))
                        .fill_null("")
                        .alias(name)
                        for name in fields
                    )
                    for frame in (old, new)
                )
                differ = np.zeros(old.height, dtype=bool)
                for name in fields:
                    differ |= (left[name] != right[name]).to_numpy()
                changed.append(self.nodes.first(kind) + np.flatnonzero(differ))
        node = np.concatenate([np.empty(0, dtype=np.int64), *changed])
        return np.unique(np.concatenate([self.place(side, node) for side in self.sides]))

    def save(self, folder: Path) -> None:
        """Write graph, names and texts: safetensors, JSON and Parquet."""
        self.nodes.save(folder)
        save_graph(self.graph, folder)
        self.texts.queries.write_parquet(folder / "queries.parquet")
        self.texts.products.write_parquet(folder / "products.parquet")

    @classmethod
    def load(cls, folder: Path, two_sided: bool) -> Surroundings:
        """Read what `save` wrote; the graph's arrays are mapped into memory."""
        texts = Corpus(
            pl.read_parquet(folder / "queries.parquet"), pl.read_parquet(folder / "products.parquet")
        )
        return cls(Nodes.load(folder), load_graph(folder), texts, two_sided)


def node_texts(nodes: Nodes, dataset: Dataset, corpus: Corpus) -> Corpus:
    """Return the texts of query and product nodes, in their order, from a data set and a corpus."""
    none = pl.Series("id", [], dtype=pl.String)
    queries = [
        frame for frame in (corpus.queries, dataset.queries) if frame is not None and "text" in frame.columns
    ]
    products = [frame for frame in (corpus.products, dataset.products) if frame is not None]
    return Corpus(
        _texts(nodes.ids.get("query", none), "query_id", *queries),
        _texts(nodes.ids.get("product", none), "product_id", *products),
    )


def _texts(ids: pl.Series, key: str, *frames: pl.DataFrame) -> pl.DataFrame:
    """Return one row an identifier, in order, with the text columns of the first frame that has it."""
    text = ("text",) if key == "query_id" else PRODUCT_FIELDS
    plain = [
        frame.select(pl.col(key).cast(pl.String), *(name for name in text if name in frame.columns))
        for frame in frames
    ]
    rows = (
        pl.concat(plain, how="diagonal_relaxed")
        if plain
        else pl.DataFrame({key: []}, schema={key: pl.String})
    )
    rows = rows.unique(key, keep="first", maintain_order=True)
    found = ids.alias(key).to_frame().join(rows, on=key, how="left", maintain_order="left")
    must = "text" if key == "query_id" else "title"
    if must not in found.columns:
        found = found.with_columns(pl.lit("").alias(must))
    return found.with_columns(pl.col(must).fill_null(""))
