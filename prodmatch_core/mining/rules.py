"""Who may be a negative of whom: products of the query's locale, not judged, of no judged title, by rank and score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.texts import normalised
from prodmatch_core.mining.lexical import LexicalIndex
from prodmatch_core.mining.topk import Best, Ragged, distinct_pairs


@attrs.frozen
class Rules:
    """Which of the products that score best for a query are taken; the fields of `core.mined_negatives` say more."""

    first: int = 1
    last: int = 50
    absolute_margin: float | None = None
    relative_margin: float | None = None
    min_score: float | None = None
    max_score: float | None = None
    distinct_titles: bool = True
    max_likeness: float = 1.0

    def bound(self, positive: np.ndarray) -> np.ndarray:
        """Return the highest score a negative may have, (n,) float32, given the match's: both margins must hold."""
        bound = np.full(len(positive), np.inf, dtype=np.float32)
        if self.absolute_margin is not None:
            bound = np.minimum(bound, positive - np.float32(self.absolute_margin))
        if self.relative_margin is not None:  # a share of the size, so that a score below 0 is lowered too
            bound = np.minimum(bound, positive - np.abs(positive) * np.float32(self.relative_margin))
        return bound


@attrs.define
class Counts:
    """What one mining did, in numbers."""

    queries: int = 0
    "Queries with a match: those that were mined for."
    repeated_titles: int = 0
    "Products not searched because an earlier one has their title."
    judged: int = 0
    "Pairs left out of the ranking: judged ones, and products of a judged product's title."
    considered: int = 0
    "Candidates of the ranks asked for."
    margin: int = 0
    "Of these, scored too near the match or above it."
    score: int = 0
    "Of the rest, outside the score bounds."
    guarded: int = 0
    "Of the rest, taken for the same product as a match."
    candidates: int = 0
    "What is left to take negatives from."
    without: int = 0
    "Queries left without any."
    wanted: int = 0
    "Negatives asked for in an epoch."
    found: int = 0
    "How many of them there are candidates for."


@attrs.frozen(eq=False)
class Mined:
    """Negatives found: arrays of one length, a query's together, best first."""

    query: np.ndarray
    "(n,) int64 row of the corpus."
    product: np.ndarray
    "(n,) int64 row of the corpus."
    rank: np.ndarray
    "(n,) int64, from 1, among the products the query is not judged with."
    score: np.ndarray
    "(n,) float32."
    positive: np.ndarray
    "(n,) int64 the query's lowest-scoring match: what margins are relative to."
    positive_score: np.ndarray
    "(n,) float32."


