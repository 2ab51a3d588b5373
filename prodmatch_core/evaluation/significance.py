"""Intervals and tests by query: rows of a query are not independent, so whole queries are drawn or swapped.

A statistic is prepared once and evaluated under other weights, so nothing is sorted again for a replicate.
All randomness comes from the given seed: the same seed draws the same queries.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import attrs
import numpy as np

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Evaluated, Measure, Statistic
from prodmatch_core.evaluation.replicates import Seed, draws, swapped, swaps

_AT_ONCE = 16
"Swaps that are tried together, in one matrix product."

Key = TypeVar("Key", bound=Hashable)


class ByQuery(Protocol):
    """What a resample of queries needs to know of the rows; an `Evaluated` knows it."""

    @property
    def groups(self) -> np.ndarray:
        """Return the query number of each row, (n,) int64."""

    @property
    def example_weights(self) -> np.ndarray:
        """Return the weight of each row, (n,) float64."""

    @property
    def n_groups(self) -> int:
        """Return the number of queries."""


class PerQueryRows:
    """Rows that are queries, all of the same weight: for statistics of values per query."""

    def __init__(self, queries: int) -> None:
        self.n_groups = queries
        self.groups = np.arange(queries)
        self.example_weights = np.ones(queries)


@attrs.frozen
class Interval:
    """A value with its percentile bootstrap interval, NaN where it cannot be told."""

    value: float
    low: float
    high: float
    undefined: int = 0
    "Replicates without a value (a class was not drawn); the interval is of the others."


@attrs.frozen
class Difference:
    """How much a first system exceeds a second, its interval, and the two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    p: float


def bootstrap_weights(groups: np.ndarray, replicates: int, seed: Seed) -> Iterator[np.ndarray]:
    """Yield for each replicate how often each row's query was drawn, (n,) float64.

    As many queries as there are, drawn with replacement.

    Args:
        groups: (n,) int64 query number 0..G-1 of each row.
        replicates: how many to yield.
        seed: of the draws.
    """
    for block in draws(int(groups.max(initial=-1)) + 1, replicates, seed):
        for times in block:
            yield times[groups]


def intervals(
    statistics: Mapping[Key, Statistic],
    evaluated: ByQuery,
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
) -> dict[Key, Interval]:
    """Return value and percentile interval of every statistic, all from the same resamples of queries.

    The bounds are NaN with fewer than two queries, or where half of the replicates or more have no value.

    Args:
        statistics: name -> statistic prepared from `evaluated`.
        evaluated: gives the queries and the examples' weights.
        seed: of the draws.
        replicates: number of resamples; 0 gives the values alone.
        level: coverage, between 0 and 1.
    """

    def together(weights: np.ndarray) -> np.ndarray:
        return np.array([[statistic(row) for statistic in statistics.values()] for row in weights])

    found = joint_intervals(together, evaluated, seed=seed, replicates=replicates, level=level)
    return dict(zip(statistics, found, strict=True))


def joint_intervals(
    together: Callable[[np.ndarray], np.ndarray],
    evaluated: ByQuery,
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
    at_once: int = 1,
) -> list[Interval]:
    """Return `intervals` of figures that one function computes together, in its order.

    Args:
        together: (r, n) weights of r resamples to their (r, m) figures.
        evaluated: gives the queries and the examples' weights.
        seed: of the draws.
        replicates: number of resamples; 0 gives the values alone.
        level: coverage, between 0 and 1.
        at_once: resamples handed over together; a matrix product of several reads the values once.
    """
    base = evaluated.example_weights
    values = together(base[None])[0]
    resamples = bootstrap_weights(evaluated.groups, replicates, seed)
    parts = [together(base * np.stack(times)) for times in iter(lambda: list(islice(resamples, at_once)), [])]
    drawn = np.concatenate([np.empty((0, len(values))), *parts])
    limits = (bounds(column, level, evaluated.n_groups) for column in drawn.T)
    return [Interval(float(value), *bound) for value, bound in zip(values, limits, strict=True)]


def interval(
    statistic: Statistic, evaluated: ByQuery, *, seed: int, replicates: int = 1000, level: float = 0.95
) -> Interval:
    """Return value and percentile interval of one statistic; see `intervals`."""
    return intervals({"": statistic}, evaluated, seed=seed, replicates=replicates, level=level)[""]


