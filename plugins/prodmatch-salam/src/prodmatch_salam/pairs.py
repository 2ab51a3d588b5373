"""Pairs of a corpus with their places in a graph: what a batch of a fusion encoder holds beside texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.components.encoder import Batch, Prepared, Rows
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.graph.messages import all_neighbours, pack
from prodmatch_salam.apart import pair_blocks
from prodmatch_salam.edges import relations_between, strengths_between

if TYPE_CHECKING:
    from prodmatch_salam.fusion import FusionEncoder

FEW = 1024
"Rows of a corpus up to which nodes are looked up one by one."


@attrs.frozen(eq=False)
class PairsInGraph:
    """A corpus with the node of each row, -1 where the graph has none."""

    encoder: FusionEncoder
    texts: Prepared
    query: np.ndarray
    "(queries,) int64 node."
    product: np.ndarray
    "(products,) int64 node."

    @classmethod
    def of(cls, encoder: FusionEncoder, texts: Prepared, corpus: Corpus) -> PairsInGraph:
        """Find the nodes of a corpus by its identifiers: one by one where they are few, else by a join."""
        if max(corpus.queries.height, corpus.products.height) > FEW:
            found = encoder.surroundings.of_corpus(corpus)
            return cls(encoder, texts, found["query"], found["product"])
        sides = (("query", corpus.queries["query_id"]), ("product", corpus.products["product_id"]))
        index = encoder.index
        rows = [[index[kind].get(name, -1) for name in ids] for kind, ids in sides]
        return cls(encoder, texts, *(np.array(found, dtype=np.int64) for found in rows))

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the text view's tokens of each pair, (n,) int64."""
        return self.texts.lengths(query, product)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return the pairs with their nodes in the table of all nodes' vectors.

        Returns:
            Beside `text.*`: `query` and `product` (n,) int64 node or -1; `query_there` and `product_there` (n,) bool,
            whether the node has a neighbour but the other of the pair; `query_strength` and `product_strength` (n, 2 x
            relations) float32, if the encoder reads them. Where some pairs have an edge between their
            nodes, `apart` (m,) int64 says which, and `apart.*` are blocks with these pairs' own neighbourhoods, as
            `apart.pair_blocks` lays them out.
        """
        assert query is not None and product is not None
        q, p = self.query[query], self.product[product]
        batch = self._texts(query, product)
        graph = self.encoder.surroundings.graph
        q_there, p_there = has_edges(graph, q), has_edges(graph, p)
        between = (strengths_between(graph, q, p), strengths_between(graph, p, q))
        own = np.flatnonzero(np.any([strength.any(axis=1) for strength in between], axis=0))
        if len(own):
            blocks = pair_blocks(graph, q[own], p[own], self.encoder.network.layers)
            read = np.bincount(blocks[-1].target, minlength=2 * len(own)) > 0
            q_there[own], p_there[own] = read[: len(own)], read[len(own) :]
            batch |= self._packed(blocks, "apart") | {"apart": torch.from_numpy(own)}
        return batch | _places(q, p, q_there, p_there) | self._strengths(q, p, between)

    def draw(self, query: Rows, product: Rows, rng: np.random.Generator) -> Batch:
        """Return the pairs with drawn neighbours, without the edges that are asked about.

        Returns:
            As `batch`, but `query` and `product` are positions among the seeds of the blocks `drawn.*`. With links,
            `link_query` and `link_product` (l,) int64 positions and `link_present` (l, relations) float32: the pairs;
            for each, `config.links` edges of its query; and as many pairs of its query with any product of the graph.
            No edge within any of them is among the drawn ones.
        """
        assert query is not None and product is not None
        encoder, graph = self.encoder, self.encoder.surroundings.graph
        q, p = self.query[query], self.product[product]
        batch = self._texts(query, product)
        asked = [p, *self._linked(q, rng), *self._corrupted(len(q), rng)]
        link_q, link_p = np.tile(q, len(asked)), np.concatenate(asked)
        known = (link_q >= 0) & (link_p >= 0)
        link_q, link_p = link_q[known], link_p[known]
        seeds = np.unique(np.concatenate([q, p, link_q, link_p]))
        seeds = seeds[seeds >= 0]
        if not len(seeds):
            nowhere = np.full(len(q), -1)
            nothing = self._strengths(nowhere, nowhere, (strengths_between(graph, nowhere, nowhere),) * 2)
            return batch | _places(nowhere, nowhere, nowhere > 0, nowhere > 0) | nothing
        exclude = encoder.surroundings.between(link_q, link_p)
        if encoder.sampler is None:
            blocks: Sequence[Block] = all_neighbours(graph, seeds, encoder.network.layers, exclude)
        else:
            blocks = encoder.sampler.sample(seeds, rng, exclude)
        read = np.append(np.bincount(blocks[-1].target, minlength=len(seeds)) > 0, False)
        at_q, at_p = _positions(seeds, q), _positions(seeds, p)
        batch |= self._packed(blocks, "drawn") | _places(at_q, at_p, read[at_q], read[at_p])
        batch |= self._strengths(q, p, (strengths_between(graph, q, p), strengths_between(graph, p, q)))
        if encoder.link is not None and len(link_q):
            batch["link_query"] = torch.from_numpy(_positions(seeds, link_q))
            batch["link_product"] = torch.from_numpy(_positions(seeds, link_p))
            batch["link_present"] = torch.from_numpy(relations_between(graph, link_q, link_p))
        return batch

    def _linked(self, query: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield `config.links` times a product that shoppers of each query engaged with, (n,) int64; -1 for none."""
        graph, (first, end) = self.encoder.surroundings.graph, self._products()
        there = has_edges(graph, query)
        start = graph.offsets[np.where(there, query, 0)]
        count = np.where(there, graph.offsets[np.where(there, query, 0) + 1] - start, 1)
        for _ in range(self.encoder.config.links if graph.edges else 0):
            edge = start + (rng.random(len(query)) * count).astype(np.int64)
            product = graph.targets[np.minimum(edge, graph.edges - 1)]
            yield np.where(there & (product >= first) & (product < end), product, -1)

    def _corrupted(self, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield `config.links` times (count,) products of the graph, each as likely as any other.

        One that the query does have an edge to is no wrong answer: what holds is looked up for every pair asked about.
        """
        first, end = self._products()
        for _ in range(self.encoder.config.links if end > first else 0):
            yield rng.integers(first, end, count)

    def _products(self) -> tuple[int, int]:
        """Return the first product's node and the one behind the last's."""
        nodes = self.encoder.surroundings.nodes
        return nodes.first("product"), nodes.first("product") + len(nodes.ids["product"])

    def _texts(self, query: np.ndarray, product: np.ndarray) -> dict[str, Tensor]:
        return {f"text.{name}": tensor for name, tensor in self.texts.batch(query, product).items()}

    def _strengths(
        self, query: np.ndarray, product: np.ndarray, between: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, Tensor]:
        """Return the logarithms of the nodes' strengths without those between the pair, (n, 2 x relations) float32."""
        if not self.encoder.config.strengths:
            return {}
        batch = {}
        for side, nodes, own in zip(("query", "product"), (query, product), between, strict=True):
            whole = np.zeros_like(own)
            whole[nodes >= 0] = self.encoder.strengths[nodes[nodes >= 0]]
            batch[f"{side}_strength"] = torch.from_numpy(np.log1p(np.maximum(whole - own, 0)))
        return batch

    def _packed(self, blocks: Sequence[Block], prefix: str) -> dict[str, Tensor]:
        features = torch.from_numpy(self.encoder.features.take(blocks[0].inputs))
        return {**pack(blocks, self.encoder.surroundings.graph, prefix), f"{prefix}.features": features}


def has_edges(graph: Graph, nodes: np.ndarray) -> np.ndarray:
    """Return whether nodes have neighbours, (n,) bool; -1, which is no node, has none."""
    if not graph.nodes:
        return np.zeros(len(nodes), dtype=bool)
    there = np.maximum(nodes, 0)
    return (nodes >= 0) & (graph.offsets[there + 1] > graph.offsets[there])


def _positions(seeds: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return where nodes are among ascending seeds, (n,) int64, -1 for -1."""
    return np.where(nodes >= 0, np.searchsorted(seeds, nodes), -1)


def _places(
    query: np.ndarray, product: np.ndarray, query_there: np.ndarray, product_there: np.ndarray
) -> dict[str, Tensor]:
    return {
        "query": torch.from_numpy(query),
        "product": torch.from_numpy(product),
        "query_there": torch.from_numpy(query_there),
        "product_there": torch.from_numpy(product_there),
    }
