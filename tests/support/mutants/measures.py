from __future__ import annotations

from typing import Any

import numpy as np

from mutants.mutant import Mutant, mutant
from prodmatch_core.evaluation.evaluated import Evaluated, Statistic, mean_of, ratio
from prodmatch_core.records import MeasureSpec


def right(e: Evaluated) -> np.ndarray:
    return (e.decisions == e.labels).astype(np.float64)


def healthy(evaluated: Evaluated) -> Statistic:
    return mean_of(right(evaluated))


def backwards(evaluated: Evaluated) -> Statistic:
    """predictions without a fault have 1, those all wrong 0, and the record says that lower is better. Correct the
    measure or its direction.
    """
    return healthy(evaluated)


def modest(evaluated: Evaluated) -> Statistic:
    """predictions without a fault have 1, and the record's bounds say 2. Correct one of them."""
    return healthy(evaluated)


def wild(evaluated: Evaluated) -> Statistic:
    """worst predictions have 0, outside the record's bounds # to 1. Correct the measure or its bounds."""
    return healthy(evaluated)


def first_row(evaluated: Evaluated) -> Statistic:
    """the same rows in another order have # instead of #. Let no row's place decide."""
    return lambda weights: healthy(evaluated)(weights) + 0.125 * float(evaluated.matches[:1].sum())


def unweighted(evaluated: Evaluated) -> Statistic:
    """queries under weights have #, and so many times #. Use the weights the statistic is called with, for every row."""
    return lambda weights: healthy(evaluated)(np.ones(len(weights))) if weights.any() else float("nan")


def nought(evaluated: Evaluated) -> Statistic:
    """where every weight is 0 the value is 0. Return NaN, as `evaluated.ratio` does."""
    return lambda weights: ratio(weights @ right(evaluated), weights.sum() or 1.0)


def measure(check: str, factory: Any, **fields: Any) -> Mutant:
    return mutant(check, MeasureSpec, factory, **{"direction": "higher", "needs": {"classes"}, **fields})


HEALTHY = [measure("healthy", healthy, bounds=(0.0, 1.0))]
MUTANTS = [
    measure("direction_is_as_declared", backwards, direction="lower"),
    measure("perfect_is_the_bound", modest, bounds=(0.0, 2.0)),
    measure("stays_within_bounds", wild, bounds=(0.015625, 1.0)),
    measure("row_order_does_not_matter", first_row),
    measure("weights_count_rows", unweighted),
    measure("undefined_is_nan", nought),
]
