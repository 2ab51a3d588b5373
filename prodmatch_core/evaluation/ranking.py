"""Ranking measures: a value per query from the order of its products, averaged over queries by weight.

A measure here is a function of a `Ranked` (and of a cut-off k, for a family like `ndcg@k`) that returns a value per
query, NaN where the query holds nothing to find. `over_queries` makes a measure of predictions out of it.

**Ties.** The order of products with the same score is not the model's doing, so by default each value is its
expectation over all orders of the ties (McSherry & Najork, "Computing information retrieval performance measures
efficiently in the presence of tied scores", ECIR 2008). trec_eval breaks ties by product id instead; `ranked` has
both rules. Without ties the two agree.

**Queries with nothing to find.** As in trec_eval, a query without a relevant product (for nDCG: without any gain)
counts as 0. Where no weighted query has one the mean is NaN, not 0.

**Weights.** A query's weight is the mean weight of its rows; a row's weight never moves products within a
ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Measure, Statistic, mean_of
from prodmatch_core.evaluation.ranked import Ranked
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.evaluation.sums import OfSums, Term, ratios

PerQuery: TypeAlias = Callable[[Ranked], np.ndarray]
"What a ranking measure's factory is, its k bound: lists to (G,) float64, NaN where nothing can be found."

_CELLS = 1 << 18
"Numbers held at a time where blocks of different sizes are laid side by side."


def ndcg(ranked: Ranked, k: int | None = None) -> np.ndarray:
    """Return normalised discounted cumulative gain of the first k ranks, or of all, (G,).

    The gain is as it is (linear), the discount 1 / log2(1 + rank); the best is the k best judged products.
    """
    ideal = ranked.ideal
    longest = max(ranked.place.max(initial=-1), ideal.place.max(initial=-1)) + 1
    discount = 1 / np.log2(np.arange(longest) + 2.0)
    discount[longest if k is None else k :] = 0.0
    best = np.bincount(ideal.query, ideal.gain * discount[ideal.place], minlength=ranked.queries)
    return _over(_total(ranked, ranked.expected_gain * discount[ranked.place]), best)


def mrr(ranked: Ranked, k: int | None = None) -> np.ndarray:
    """Return the reciprocal rank of the first relevant product, 0 where it is not among the first k, (G,)."""
    values = np.zeros(ranked.queries)
    blocks = np.flatnonzero((ranked.relevant_in_block > 0) & (ranked.relevant_before == 0))
    query, start = ranked.query[ranked.first[blocks]], ranked.start[blocks]
    for part, none_before in _none_relevant(ranked, blocks):
        # The first relevant one is at place j of its block: none is before it, but one is within j + 1.
        rank = start[part, None] + np.arange(1, none_before.shape[1])
        chance = none_before[:, :-1] - none_before[:, 1:]
        values[query[part]] = np.where(rank <= (np.inf if k is None else k), chance / rank, 0.0).sum(axis=1)
    return _where_any(ranked, values)


def mean_average_precision(ranked: Ranked, k: int | None = None) -> np.ndarray:
    """Return average precision: precision at each relevant product's rank, over all relevant ones, (G,).

    With k, relevant products after rank k count as not found.
    """
    n, r = ranked.size[ranked.block], ranked.relevant_in_block[ranked.block]
    inside = ranked.place - ranked.start[ranked.block]
    # Given a relevant one at this place of its block, the other r - 1 lie anywhere among the other n - 1 places.
    found = ranked.relevant_before[ranked.block] + 1 + inside * (r - 1) / np.maximum(n - 1, 1)
    precision_here = ranked.expected_relevant * found / (ranked.place + 1)
    return _over(_total(ranked, precision_here, k), ranked.ideal.relevant)


def recall(ranked: Ranked, k: int) -> np.ndarray:
    """Return the share of a query's relevant products that are among its first k, (G,)."""
    return _over(_total(ranked, ranked.expected_relevant, k), ranked.ideal.relevant)


