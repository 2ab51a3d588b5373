"""What ranking measures of given lists cannot tell of a search among all candidates: mean average precision at R."""

from __future__ import annotations

import numpy as np

from prodmatch_core.evaluation.evaluated import Statistic, mean_of
from prodmatch_core.evaluation.retrieved import Retrieved


def map_at_r(retrieved: Retrieved) -> Statistic:
    """Return mean average precision at R, R being a query's number of right candidates.

    (Musgrave, Belongie and Lim, arXiv 2003.08505, section 3.2.) Where fewer than R candidates were kept, those beyond
    count as wrong.
    """
    ranks = np.arange(1, retrieved.depth + 1)
    within = retrieved.hits & (ranks <= retrieved.relevant[:, None])
    precision = np.cumsum(within, axis=1) / ranks
    return mean_of((precision * within).sum(axis=1) / retrieved.relevant)
