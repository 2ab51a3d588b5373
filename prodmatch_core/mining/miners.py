"""The two kinds of miners: shared words and n-grams, and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from prodmatch_core.components.negatives import Embed
from prodmatch_core.mining import topk
from prodmatch_core.mining.lexical import Bags, LexicalIndex
from prodmatch_core.mining.topk import Best, Ragged


@attrs.frozen(eq=False)
class LexicalMiner:
    """Ranks products by the words and character n-grams they share with a query."""

    queries: Sequence[str]
    products: Sequence[str]

    def shelf(self, queries: np.ndarray, products: np.ndarray) -> LexicalShelf:
        """Index the given rows."""
        index = LexicalIndex.of([self.products[row] for row in products])
        return LexicalShelf(index, index.bags([self.queries[row] for row in queries]))


@attrs.frozen(eq=False)
class LexicalShelf:
    """Queries and products in the terms of one index."""

    index: LexicalIndex
    queries: Bags

    def search(
        self, candidates: int, k: int, excluded: Ragged, memory: int, threads: int
    ) -> Iterator[tuple[slice, Best]]:
        """Yield the best `k` of the first `candidates` products for each query, in blocks of queries."""
        return self.index.search(self.queries, candidates, k, excluded, memory, threads)

    def scores(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the cosine of each pair's weighted n-grams, (n,) float32."""
        return self.index.cosines(self.queries, query, product)


@attrs.frozen(eq=False)
class VectorMiner:
    """Ranks products by the cosine of an encoder's vectors."""

    embed: Embed
    index: str = "exact"

    def shelf(self, queries: np.ndarray, products: np.ndarray) -> VectorShelf:
        """Encode the given rows."""
        return VectorShelf(self.embed.queries(queries), self.embed.products(products), self.index)


@attrs.frozen(eq=False)
class VectorShelf:
    """Vectors of queries and products, (n, width) float32 of length 1."""

    queries: np.ndarray
    products: np.ndarray
    index: str

    def search(
        self, candidates: int, k: int, excluded: Ragged, memory: int, threads: int
    ) -> Iterator[tuple[slice, Best]]:
        """Yield the best `k` of the first `candidates` products for each query, in blocks of queries."""
        products = self.products[:candidates]
        if self.index == "exact":
            return topk.search(self.queries, products, k, excluded, memory, threads)
        from prodmatch_core.mining import approximate

        return approximate.search(self.queries, products, k, excluded, memory, self.index)

    def scores(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the cosine of each pair, (n,) float32."""
        result = np.empty(len(query), dtype=np.float32)
        for part in topk.blocks(len(query), 1 << 14):
            np.einsum("nw,nw->n", self.queries[query[part]], self.products[product[part]], out=result[part])
        return result
