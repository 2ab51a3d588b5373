"""`core.random_negatives`: products from the whole corpus, drawn evenly."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import NegativesConfig
from prodmatch_core.builtin.product_pool import NegativeDrawer, ProductPool
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import RowGenerator
from prodmatch_core.data.corpus import Examples


@attrs.frozen(eq=False)
class RandomNegatives(RowGenerator):
    """Pairs the queries of matching examples with products of their locale that they are not judged with."""

    drawer: NegativeDrawer
    products: ProductPool

    @classmethod
    def build(cls, config: NegativesConfig, data: FitData) -> Self:
        """Make the generator; it knows the labelled pairs of every split `data` shows."""
        drawer = NegativeDrawer.build(config, data)
        return cls(drawer, drawer.pool(np.arange(data.corpus.products.height)))

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return negatives for the matching examples of `batch`, each pair once."""
        return self.drawer.propose(batch, self.products, rng)
