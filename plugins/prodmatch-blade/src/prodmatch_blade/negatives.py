"""`blade.negatives`: products that do not follow, and edges turned round."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_blade.configs import BladeNegativesConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import KnownPairs, RowGenerator
from prodmatch_core.data.corpus import Examples


@attrs.frozen(eq=False)
class BladeNegatives(RowGenerator):
    """For every edge of a batch some products of a pool drawn for the batch, and the edge turned round."""

    config: BladeNegativesConfig
    known: KnownPairs
    cumulative: np.ndarray
    "(products,) float64 running sum of the chances to be drawn."
    worst: int
    turns: bool
    "Whether the query side holds products, so that an edge can be turned round."

    @classmethod
    def build(cls, config: BladeNegativesConfig, data: FitData) -> Self:
        """Make the generator; it knows the labelled pairs of every split `data` shows."""
        products = data.corpus.products.height
        matching = data.train.label == 0
        known_in = np.bincount(data.train.product[matching], minlength=products)
        chances = (1.0 + known_in) ** config.power
        return cls(
            config,
            KnownPairs(data.train.concat(data.valid), products),
            np.cumsum(chances / chances.sum()),
            len(data.scheme.labels) - 1,
            "text" not in data.corpus.queries.columns,
        )

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return the negatives of the batch's edges: each pair once, none of them known."""
        edges = np.flatnonzero(batch.label == 0)
        drawn = np.searchsorted(self.cumulative, rng.random(self.config.pool) * self.cumulative[-1])
        pool = np.unique(np.minimum(drawn, len(self.cumulative) - 1))
        rows = np.repeat(edges, min(self.config.count, len(pool)))
        # Weighing by how often the pool holds a product would need repetitions; a product that is likely is likelier
        # there.
        order = rng.random((len(edges), len(pool))).argsort(axis=1)[:, : self.config.count]
        product = pool[order.ravel()]
        query, weight = batch.query[rows], batch.weight[rows]
        if self.turns and self.config.reverse:
            query = np.concatenate([query, batch.product[edges]])
            product = np.concatenate([product, batch.query[edges]])
            weight = np.concatenate([weight, batch.weight[edges] * np.float32(self.config.reverse)])
        fits = ~self.known.known(query, product)
        if self.turns:
            fits &= query != product
        # A turned edge that was drawn as well keeps the weight it was turned with: the last of equal pairs counts.
        code = query * len(self.cumulative) + product
        last = len(code) - 1 - np.unique(code[::-1], return_index=True)[1]
        chosen = np.sort(last[fits[last]])
        return Examples(query[chosen], product[chosen], np.full(len(chosen), self.worst), weight[chosen])
