"""Random negatives: products from the whole catalogue, or from the rest of the batch."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np

from prodmatch_core.builtin.configs import InBatchNegativesConfig, RandomNegativesConfig
from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import KnownPairs, RowGenerator
from prodmatch_core.data.corpus import Examples

ATTEMPTS = 8
"How often a draw that hits a known pair is repeated before it is given up."


class _Drawn(RowGenerator):
    """Draws products for matching rows and keeps those that were never judged for the query."""

    def __init__(self, data: FitData, rate: float, weight: float) -> None:
        """Index what is known about the corpus."""
        self.rate = rate
        self.weight = weight
        self.worst = len(data.scheme.labels) - 1
        self.positive = positive_classes(data.scheme)
        self.known = KnownPairs(data.train.concat(data.valid), data.corpus.products.height)

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return `rate` negatives per matching row on average, fewer where hardly any product is unknown."""
        matching = np.flatnonzero(np.isin(batch.label, self.positive))
        whole, rest = divmod(self.rate, 1)
        times = int(whole) + (rng.random(len(matching)) < rest)
        query = np.repeat(batch.query[matching], times)
        product = np.empty_like(query)
        open_rows = np.arange(len(query))
        for _ in range(ATTEMPTS):
            product[open_rows] = self.draw(query[open_rows], batch, rng)
            open_rows = open_rows[self.known.known(query[open_rows], product[open_rows])]
            if not len(open_rows):
                break
        kept = np.setdiff1d(np.arange(len(query)), open_rows, assume_unique=True)
        return Examples(
            query[kept],
            product[kept],
            np.full(len(kept), self.worst, dtype=np.int64),
            np.full(len(kept), self.weight, dtype=np.float32),
        )

    @abstractmethod
    def draw(self, query: np.ndarray, batch: Examples, rng: np.random.Generator) -> np.ndarray:
        """Return one product row per query row."""


class RandomNegatives(_Drawn):
    """Products of the query's locale, drawn uniformly from the whole corpus."""

    def __init__(self, config: RandomNegativesConfig, data: FitData) -> None:
        """Sort the corpus by locale, so that a draw is an offset into the query's stretch."""
        super().__init__(data, config.per_match, config.weight)
        locales, product_locale = np.unique(data.corpus.products["locale"].to_numpy(), return_inverse=True)
        self.order = np.argsort(product_locale, kind="stable")
        counts = np.bincount(product_locale, minlength=len(locales))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        position = np.searchsorted(locales, data.corpus.queries["locale"].to_numpy())
        self.start, self.count = starts[position], counts[position]

    @classmethod
    def build(cls, config: RandomNegativesConfig, data: FitData) -> Self:
        """Make the generator for the corpus of `data`."""
        return cls(config, data)

    def draw(self, query: np.ndarray, batch: Examples, rng: np.random.Generator) -> np.ndarray:
        """Return products of each query's locale."""
        return self.order[self.start[query] + rng.integers(self.count[query])]


class InBatchNegatives(_Drawn):
    """Products of the batch's other rows: they cost no further encoding in a two-tower encoder's batch."""

    def __init__(self, config: InBatchNegativesConfig, data: FitData) -> None:
        """Hold rate and weight."""
        super().__init__(data, config.per_match, config.weight)

    @classmethod
    def build(cls, config: InBatchNegativesConfig, data: FitData) -> Self:
        """Make the generator for the corpus of `data`."""
        return cls(config, data)

    def draw(self, query: np.ndarray, batch: Examples, rng: np.random.Generator) -> np.ndarray:
        """Return products of the batch."""
        return batch.product[rng.integers(len(batch), size=len(query))]
