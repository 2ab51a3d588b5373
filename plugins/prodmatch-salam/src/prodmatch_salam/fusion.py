"""`salam.fusion`: a text view and two node views of a pair, fused.

Choudhary, Rao, Subbian, Reddy, "Graph-based Multilingual Language Model", KDD 2022. A pair whose query or product the
graph does not know, or knows nothing of but the pair's own edge, is read without that view; its batch mates are not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Links, Prepared
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder, embed_all
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.graph.files import map_arrays
from prodmatch_core.graph.messages import unpack
from prodmatch_core.graph.surroundings import Surroundings
from prodmatch_core.writing import write_arrays, write_json
from prodmatch_salam import edges
from prodmatch_salam.attention import ViewAttention
from prodmatch_salam.configs import FusionConfig
from prodmatch_salam.features import Features, node_features
from prodmatch_salam.pairs import PairsInGraph

FEATURES, TOLD = "features.safetensors", "fusion.json"
SMALLEST_SPREAD = 1e-6


class FusionEncoder(Encoder):
    """A text encoder, a node encoder and the attention over their views of a pair.

    A batch holds the text encoder's own tensors, their names after `text.`, and what `PairsInGraph` says of the nodes.
    """

    mean: Tensor
    spread: Tensor
    usual: Tensor
    scatter: Tensor

    def __init__(
        self,
        config: FusionConfig,
        text: Encoder,
        network: NodeEncoder,
        surroundings: Surroundings,
        features: Features,
        kind: str,
    ) -> None:
        """Put the parts together.

        Args:
            config: the part's fields.
            text: the text view.
            network: the node views, for first vectors of size `config.node_width`.
            surroundings: the graph.
            features: of its nodes.
            kind: what the graph is made of: engagements, proxy or none.
        """
        super().__init__()
        self.config, self.kind = config, kind
        self.text, self.network = text, network
        self.surroundings, self.features = surroundings, features
        self.width = config.width
        self.token_budget = text.token_budget
        self.pairs = "pairs" in config.text.gives
        size = text.width if self.pairs else 4 * text.width
        told = self.strengths.shape[1] if config.strengths else 0
        sizes = [size, network.width + told, network.width + told]
        sizes += [2 * network.width] if config.compare else []
        self.fuse = ViewAttention(sizes, config.width, config.heads, config.dropout)
        self.register_buffer("usual", torch.zeros(told))
        self.register_buffer("scatter", torch.ones(told))
        # Averaged states have much in common; what tells nodes apart is how they differ from the average.
        self.register_buffer("mean", torch.zeros(features.width))
        self.register_buffer("spread", torch.ones(features.width))
        self.first = nn.Linear(features.width, config.node_width)
        relations = len(edges.asked_relations(surroundings.graph)) if config.links else 0
        self.link: nn.Linear | None = None
        if relations:
            self.link = nn.Linear(network.width, relations * network.width, bias=False)
            self.link_bias = nn.Parameter(torch.zeros(relations))
        self.sampler: Any = None
        self._known: tuple[tuple[int, ...], Tensor] | None = None

    @classmethod
    def build(cls, config: FusionConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make the graph, the text view, the nodes' features and the network over them."""
        text = config.text.spec.load().build(config.text.config, data, rng)
        kind = edges.kind_of(config, data)
        around = edges.surround(edges.edges_of(kind, config, data), data)
        frozen = _features_of(config, text, attrs.evolve(data, corpus=around.texts), rng)
        frozen.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        fields = getattr(frozen.config, "fields", ("title",))
        features = node_features(frozen, around.texts, fields, config.store)
        frozen.cpu()
        shape = GraphShape.of(around.graph, config.node_width)
        network = config.graph.spec.load().build(config.graph.config, shape, rng)
        made = cls(config, text, network, around, features, kind)
        if len(features.rows):
            table = features.take(np.arange(len(features.rows)))
            made.mean.copy_(torch.from_numpy(table.mean(axis=0)))
            made.spread.copy_(torch.from_numpy(table.std(axis=0)).clamp_min(SMALLEST_SPREAD))
            if config.strengths:
                logs = np.log1p(made.strengths)
                made.usual.copy_(torch.from_numpy(logs.mean(axis=0)))
                made.scatter.copy_(torch.from_numpy(logs.std(axis=0)).clamp_min(SMALLEST_SPREAD))
        if data.sampler is not None:
            made.sampler = data.sampler.spec.load().build(data.sampler.config, around.graph)
        return made

    @classmethod
    def load(cls, config: FusionConfig, folder: Path) -> Self:
        """Make the encoder from what `save_assets` wrote; graph and features are mapped into memory."""
        text = config.text.spec.load().load(config.text.config, folder / "text")
        network = config.graph.spec.load().load(config.graph.config, folder / "network")
        around = Surroundings.load(folder / "graph", two_sided=False)
        arrays, _ = map_arrays(folder / FEATURES)
        told = json.loads((folder / TOLD).read_text(encoding="utf-8"))
        return cls(config, text, network, around, Features.of(arrays["nodes"]), told["edges"])

    def save_assets(self, folder: Path) -> None:
        """Write the graph, its nodes' features, and what the nested parts need."""
        for name, part in (("text", self.text), ("network", self.network)):
            (folder / name).mkdir()
            part.save_assets(folder / name)
        (folder / "graph").mkdir()
        self.surroundings.save(folder / "graph")
        rows = np.arange(len(self.features.rows))
        write_arrays(folder / FEATURES, {"nodes": self.features.take(rows)})
        write_json(folder / TOLD, {"edges": self.kind, "setting": self.config.setting})

    def prepare(self, corpus: Corpus) -> Prepared:
        """Make the texts ready, and find each row's node."""
        return PairsInGraph.of(self, self.text.prepare(corpus), corpus)

    def forward(self, batch: Batch) -> Encoding:
        """Return `pair`, (batch, width) float32, and in training the links that were asked about."""
        start = "text."
        told = self.text({k.removeprefix(start): v for k, v in batch.items() if k.startswith(start)})
        text = told.pair if self.pairs else _siamese(told.query, told.product)
        assert text is not None
        drawn = "drawn.0.inputs" in batch
        table = self._read(batch, "drawn") if drawn else self.node_vectors()
        query, product = (_gather(table, batch[side]) for side in ("query", "product"))
        if "apart" in batch:
            alone = self._read(batch, "apart")
            row, half = batch["apart"], len(batch["apart"])
            query = query.index_copy(0, row, alone[:half].to(query.dtype))
            product = product.index_copy(0, row, alone[half:].to(product.dtype))
        views = [text, query, product]
        if self.config.strengths:
            views[1:] = [
                torch.cat([vector, (batch[f"{side}_strength"] - self.usual) / self.scatter], 1)
                for side, vector in (("query", query), ("product", product))
            ]
        there = [torch.ones_like(batch["query_there"]), batch["query_there"], batch["product_there"]]
        if self.config.compare:
            views.append(torch.cat([query * product, (query - product).abs()], dim=1))
            there.append(batch["query_there"] & batch["product_there"])
        read = ["text" in self.config.views, *["graph" in self.config.views] * (len(views) - 1)]
        shown = torch.tensor(read, device=text.device)
        pair = self.fuse(views, torch.stack(there, 1) & shown)
        return Encoding(pair=pair, links=self._links(batch, table) if drawn else None)

    @functools.cached_property
    def index(self) -> dict[str, dict[str, int]]:
        """Return the number of each node by kind and identifier."""
        nodes = self.surroundings.nodes
        return {
            kind: dict(
                zip(ids.to_list(), range(nodes.first(kind), nodes.first(kind) + len(ids)), strict=True)
            )
            for kind, ids in nodes.ids.items()
        }

    @functools.cached_property
    def strengths(self) -> np.ndarray:
        """Return how much of each relation nodes have, (nodes, 2 x relations) float32; see `edges.strengths`."""
        return edges.strengths(self.surroundings.graph)

    def node_vectors(self) -> Tensor:
        """Return the vectors of all nodes, (nodes, network.width) float32: computed once for the weights there are."""
        tensors = [*self.network.parameters(), *self.network.buffers(), *self.first.parameters()]
        tensors += [self.mean, self.spread]
        version = tuple(number for tensor in tensors for number in (id(tensor), tensor._version))
        if self._known is None or self._known[0] != version or self.training:
            device = self.first.weight.device
            if not self.surroundings.places:
                return torch.zeros((0, self.network.width), device=device)
            was = self.network.training
            self.network.eval()
            table = embed_all(self.network, self.surroundings.graph, self._first, device)
            self.network.train(was)
            self._known = (version, table)
        return self._known[1]

    def _read(self, batch: Mapping[str, Tensor], prefix: str) -> Tensor:
        """Return the vectors of the seeds of the blocks that a batch carries under a prefix."""
        return self.network(unpack(batch, prefix), self._vectors(batch[f"{prefix}.features"]))

    def _first(self, nodes: Tensor) -> Tensor:
        """Return the first vectors of nodes, (n, node_width) float32."""
        taken = torch.from_numpy(self.features.take(nodes.cpu().numpy()))
        return self._vectors(taken.to(self.first.weight.device))

    def _vectors(self, features: Tensor) -> Tensor:
        return self.first((features - self.mean) / self.spread)

    def _links(self, batch: Batch, table: Tensor) -> Links | None:
        if self.link is None or "link_query" not in batch:
            return None
        query, product = table[batch["link_query"]], table[batch["link_product"]]
        read = self.link(query).view(len(query), -1, self.network.width)
        logits = torch.einsum("nrd,nd->nr", read, product) + self.link_bias
        present = batch["link_present"]
        return Links(logits, present, torch.ones_like(present[:, 0]))


def _features_of(config: FusionConfig, text: Encoder, data: FitData, rng: np.random.Generator) -> Encoder:
    """Return the frozen encoder of the nodes' texts: the part named, or the text view's language model."""
    if config.features is not None:
        return config.features.spec.load().build(config.features.config, data, rng)
    from prodmatch_core.builtin.transformer import TransformerEncoder  # only here: its library takes seconds

    assert isinstance(text, TransformerEncoder)
    towers = attrs.evolve(text.config, mode="two_tower", overlap_flags=False)
    return TransformerEncoder(towers, text.model)


def _siamese(query: Tensor | None, product: Tensor | None) -> Tensor:
    assert query is not None and product is not None
    return torch.cat([query, product, (query - product).abs(), query * product], dim=-1)


def _gather(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a table, (n, width); zeros where the row is -1."""
    if not len(table):
        return table.new_zeros((len(rows), table.shape[1]))
    return torch.where((rows >= 0)[:, None], table[rows.clamp_min(0)], 0.0)
