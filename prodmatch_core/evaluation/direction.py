"""Which way edges go: whether a model scores an edge above the same edge turned round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from prodmatch_core.data.corpus import Examples
    from prodmatch_core.evaluation.search import Search


@attrs.frozen(eq=False)
class OneWay:
    """The hidden edges of a split that no edge, known or hidden, turns round.

    Attributes:
        query: (n,) int64 query of the search that each starts from.
        target: (n,) int64 product it leads to.
    """

    query: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, split: Examples, known: Examples, search: Search, products: int) -> OneWay:
        """Return those of a split's examples."""
        every = known.concat(split)
        alone = ~np.isin(split.product * products + split.query, every.query * products + every.product)
        sources = search.reads[0][1]
        return cls(np.searchsorted(sources, split.query[alone]), split.product[alone])


def direction_auc(there: np.ndarray, back: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the chance that an edge's score is above that of an edge turned round, ties counting half.

    The area under the ROC curve of edges against the same edges turned round. A score that knows no direction has
    exactly one half.

    Args:
        there: (n,) scores of edges that are not known to go back.
        back: (n,) scores of the same edges turned round.
        weights: (n,) of the edges; None = ones.
    """
    n = len(there)
    if not n:
        return float("nan")
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    values = np.concatenate([there, back])
    _, rank = np.unique(values, return_inverse=True)
    up = np.bincount(rank[:n], weight, minlength=int(rank.max()) + 1)
    down = np.bincount(rank[n:], weight, minlength=int(rank.max()) + 1)
    below = np.cumsum(down) - down
    total = weight.sum() ** 2
    return float((up * (below + down / 2)).sum() / total) if total else float("nan")