def paired_bootstrap(
    first: Statistic,
    second: Statistic,
    evaluated: ByQuery,
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
) -> Difference:
    """Return `first - second` with its percentile interval, both systems on the same drawn queries.

    The p-value is the one dual to the interval: twice the smaller share of replicates on either side of 0,
    counting the observed data as one replicate (Davison & Hinkley 1997, section 4.4), so it is never 0.

    Args:
        first: statistic of the first system.
        second: the same measure of the second system, prepared from the same rows in the same order.
        evaluated: gives the queries and the examples' weights; either system's.
        seed: of the draws.
        replicates: number of resamples.
        level: coverage, between 0 and 1.
    """
    base = evaluated.example_weights
    resamples = bootstrap_weights(evaluated.groups, replicates, seed)
    drawn = np.array([first(w) - second(w) for w in (base * times for times in resamples)], dtype=np.float64)
    low, high, _ = bounds(drawn, level, evaluated.n_groups)
    defined = drawn[~np.isnan(drawn)]
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    p = float("nan") if np.isnan(low) else min(1.0, 2 * (smaller + 1) / (len(defined) + 1))
    return Difference(first(base) - second(base), low, high, p)


def paired_randomisation(
    measure: Measure, first: Evaluated, second: Evaluated, *, seed: int, replicates: int = 1000
) -> float:
    """Return the two-sided p-value of two systems being alike, by swapping them query by query.

    Fisher's randomisation test (Smucker, Allan & Carterette, CIKM 2007), for measures that are no means over
    queries (F1, average precision) too: the measure of the swapped systems is worked out anew (`replicates.swapped`).

    Args:
        measure: what to compare by.
        first: the first system.
        second: the second system, on the same rows in the same order.
        seed: of the swaps.
        replicates: number of random swaps.

    Raises:
        DataError: the two were not evaluated on the same rows.
    """
    _check_same_rows(first, second)
    difference = swapped(measure, first, second)
    observed = difference(np.ones((1, first.n_groups), dtype=bool))
    tried = [difference(kept) for kept in swaps(first.n_groups, replicates, seed)]
    return swap_p(float(observed[0]), np.concatenate([np.empty(0), *tried]))


def swap_p(observed: float, tried: np.ndarray) -> float:
    """Return the share of random swaps whose difference is as far from 0 as the one observed, itself among them.

    Args:
        observed: the difference as it is.
        tried: (r,) float64, the difference under each swap; NaN, a swap without a value, is left out.

    Returns:
        The two-sided p-value, never 0; NaN where nothing was observed or tried.
    """
    tried = tried[~np.isnan(tried)]
    if np.isnan(observed) or not len(tried):
        return float("nan")
    # Sums in another order differ in the last bits; such a difference is the observed one.
    as_extreme = int((np.abs(tried) >= abs(observed) - 1e-12).sum())
    return (as_extreme + 1) / (len(tried) + 1)


def paired_sign_flips(differences: np.ndarray, *, seed: int, replicates: int = 1000) -> np.ndarray:
    """Return the p-values of `paired_randomisation` for means over queries, from their differences per query.

    To swap the systems on a query is to turn the sign of its differences: the same test, with the same draws, in a
    fraction of the time.

    Args:
        differences: (G, m) float64, first system less second, a row per query and a column per measure.
        seed: of the swaps.
        replicates: number of random swaps.

    Returns:
        (m,) float64; NaN without a query.
    """
    queries, measures = differences.shape
    if not queries:
        return np.full(measures, np.nan)
    total = differences.sum(axis=0)
    generator = np.random.default_rng(seed)
    as_extreme = np.zeros(measures)
    for done in range(0, replicates, _AT_ONCE):
        swaps = generator.random((min(_AT_ONCE, replicates - done), queries))
        drawn = 2 * (np.less(swaps, 0.5, out=swaps) @ differences) - total
        # As there, what differs in the last bits of the mean is the observed difference itself.
        as_extreme += (np.abs(drawn) >= np.abs(total) - 1e-12 * queries).sum(axis=0)
    return (as_extreme + 1) / (replicates + 1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted for having made several comparisons (Holm 1979), (m,) float64, in order.

    Holds the chance of any false finding. NaN, a comparison that could not be made, stays NaN and is not
    counted.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    stepped = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def bounds(drawn: np.ndarray, level: float, queries: int) -> tuple[float, float, int]:
    """Return the percentile bounds of a figure's resamples, and how many of these have no value.

    Args:
        drawn: (r,) float64, NaN where a resample has no value.
        level: coverage, between 0 and 1.
        queries: how many queries were resampled; with fewer than two the bounds are NaN.
    """
    defined = drawn[~np.isnan(drawn)]
    undefined = len(drawn) - len(defined)
    if queries < 2 or len(defined) <= len(drawn) / 2:
        return float("nan"), float("nan"), undefined
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), undefined


def _check_same_rows(first: Evaluated, second: Evaluated) -> None:
    for name in ("labels", "groups", "example_weights"):
        a, b = getattr(first, name), getattr(second, name)
        if not np.array_equal(a, b):
            raise DataError(
                f"paired comparison: the two systems' {name.replace('_', ' ')} differ ({len(a)} and {len(b)} "
                "rows). Evaluate both on the same rows in the same order."
            )
    if first.scheme != second.scheme:
        raise DataError(
            f"paired comparison: label scheme {first.scheme.name} and {second.scheme.name} differ. "
            "Evaluate both with one scheme."
        )
