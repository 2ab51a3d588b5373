"""Ranking measures: a value per query from the order of P(match), averaged over queries by weight.

**Ties.** The order of products with the same score is not the model's doing, so each value is its expectation
over all orders of the ties (McSherry & Najork, "Computing information retrieval performance measures
efficiently in the presence of tied scores", ECIR 2008). trec_eval breaks ties by document id instead; without
ties the two agree. `tie_share` says how many rows it concerns.

**Queries that cannot be answered.** As in trec_eval and scikit-learn, a query without a match (for nDCG:
without any gain) counts as 0. Where no weighted query has one the measure is NaN.

**Weights.** A query's weight is the mean weight of its rows; a row's weight never moves products within a
ranking.
"""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of, ratio


def ndcg(evaluated: Evaluated) -> Statistic:
    """Normalised discounted cumulative gain over all ranks.

    The gain is the scheme's as it is (linear), the discount 1 / log2(1 + rank).
    """
    return _ndcg(evaluated, None)


def ndcg_at_10(evaluated: Evaluated) -> Statistic:
    """`ndcg` of the first ten ranks, against the best first ten."""
    return _ndcg(evaluated, 10)


def mrr(evaluated: Evaluated) -> Statistic:
    """Mean reciprocal rank of the first match."""
    ranked = _rank(evaluated)
    return _mean_over_queries(evaluated, _expected_reciprocal_rank(ranked), ranked.matches_of_query > 0)


def mean_average_precision(evaluated: Evaluated) -> Statistic:
    """Mean over queries of average precision (MAP): precision at each match's rank, averaged over matches."""
    ranked = _rank(evaluated)
    n = ranked.size[ranked.block]
    r = ranked.matches_in_block[ranked.block]
    inside = ranked.place - ranked.start[ranked.block]
    # Given a match at this place of its tie, the other r - 1 lie anywhere among the other n - 1 places.
    expected_matches = ranked.matches_before[ranked.block] + 1 + inside * (r - 1) / np.maximum(n - 1, 1)
    precision = r / n * expected_matches / (ranked.place + 1)
    values = _per_query(ranked, precision, ranked.matches_of_query)
    return _mean_over_queries(evaluated, values, ranked.matches_of_query > 0)


def recall_at_10(evaluated: Evaluated) -> Statistic:
    """Share of a query's matches among its first ten products."""
    ranked = _rank(evaluated)
    found = (ranked.matches_in_block / ranked.size)[ranked.block] * (ranked.place < 10)
    values = _per_query(ranked, found, ranked.matches_of_query)
    return _mean_over_queries(evaluated, values, ranked.matches_of_query > 0)


def tie_share(evaluated: Evaluated) -> Statistic:
    """Share of rows whose score equals another row's of the same query."""
    ranked = _rank(evaluated)
    tied = np.empty(len(ranked.order))
    tied[ranked.order] = ranked.size[ranked.block] > 1
    return mean_of(tied)


@attrs.frozen(eq=False)
class _Ranked:
    """Rows by query and descending score, cut into blocks of equal score (b of them)."""

    order: np.ndarray
    "(n,) rows by query, then descending score."
    query: np.ndarray
    "(n,) query of each row in that order."
    place: np.ndarray
    "(n,) 0-based place within the query."
    block: np.ndarray
    "(n,) block of each row in that order."
    start: np.ndarray
    "(b,) place of the block's first row."
    size: np.ndarray
    "(b,) rows of the block."
    matches_in_block: np.ndarray
    "(b,) matches in the block."
    matches_before: np.ndarray
    "(b,) matches in the blocks of the same query before it."
    matches_of_query: np.ndarray
    "(G,) matches of the query."


def _rank(evaluated: Evaluated) -> _Ranked:
    score = evaluated.score
    order = np.lexsort((-score, evaluated.groups))
    query, score = evaluated.groups[order], score[order]
    place = _place(query)
    first = np.append(True, np.diff(score) != 0)[: len(order)] | (place == 0)
    block = np.cumsum(first) - 1
    match = evaluated.matches[order].astype(np.float64)
    in_block = np.bincount(block, match)
    of_query = np.bincount(query, match)
    earlier_queries = np.append(0.0, np.cumsum(of_query))[query[first]]
    return _Ranked(
        order=order,
        query=query,
        place=place,
        block=block,
        start=place[first],
        size=np.bincount(block),
        matches_in_block=in_block,
        matches_before=np.cumsum(in_block) - in_block - earlier_queries,
        matches_of_query=of_query,
    )


def _place(query: np.ndarray) -> np.ndarray:
    rows = np.bincount(query)
    return np.arange(len(query)) - (np.cumsum(rows) - rows)[query]


def _ndcg(evaluated: Evaluated, cut: int | None) -> Statistic:
    ranked = _rank(evaluated)
    discount = 1 / np.log2(ranked.place + 2.0)
    if cut is not None:
        discount[ranked.place >= cut] = 0.0
    gain = np.asarray(evaluated.scheme.gains, dtype=np.float64)[evaluated.labels]
    mean_gain = np.bincount(ranked.block, gain[ranked.order]) / ranked.size
    ideal = gain[np.lexsort((-gain, evaluated.groups))]
    best = np.bincount(ranked.query, ideal * discount)
    values = _per_query(ranked, mean_gain[ranked.block] * discount, best)
    return _mean_over_queries(evaluated, values, best > 0)


def _expected_reciprocal_rank(ranked: _Ranked) -> np.ndarray:
    """Return per query the expectation of 1 / rank of the first match, (G,); 0 without a match."""
    values = np.zeros(len(ranked.matches_of_query))
    blocks = np.flatnonzero((ranked.matches_in_block > 0) & (ranked.matches_before == 0))
    query_of_block = ranked.query[np.append(True, np.diff(ranked.block) > 0)[: len(ranked.block)]]
    values[query_of_block[blocks]] = 1.0 / (ranked.start[blocks] + 1)
    for block in blocks[ranked.matches_in_block[blocks] < ranked.size[blocks]]:
        n, r = ranked.size[block], ranked.matches_in_block[block]
        skipped = np.arange(n - r + 1)
        # P(the first match comes after j others), by its ratio to that of j - 1.
        ratios = np.append(r / n, (n - skipped[1:] - r + 1) / (n - skipped[1:]))
        chance = np.cumprod(ratios)
        values[query_of_block[block]] = (chance / (ranked.start[block] + skipped + 1)).sum()
    return values


def _per_query(ranked: _Ranked, contribution: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the sum of each query's contributions over what is best for it, (G,); 0 where nothing is."""
    total = np.bincount(ranked.query, contribution)
    return np.divide(total, best, out=np.zeros(len(best)), where=best > 0)


def _mean_over_queries(evaluated: Evaluated, values: np.ndarray, answerable: np.ndarray) -> Statistic:
    # Shared out over a query's rows, so that the mean weight of a query needs no counting per replicate.
    share = 1.0 / np.bincount(evaluated.groups)[evaluated.groups]
    value = values[evaluated.groups] * share
    possible = answerable[evaluated.groups] * share

    def statistic(weights: np.ndarray) -> float:
        return ratio(weights @ value, weights @ share) if weights @ possible > 0 else float("nan")

    return statistic