def precision(ranked: Ranked, k: int) -> np.ndarray:
    """Return the share of the first k places that hold a relevant product, (G,); a shorter list is not let off."""
    return _where_any(ranked, _total(ranked, ranked.expected_relevant, k) / k)


def hit_rate(ranked: Ranked, k: int) -> np.ndarray:
    """Return whether a relevant product is among the first k, (G,): success@k; with ties, the chance of it."""
    values = np.zeros(ranked.queries)
    found = (ranked.relevant_in_block > 0) & (ranked.relevant_before == 0) & (ranked.start < k)
    blocks = np.flatnonzero(found)
    query, room = ranked.query[ranked.first[blocks]], k - ranked.start[blocks]
    for part, none_before in _none_relevant(ranked, blocks):
        within = np.minimum(room[part], none_before.shape[1] - 1)
        values[query[part]] = 1 - none_before[np.arange(len(part)), within]
    return _where_any(ranked, values)


def over_queries(per_query: PerQuery) -> Measure:
    """Return the measure of predictions that averages a ranking measure over queries by weight."""

    def measure(evaluated: Evaluated | Retrieved) -> Statistic:
        values, query = per_query(evaluated.ranked), evaluated.queries
        # Shared out over a query's rows, so that the mean weight of a query needs no counting per replicate.
        share = (1.0 / np.bincount(query))[query]
        possible = ~np.isnan(values)[query] * share
        terms = (np.nan_to_num(values)[query] * share, share, possible)
        return OfSums(tuple(map(Term, terms)), mean)

    def mean(sums: np.ndarray) -> np.ndarray:
        total, weight, possible = sums.T
        return np.where((total > 0) | (possible > 0), ratios(total, weight), np.nan)

    return measure


def tie_share(evaluated: Evaluated) -> Statistic:
    """Share of rows whose score equals another row's of the same query."""
    return mean_of(evaluated.ranked.tied)


def _total(ranked: Ranked, contribution: np.ndarray, k: int | None = None) -> np.ndarray:
    """Return the sum of each query's contributions (of its first k places), (G,)."""
    query = ranked.query
    if k is not None:
        early = ranked.place < k
        query, contribution = query[early], contribution[early]
    return np.bincount(query, contribution, minlength=ranked.queries)


def _over(total: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.divide(total, best, out=np.full(len(best), np.nan), where=best > 0)


def _where_any(ranked: Ranked, values: np.ndarray) -> np.ndarray:
    return np.where(ranked.ideal.relevant > 0, values, np.nan)


def _none_relevant(ranked: Ranked, blocks: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for some of `blocks` at a time the chance that none of their first j rows is relevant.

    The chance of j is that of j - 1 times (n - r - (j - 1)) / (n - (j - 1)), for n rows of which r are relevant.

    Yields:
        Positions in `blocks` (p,), and chances (p, j_max + 1) float64 for j from 0; 0 beyond a block's end.
    """
    n, r = ranked.size[blocks], ranked.relevant_in_block[blocks]
    after_misses = n - r  # so many may come before the first relevant one
    order = np.argsort(after_misses, kind="stable")
    widths = after_misses[order].astype(np.int64) + 1
    start = 0
    while start < len(order):
        # Of about equal width, so that little is laid out in vain; a block wider than all cells comes alone.
        ahead = widths[start : start + max(1, _CELLS // widths[start])]
        cells = ahead * np.arange(1, len(ahead) + 1)
        stop = start + max(1, int(np.searchsorted(cells, _CELLS, side="right")))
        part = order[start:stop]
        j = np.arange(widths[stop - 1])
        rest = np.maximum(n[part, None] - j, 1)
        ratios = np.maximum(after_misses[part, None] - j, 0) / rest
        yield part, np.concatenate([np.ones((len(part), 1)), np.cumprod(ratios, axis=1)], axis=1)
        start = stop
