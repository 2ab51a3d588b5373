"""Drawing products for queries: of the query's locale, and never one the query is known to be judged with."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np
import polars as pl

from prodmatch_core.builtin.configs import NegativesConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import KnownPairs
from prodmatch_core.data.corpus import Examples

TRIES = 8
"Draws for one negative before it is given up; spent only where a query is judged with nearly everything."


@attrs.frozen(eq=False)
class ProductPool:
    """Products to draw from, by locale.

    Attributes:
        products: (n,) int64 rows of the corpus, grouped by locale.
        starts: (locales + 1,) int64; locale c's products are `products[starts[c]:starts[c + 1]]`.
    """

    products: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, products: np.ndarray, locale: np.ndarray, locales: int) -> ProductPool:
        """Make the pool of `products`; `locale` (n,) int64 is each one's."""
        order = np.argsort(locale, kind="stable")
        return cls(products[order], np.searchsorted(locale[order], np.arange(locales + 1)))

    def draw(self, locale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one product for each locale asked for, (n,) int64, -1 where the locale has none."""
        first, count = self.starts[locale], self.starts[locale + 1] - self.starts[locale]
        place = first + rng.integers(0, np.maximum(count, 1))
        drawn = np.full(len(locale), -1, dtype=np.int64)
        drawn[count > 0] = self.products[place[count > 0]]
        return drawn


@attrs.frozen(eq=False)
class NegativeDrawer:
    """Draws negatives for the matching examples of a batch; the two generators differ in the pool alone."""

    config: NegativesConfig
    positive: np.ndarray
    worst: int
    known: KnownPairs
    query_locale: np.ndarray
    product_locale: np.ndarray
    locales: int

    @classmethod
    def build(cls, config: NegativesConfig, data: FitData) -> Self:
        """Make a drawer that knows the labelled pairs of every split `data` shows."""
        from prodmatch_core.components.calibrator import positive_classes

        corpus = data.corpus
        queries = corpus.queries.height
        codes = pl.concat([corpus.queries["locale"], corpus.products["locale"]]).rank("dense").to_numpy()
        codes = codes.astype(np.int64) - 1
        return cls(
            config,
            positive_classes(data.scheme),
            len(data.scheme.labels) - 1,
            KnownPairs(data.train.concat(data.valid), corpus.products.height),
            codes[:queries],
            codes[queries:],
            int(codes.max(initial=-1)) + 1,
        )

    def pool(self, products: np.ndarray) -> ProductPool:
        """Return the pool of the given rows of the corpus."""
        return ProductPool.of(products, self.product_locale[products], self.locales)

    def propose(self, batch: Examples, pool: ProductPool, rng: np.random.Generator) -> Examples:
        """Return negatives for the matching examples of `batch`, each pair once."""
        matching = np.flatnonzero(np.isin(batch.label, self.positive))
        whole, part = divmod(self.config.per_positive, 1)
        counts = int(whole) + (rng.random(len(matching)) < part)
        rows = np.repeat(matching, counts)
        query = batch.query[rows]
        product = np.full(len(rows), -1, dtype=np.int64)
        left = np.arange(len(rows))
        for _ in range(TRIES):
            drawn = pool.draw(self.query_locale[query[left]], rng)
            fits = (drawn >= 0) & ~self.known.known(query[left], drawn)
            product[left[fits]] = drawn[fits]
            left = left[~fits]
        _, first = np.unique(query * len(self.product_locale) + product, return_index=True)
        chosen = np.sort(first[product[first] >= 0])
        return Examples(
            query[chosen],
            product[chosen],
            np.full(len(chosen), self.worst),
            batch.weight[rows[chosen]] * np.float32(self.config.weight),
        )