class Shelf(Protocol):
    """The products and queries of one locale, ready to be scored; both are named by their place in it."""

    def search(
        self, candidates: int, k: int, excluded: Ragged, memory: int, threads: int
    ) -> Iterator[tuple[slice, Best]]:
        """Yield the best `k` of the first `candidates` products for each query, in blocks of queries."""
        ...

    def scores(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the score of each pair, (n,) float32."""
        ...


class Miner(Protocol):
    """What ranks products for queries."""

    def shelf(self, queries: np.ndarray, products: np.ndarray) -> Shelf:
        """Make the given rows of the corpus ready."""
        ...


@attrs.frozen(eq=False)
class Catalogue:
    """A corpus, its matching pairs and all pairs that were judged."""

    corpus: Corpus
    query_locale: np.ndarray
    product_locale: np.ndarray
    title: np.ndarray
    "(products,) int64: equal where locale and normalised title are; a product without title is its own."
    first: np.ndarray
    "(titles,) int64 first product of each title."
    matches: tuple[np.ndarray, np.ndarray]
    "Queries and products of matching pairs, each once, by query."
    judged: tuple[np.ndarray, np.ndarray]
    _guards: dict[int, LexicalIndex] = attrs.field(factory=dict)

    @classmethod
    def of(cls, corpus: Corpus, matches: Examples, judged: Examples) -> Catalogue:
        """Make the catalogue; `judged` are the pairs of all splits that may be looked at, matches included."""
        queries, products = corpus.queries, corpus.products
        locale = (
            pl.concat([queries["locale"], products["locale"]]).rank("dense").cast(pl.Int64).to_numpy() - 1
        )
        titles = normalised(products["title"]).fill_null("")
        number = pl.Series(np.arange(products.height)).cast(pl.String)
        frame = pl.DataFrame(
            {
                "locale": products["locale"],
                "title": titles,
                "own": pl.select(pl.when(titles == "").then(number)).to_series(),
            }
        )
        _, first, title = np.unique(
            frame.select(pl.struct(pl.all()).rank("dense")).to_series().to_numpy(),
            return_index=True,
            return_inverse=True,
        )
        return cls(
            corpus,
            locale[: queries.height],
            locale[queries.height :],
            title.astype(np.int64),
            first,
            distinct_pairs(matches.query, matches.product),
            distinct_pairs(judged.query, judged.product),
        )

    def mine(
        self, miner: Miner, rules: Rules, counts: Counts, memory: int, threads: int = 1
    ) -> Iterator[Mined]:
        """Yield the candidates of each query that has a match, block by block; `counts` is added to."""
        for locale in np.unique(self.query_locale[self.matches[0]]):
            yield from self._locale(int(locale), miner, rules, counts, memory, threads)

    def _locale(
        self, locale: int, miner: Miner, rules: Rules, counts: Counts, memory: int, threads: int
    ) -> Iterator[Mined]:
        here = self.query_locale[self.matches[0]] == locale
        match_query, match_product = self.matches[0][here], self.matches[1][here]
        queries = np.unique(match_query)
        listed = np.flatnonzero(self.product_locale == locale)
        candidates = listed[self.first[self.title[listed]] == listed] if rules.distinct_titles else listed
        products = np.concatenate([candidates, np.setdiff1d(match_product, candidates)])
        place = np.full(len(self.title), -1, dtype=np.int64)
        place[products] = np.arange(len(products))
        shelf = miner.shelf(queries, products)

        row, column = np.searchsorted(queries, match_query), place[match_product]
        score = shelf.scores(row, column)
        starts = np.searchsorted(row, np.arange(len(queries) + 1))
        order = np.lexsort((match_product, score, row))  # a query's lowest-scoring match comes first
        weakest, lowest = match_product[order[starts[:-1]]], score[order[starts[:-1]]]
        bound = rules.bound(lowest)
        excluded = self._excluded(queries, candidates)
        guard = self._guard(locale, products) if rules.max_likeness < 1 else None
        counts.queries += len(queries)
        counts.repeated_titles += len(listed) - len(candidates)
        counts.judged += len(excluded.values)

        # Whoever ranks fewer products than `last` has no more to give.
        depth = min(rules.last, len(candidates))
        ranks = np.arange(1, depth + 1)
        for block, best in shelf.search(len(candidates), depth, excluded, memory, threads) if depth else ():
            left = (best.columns >= 0) & (ranks >= rules.first)
            counts.considered += int(left.sum())
            near = left & (best.scores > bound[block, None])
            left &= ~near
            out = np.zeros_like(left)
            if rules.min_score is not None:
                out |= left & (best.scores < np.float32(rules.min_score))
            if rules.max_score is not None:
                out |= left & (best.scores > np.float32(rules.max_score))
            left &= ~out
            rows, at = np.nonzero(left)
            if guard is not None:
                alike = _alike(
                    guard, best.columns[rows, at], column, starts, rows + block.start, rules.max_likeness
                )
                left[rows[alike], at[alike]] = False
                counts.guarded += int(alike.sum())
                rows, at = rows[~alike], at[~alike]
            counts.margin += int(near.sum())
            counts.score += int(out.sum())
            counts.candidates += len(rows)
            counts.without += int((~left.any(axis=1)).sum())
            mined = rows + block.start
            yield Mined(
                queries[mined],
                candidates[best.columns[rows, at]],
                ranks[at],
                best.scores[rows, at],
                weakest[mined],
                lowest[mined],
            )

    def _excluded(self, queries: np.ndarray, candidates: np.ndarray) -> Ragged:
        """Return the candidates of the titles each query is judged with, by place."""
        query, product = self.judged
        mine = np.isin(query, queries)
        row, title = np.searchsorted(queries, query[mine]), self.title[product[mine]]
        order = np.argsort(self.title[candidates], kind="stable")
        sorted_titles = self.title[candidates][order]
        begin, end = (np.searchsorted(sorted_titles, title, side=side) for side in ("left", "right"))
        rows, at = _expand(begin, end)
        return Ragged.of(row[rows], order[at], len(queries))

    def _guard(self, locale: int, products: np.ndarray) -> LexicalIndex:
        """Return the index of the titles of a locale's products; it is made once."""
        if locale not in self._guards:
            self._guards[locale] = LexicalIndex.of(
                self.corpus.products["title"].fill_null("").gather(products).to_list()
            )
        return self._guards[locale]


def _expand(begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of every range [begin, end), one after the other, and which range each is of."""
    size = end - begin
    which = np.repeat(np.arange(len(size)), size)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(size) - size - begin, size)


def _alike(
    guard: LexicalIndex,
    product: np.ndarray,
    match: np.ndarray,
    starts: np.ndarray,
    row: np.ndarray,
    most: float,
) -> np.ndarray:
    """Return whether each product is more alike than `most` to one of its query's matches, (n,) bool."""
    which, at = _expand(starts[row], starts[row + 1])
    alike = guard.cosines(guard.documents, product[which], match[at]) > np.float32(most)
    return np.bincount(which[alike], minlength=len(row)) > 0
