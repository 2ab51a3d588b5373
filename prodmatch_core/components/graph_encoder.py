"""`GraphEncoder`: what encoders share whose vectors come from a node encoder over a graph.

It owns the graph of what may be known, the nodes' first vectors (learnt, of their texts, or both) and the sampler. In
training every batch reads neighbourhoods drawn anew, without the edges it has to predict. When predicting, all
neighbours are read: an example's vectors depend on nothing but the graph.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared, Rows
from prodmatch_core.components.node_embeddings import NodeEmbeddings
from prodmatch_core.components.node_encoder import NodeEncoder, embed_all
from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.graph.messages import all_neighbours, pack, unpack
from prodmatch_core.graph.nodes import Nodes, typed_graph
from prodmatch_core.graph.surroundings import Surroundings, node_texts

WHOLE_FROM = 8
"The whole graph is embedded at once where at least one in so many of its places is asked for."


class GraphEncoder(Encoder):
    """An encoder over a graph. A subclass says which graph, and which network reads it.

    The configuration has the fields `text: Part | None`, `learnt: bool`, `width: int` and `cold: int`; see
    `core.graph`.
    """

    def __init__(
        self, config: Any, surroundings: Surroundings, network: NodeEncoder, text: Encoder | None
    ) -> None:
        """Put the parts together, with small random vectors of the places where they are learnt."""
        super().__init__()
        self.config = config
        self.surroundings = surroundings
        self.network = network
        self.width = network.width
        self.text = text
        self.sampler: GraphSampler | None = None
        size = config.width
        # Row 0 stands for places that are not in the graph the weights were learnt on.
        self.table = nn.Embedding(surroundings.places + 1, size, padding_idx=0) if config.learnt else None
        if self.table is not None:
            nn.init.normal_(self.table.weight[1:], std=size**-0.5)
        self.reading = nn.Linear(text.width, size) if text is not None else None

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        """Make the graph of what is known, the network, the nested text encoder and the member's sampler."""
        surroundings = cls.surround(config, data)
        text = None
        if config.text is not None:
            text = config.text.spec.load().build(
                config.text.config, attrs.evolve(data, corpus=surroundings.texts), rng
            )
        made = cls(config, surroundings, cls.make_network(config, surroundings, rng), text)
        if data.sampler is not None:
            made.sampler = data.sampler.spec.load().build(data.sampler.config, surroundings.graph)
        return made

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make the encoder from what `save_assets` wrote; it predicts, and can be trained with all neighbours."""
        surroundings = Surroundings.load(folder, cls.two_sided(config))
        text = None
        if config.text is not None:
            text = config.text.spec.load().load(config.text.config, folder / "text")
        return cls(config, surroundings, cls.load_network(config, folder / "network"), text)

    def save_assets(self, folder: Path) -> None:
        """Write the graph, its nodes and their texts, and what the nested parts need."""
        self.surroundings.save(folder)
        (folder / "network").mkdir()
        self.network.save_assets(folder / "network")
        if self.text is not None:
            (folder / "text").mkdir()
            self.text.save_assets(folder / "text")

    @classmethod
    def surround(cls, config: Any, data: FitData) -> Surroundings:
        """Return the graph over what is known, with its nodes' texts; the default: all engagements, both ways."""
        nodes = nodes_of(data)
        graph = typed_graph(data.dataset.engagements, nodes, relations=config.relations or None)
        return Surroundings(nodes, graph, node_texts(nodes, data.dataset, data.corpus), cls.two_sided(config))

    @classmethod
    def two_sided(cls, config: Any) -> bool:
        """Return whether every node has a place for each side of a pair; the default: one place."""
        return False

    def finished(self, side: str, vectors: Tensor) -> Tensor:
        """Return what is made of the network's vectors of one side, (n, self.width) float32: by default nothing."""
        return vectors

    @classmethod
    @abstractmethod
    def make_network(cls, config: Any, surroundings: Surroundings, rng: np.random.Generator) -> NodeEncoder:
        """Return a new network whose first vectors have the size `config.width`."""

    @classmethod
    @abstractmethod
    def load_network(cls, config: Any, folder: Path) -> NodeEncoder:
        """Return the network from what its `save_assets` wrote."""

    def kept_vectors(
        self, around: Surroundings, before: tuple[Surroundings, NodeEmbeddings] | None = None
    ) -> tuple[NodeEmbeddings, tuple[int, ...]]:
        """Return the vectors of all places layer by layer, and how many places each layer computed.

        Only texts of places that are computed are read.

        Args:
            around: what is known now, `with_cold` where nodes without edges borrow.
            before: what was known then, and the vectors made of it with this encoder's weights; `around` keeps its
                places. None: all are computed.
        """
        texts = AskedTexts(self.text, around.texts) if self.text is not None else None
        first = PreparedGraph(self, around, texts, {}).first
        if before is None:
            found = NodeEmbeddings.of(self.network, around.graph, first)
            return found, (around.places,) * len(found.layers)
        then, kept = before
        changed = then.retold(around) if self.text is not None else np.empty(0, dtype=np.int64)
        return kept.refreshed(self.network, around.graph, first, changed)

    def prepare(self, corpus: Corpus) -> Prepared:
        """Find every row's node; products that are none yet become nodes without edges."""
        surroundings = self.surroundings.with_cold(corpus, self.config.cold)
        texts = self.text.prepare(surroundings.texts) if self.text is not None else None
        return PreparedGraph(self, surroundings, texts, surroundings.of_corpus(corpus))

    def forward(self, batch: Batch) -> Encoding:
        """Return a vector for the query and the product of each example, (batch, width) float32."""
        layers = unpack(batch)
        vectors = self.network(layers, self.first(layers[0].inputs, batch))
        return Encoding(
            query=self.finished("query", vectors[batch["query"]]) if "query" in batch else None,
            product=self.finished("product", vectors[batch["product"]]) if "product" in batch else None,
        )

    def first(self, places: Tensor, texts: Batch) -> Tensor:
        """Return the first vectors of places, (n, config.width) float32.

        Args:
            places: (n,) int64.
            texts: what `PreparedGraph.text_batch` gathered of the same places.
        """
        vectors = torch.zeros((len(places), self.config.width), device=places.device)
        if self.table is not None:
            known = places + 1
            vectors = vectors + self.table(torch.where(known < self.table.num_embeddings, known, 0))
        if self.text is not None and self.reading is not None:
            for side in ("query", "product"):
                row = texts.get(f"text.{side}.rows")
                if row is not None and len(row):
                    start = f"text.{side}."
                    encoding = self.text(
                        {k.removeprefix(start): v for k, v in texts.items() if k.startswith(start)}
                    )
                    told = getattr(encoding, side)
                    vectors = vectors.index_add(0, row, self.reading(told).to(vectors.dtype))
        return vectors

    def encode_rows(self, prepared: Prepared, side: str, rows: np.ndarray) -> Tensor | None:
        """Return the vectors of many rows of a side from one pass over the whole graph; None where they are few."""
        assert isinstance(prepared, PreparedGraph)
        around = prepared.surroundings
        if len(rows) * WHOLE_FROM < around.places:
            return None
        device = next(self.parameters()).device
        vectors = embed_all(self.network, around.graph, prepared.first, device)
        places = around.place(side, prepared.rows[side][rows])
        return self.finished(side, vectors[torch.from_numpy(places).to(device)])


