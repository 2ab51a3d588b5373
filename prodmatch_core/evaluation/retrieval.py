"""Measures of retrieval among all candidates: hit rate, reciprocal rank, mean average precision at R.

Each query has one value, so a measure is a weighted mean over queries; it is prepared once and is then a product.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from prodmatch_core.evaluation.evaluated import Statistic
from prodmatch_core.evaluation.retrieved import Retrieved


def hit_rate(retrieved: Retrieved, k: int) -> Statistic:
    """Return the share of queries with a right candidate among the first `k`.

    Metric learning calls it recall@k, recommendation HitRate@k.
    """
    return _mean(np.asarray(retrieved.hits[:, :k].any(axis=1), dtype=np.float64))


def mrr(retrieved: Retrieved, k: int) -> Statistic:
    """Return the mean reciprocal rank of the first right candidate, 0 where it comes after rank `k`."""
    hits = retrieved.hits[:, :k]
    first = hits.argmax(axis=1) + 1
    return _mean(np.where(hits.any(axis=1), 1 / first, 0.0))


def map_at_r(retrieved: Retrieved) -> Statistic:
    """Return mean average precision at R, R being a query's number of right candidates.

    (Musgrave, Belongie and Lim, arXiv 2003.08505, section 3.2.) Where fewer than R candidates were kept, those beyond
    count as wrong.
    """
    ranks = np.arange(1, retrieved.depth + 1)
    within = retrieved.hits & (ranks <= retrieved.relevant[:, None])
    precision = np.cumsum(within, axis=1) / ranks
    return _mean((precision * within).sum(axis=1) / retrieved.relevant)


hit_rate_at_1, hit_rate_at_5, hit_rate_at_10, hit_rate_at_20 = (
    partial(hit_rate, k=k) for k in (1, 5, 10, 20)
)
mrr_at_5, mrr_at_10, mrr_at_20 = (partial(mrr, k=k) for k in (5, 10, 20))


def _mean(values: np.ndarray) -> Statistic:
    def statistic(weights: np.ndarray) -> float:
        total = weights.sum()
        return float(weights @ values / total) if total > 0 else float("nan")

    return statistic
