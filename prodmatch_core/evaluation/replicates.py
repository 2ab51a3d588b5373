"""Figures of many resamples, or of many random swaps of two systems, at once.

What is drawn or swapped is whole queries. A statistic of sums (`sums.OfSums`) then needs one matrix product for a block
of them; any other is evaluated under the weights of the rows, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from prodmatch_core.evaluation.evaluated import Evaluated, Measure
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.evaluation.sums import OfSums

Seed: TypeAlias = int | tuple[int, ...]
Figures: TypeAlias = Callable[[np.ndarray], np.ndarray]
"A block of draws (r, G) float64, or of swaps (r, G) bool, to (r,) figures."

_CELLS = 1 << 21
"Numbers of a block."


def draws(queries: int, replicates: int, seed: Seed) -> Iterator[np.ndarray]:
    """Yield blocks of resamples, (r, queries) float64: how often each query was drawn, as many as there are."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(queries, replicates):
        block = np.zeros((rows, queries))
        for drawn in block:
            if queries:
                picked = generator.integers(queries, size=queries)
                drawn[:] = np.bincount(picked, minlength=queries)
        yield block


def swaps(queries: int, replicates: int, seed: Seed) -> Iterator[np.ndarray]:
    """Yield blocks of swaps, (r, queries) bool: whether each query keeps the systems in their places."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(queries, replicates):
        yield generator.random((rows, queries)) < 0.5


def _blocks(queries: int, replicates: int) -> Iterator[int]:
    size = max(1, _CELLS // max(queries, 1))
    for done in range(0, replicates, size):
        yield min(size, replicates - done)


def drawn(measure: Measure, found: Evaluated | Retrieved) -> Figures:
    """Return a system's figure as a function of how often each query was drawn.

    Args:
        measure: what is measured.
        found: the system's answers.
    """
    statistic = measure(found)  # type: ignore[arg-type]
    base, groups = found.example_weights, found.groups
    if isinstance(statistic, OfSums):
        sums, figure = statistic.by_group(base, groups, found.n_groups), statistic.figure
        return lambda times: figure(times @ sums)
    return lambda times: np.array([statistic(base * row[groups]) for row in times], dtype=np.float64)


def swapped(measure: Measure, first: Evaluated | Retrieved, second: Evaluated | Retrieved) -> Figures:
    """Return the difference `first - second` as a function of the queries on which they keep their places.

    A measure that ranks the rows of all queries together and reads nothing but their order (ROC AUC, average precision)
    is worked out with both systems' scores spread evenly. Their own figures stay what they are; but where one system's
    scores run higher than the other's, a swap would mix two scales in one ranking, spoil it, and hide any difference.

    Args:
        measure: what is measured.
        first: the first system's answers.
        second: the second system's of the same task, on the same rows in the same order.
    """
    base, groups, count = first.example_weights, first.groups, first.n_groups
    one, other = measure(first), measure(second)  # type: ignore[arg-type]
    if isinstance(one, OfSums) and isinstance(other, OfSums):
        ours, theirs = (statistic.by_group(base, groups, count) for statistic in (one, other))
        figure = one.figure

        def of_sums(kept: np.ndarray) -> np.ndarray:
            # Sums of what is not negative, never a difference of sums: a class that is absent stays at 0 exactly.
            keep, turn = kept.astype(np.float64), (~kept).astype(np.float64)
            return figure(keep @ ours + turn @ theirs) - figure(turn @ ours + keep @ theirs)

        return of_sums
    # Both systems' rows one after the other: a swap is a choice of weights, and nothing is sorted again.
    first, second = _on_one_scale(measure, first, second)
    statistic = measure(first.beside(second))  # type: ignore[arg-type]

    def difference(kept: np.ndarray) -> float:
        rows = kept[groups]
        keep, turn = base * rows, base * ~rows
        return statistic(np.concatenate([keep, turn])) - statistic(np.concatenate([turn, keep]))

    # One swap after the other: the weights of all rows for a whole block of swaps would not fit.
    return lambda kept: np.array([difference(row) for row in kept], dtype=np.float64)


def _on_one_scale(
    measure: Measure, first: Evaluated | Retrieved, second: Evaluated | Retrieved
) -> tuple[Any, Any]:
    """Return both systems with scores spread evenly, where that leaves the measure of each what it is."""
    if not (isinstance(first, Evaluated) and isinstance(second, Evaluated)):
        return first, second
    spread = []
    for system in (first, second):
        even, weights = system.evenly_scored(), system.example_weights
        if not np.isclose(
            measure(even)(weights), measure(system)(weights), rtol=0, atol=1e-12, equal_nan=True
        ):
            return first, second  # it reads probabilities, so that their scale is part of what is compared
        spread.append(even)
    return spread[0], spread[1]


def per_query(measure: Measure, found: Evaluated | Retrieved) -> np.ndarray | None:
    """Return the measure on each query's rows alone, (G,) float64, NaN where undefined there.

    None for a measure that is no function of sums over rows: of an area under a curve over all queries, a query
    has no part.
    """
    statistic = measure(found)  # type: ignore[arg-type]
    if not isinstance(statistic, OfSums):
        return None
    return statistic.figure(statistic.by_group(found.example_weights, found.groups, found.n_groups))