@attrs.frozen(eq=False)
class PreparedGraph:
    """A corpus whose rows are places of a graph."""

    encoder: GraphEncoder
    surroundings: Surroundings
    texts: Prepared | None
    "Texts of the nodes, by kind."
    rows: Mapping[str, np.ndarray]
    "Side -> node of each row of the corpus."

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return 1 for every example, (n,) int64."""
        rows = product if query is None else query
        assert rows is not None
        return np.ones(len(rows), dtype=np.int64)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return the pairs with all neighbours of their nodes.

        Returns:
            `query` and `product` (n,) int64, each example's place among the seeds; the layers as `graph.messages.pack`
            names them; and the texts of the outermost nodes where the encoder reads texts.
        """
        seeds, batch, _ = self._seeds(query, product)
        blocks = all_neighbours(self.surroundings.graph, seeds, self.encoder.network.layers)
        return self._filled(batch, blocks, self.surroundings.graph)

    def draw(self, query: Rows, product: Rows, rng: np.random.Generator) -> Batch:
        """Return the pairs with drawn neighbours, the edges between the two of each pair left out.

        The graph is the one that is learnt from, in which a product without edges has none lent to it.
        """
        seeds, batch, places = self._seeds(query, product)
        around, sampler = self.encoder.surroundings, self.encoder.sampler
        exclude = around.between(places["query"], places["product"]) if len(places) == 2 else None
        if sampler is None:
            blocks = all_neighbours(around.graph, seeds, self.encoder.network.layers, exclude)
        else:
            blocks = list(sampler.sample(seeds, rng, exclude))
        return self._filled(batch, blocks, around.graph)

    def first(self, places: Tensor) -> Tensor:
        """Return the first vectors of places, (n, config.width) float32, on the places' device."""
        told = self.text_batch(places.cpu().numpy())
        return self.encoder.first(places, {name: tensor.to(places.device) for name, tensor in told.items()})

    def text_batch(self, places: np.ndarray) -> dict[str, Tensor]:
        """Return the texts of the nodes at places, named `text.<kind>.*`, with the places' rows; none without texts."""
        if self.texts is None:
            return {}
        node, nodes = self.surroundings.node(places), self.surroundings.nodes
        found: dict[str, Tensor] = {}
        for kind in self.surroundings.sides:
            if kind not in nodes.ids:
                continue
            number = node - nodes.first(kind)
            (there,) = np.nonzero((number >= 0) & (number < len(nodes.ids[kind])))
            asked = number[there]
            part = self.texts.batch(asked, None) if kind == "query" else self.texts.batch(None, asked)
            found |= {f"text.{kind}.{name}": tensor for name, tensor in part.items()}
            found[f"text.{kind}.rows"] = torch.from_numpy(there)
        return found

    def _seeds(
        self, query: Rows, product: Rows
    ) -> tuple[np.ndarray, dict[str, Tensor], dict[str, np.ndarray]]:
        """Return the different places of some pairs, each example's position among them, and its places by side."""
        sides = (("query", query), ("product", product))
        places = {
            side: self.surroundings.place(side, self.rows[side][rows])
            for side, rows in sides
            if rows is not None
        }
        seeds, position = np.unique(np.concatenate(list(places.values())), return_inverse=True)
        parts = np.split(position, np.cumsum([len(part) for part in places.values()])[:-1])
        batch = {side: torch.from_numpy(part) for side, part in zip(places, parts, strict=True)}
        return seeds, batch, places

    def _filled(self, batch: dict[str, Tensor], blocks: Sequence[Block], graph: Graph) -> Batch:
        return batch | pack(blocks, graph) | self.text_batch(blocks[0].inputs)


@attrs.frozen(eq=False)
class AskedTexts:
    """Texts made ready when they are asked for, and forgotten: for reading a few of many."""

    encoder: Encoder
    texts: Corpus

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return one side's texts as the encoder reads them."""
        rows = product if query is None else query
        assert rows is not None and (query is None or product is None)
        asked, place = np.unique(rows, return_inverse=True)
        queries, products = self.texts.queries, self.texts.products
        few = (
            Corpus(queries[asked], products.clear())
            if product is None
            else Corpus(queries.clear(), products[asked])
        )
        found = self.encoder.prepare(few)
        return found.batch(place, None) if product is None else found.batch(None, place)

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return 1 for every text, (n,) int64."""
        rows = product if query is None else query
        assert rows is not None
        return np.ones(len(rows), dtype=np.int64)


def nodes_of(data: FitData) -> Nodes:
    """Return the numbering of everything that may be asked about: the data set's, and the corpus's."""
    if data.nodes is not None:
        return data.nodes.joined(data.corpus.products["product_id"])
    further = [("product", data.corpus.products["product_id"])]
    kind = "query" if "text" in data.corpus.queries.columns else "product"
    further.append((kind, data.corpus.queries["query_id"]))
    return Nodes.of(data.dataset, *further)
