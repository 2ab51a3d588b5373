"""Tuples of an item, a query that matches it and one that does not: what the generator learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import KnownPairs
from prodmatch_core.data.corpus import Examples
from prodmatch_core.mining.miners import LexicalMiner
from prodmatch_core.mining.topk import Ragged

MOST = 4
"Tuples of one matching pair."
NEAR = 8
"Queries near a query that are looked at."
LIKE = 0.2
"Least likeness of a near query: cosine of words and character n-grams."
SAME = 0.9
"Queries more alike than this (cosine of words and character n-grams) are taken for the same."
HELD = 0.1
"Share of the items whose tuples are held out."


@attrs.frozen(eq=False)
class Tuples:
    """Rows of the corpus, one tuple an entry; (n,) int64 each."""

    product: np.ndarray
    query: np.ndarray
    mismatch: np.ndarray
    counts: Mapping[str, int] = attrs.field(factory=dict)
    "Where they are from: items that have both kinds of queries, tuples of judgements, tuples of near queries."

    def __len__(self) -> int:
        return len(self.product)

    def take(self, rows: np.ndarray) -> Self:
        """Return the tuples at `rows`."""
        return attrs.evolve(
            self, product=self.product[rows], query=self.query[rows], mismatch=self.mismatch[rows]
        )

    @classmethod
    def build(cls, data: FitData, wanted: int, rng: np.random.Generator) -> Self:
        """Return tuples of judged training pairs and, where they are fewer than `wanted`, of near queries.

        A near query is a training query that shares words or character n-grams with the matching one and is not judged
        with the item; some of them match all the same.
        """
        matching = np.isin(data.train.label, positive_classes(data.scheme))
        matches, others = data.train.take(matching), data.train.take(~matching)
        judged = _judged(matches, others, rng)
        items = int(judged["product"].n_unique())
        found = judged.select("product", "query", "mismatch").sample(
            min(wanted, judged.height), shuffle=True, seed=int(rng.integers(2**31))
        )
        near = 0
        if found.height < wanted:
            more = _near(matches, data, wanted - found.height, rng)
            near = more.height
            found = pl.concat([found, more])
        counts = {"items_with_both": items, "tuples_judged": found.height - near, "tuples_near": near}
        product, query, mismatch = (found[name].to_numpy() for name in ("product", "query", "mismatch"))
        return cls(product, query, mismatch, counts)

    def divided(self, rng: np.random.Generator) -> tuple[Self, Self]:
        """Return the tuples to learn from and those held out; no item is in both."""
        items = np.unique(self.product)
        held = rng.permutation(items)[: int(np.ceil(HELD * len(items)))] if len(items) > 1 else items[:0]
        out = np.isin(self.product, held)
        return self.take(np.flatnonzero(~out)), self.take(np.flatnonzero(out))


def _judged(matches: Examples, others: Examples, rng: np.random.Generator) -> pl.DataFrame:
    left = pl.DataFrame({"product": matches.product, "query": matches.query})
    right = pl.DataFrame(
        {"product": others.product, "mismatch": others.query, "key": rng.random(len(others))}
    )
    joined = left.join(right, on="product", how="inner").sort("product", "query", "key")
    return joined.filter(pl.int_range(pl.len()).over("product", "query") < MOST)


def _near(matches: Examples, data: FitData, wanted: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return at most `wanted` tuples whose mismatching query stands near the matching one."""
    rows = rng.permutation(len(matches))[:wanted]
    query, product = matches.query[rows], matches.product[rows]
    near = near_queries(data, np.unique(query), np.unique(data.train.query))
    offset = np.searchsorted(np.unique(query), query)
    mismatch = near[offset]  # (n, NEAR), -1 where there are fewer
    known = KnownPairs(data.train.concat(data.valid), data.corpus.products.height)
    fits = (mismatch >= 0) & ~known.known(
        np.maximum(mismatch, 0).ravel(), np.repeat(product, mismatch.shape[1])
    ).reshape(mismatch.shape)
    # The row's own draw among those that fit.
    keys = np.where(fits, rng.random(mismatch.shape), -1.0)
    best = keys.argmax(axis=1)
    there = keys.max(axis=1) >= 0
    chosen = mismatch[np.arange(len(rows)), best]
    return pl.DataFrame({"product": product[there], "query": query[there], "mismatch": chosen[there]})


def near_queries(data: FitData, queries: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return for each of `queries` the nearest of `among` that is not nearly the same, (n, NEAR) int64, -1 for none."""
    texts = data.corpus.query_texts()
    shelf = LexicalMiner(texts, texts).shelf(queries, among)
    own = np.searchsorted(among, queries)
    there = (own < len(among)) & (among[np.minimum(own, len(among) - 1)] == queries)
    excluded = Ragged.of(np.flatnonzero(there), own[there], len(queries))
    found = np.full((len(queries), NEAR), -1, dtype=np.int64)
    for rows, best in shelf.search(len(among), NEAR, excluded, 64 << 20, 1):
        near = (best.columns >= 0) & (best.scores < SAME) & (best.scores > LIKE)
        found[rows] = np.where(near, among[np.maximum(best.columns, 0)], -1)
    return found
