"""Who is worth having: the loss on held-out queries without each member, beside the loss with all."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.table import SMALLEST, Table
from prodmatch_ensemble.trees import held_out

CLEAR = 2.0
"Standard errors by query beyond which a difference is clear."


@attrs.frozen
class Worth:
    """What leaving a member out does.

    Attributes:
        name: the member.
        gain: log loss on held-out queries that the member saves, in nats a pair.
        error: standard error of the gain over queries.
    """

    name: str
    gain: float
    error: float

    @property
    def verdict(self) -> str:
        """Return `helps`, `unclear`, or `useless`: nothing is lost without it."""
        if self.gain <= 0:
            return "useless"
        return "helps" if self.gain > CLEAR * self.error else "unclear"


def worth_of_each(table: Table, config: TreesConfig, classes: int, seed: int) -> list[Worth]:
    """Return what each member is worth beside the others, in the table's order.

    Args:
        table: training pairs with members' out-of-fold probabilities, all labels known.
        config: how trees grow.
        classes: number of classes.
        seed: of the trees.
    """
    whole = _losses(table, held_out(table, config, classes, seed))
    names = table.sources[: table.members]
    found = []
    for name in names:
        others = [other for other in names if other != name]
        if not others:
            return [Worth(name, float("inf"), 0.0)]
        without = _losses(table, held_out(table.of(others), config, classes, seed))
        found.append(Worth(name, *_mean_by_query(without - whole, table.groups, table.weights)))
    return found


def _losses(table: Table, probabilities: np.ndarray) -> np.ndarray:
    chosen = probabilities[np.arange(len(table)), table.labels]
    return -np.log(np.maximum(chosen, SMALLEST))


def _mean_by_query(values: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the weighted mean, and its standard error where the rows of a query go together (ratio estimator)."""
    _, query = np.unique(groups, return_inverse=True)
    weight = np.bincount(query, weights)
    mean = float(np.average(values, weights=weights))
    apart = np.bincount(query, weights * values) - mean * weight
    count = len(weight)
    error = np.sqrt(count / max(count - 1, 1) * (apart**2).sum()) / weight.sum()
    return mean, float(error)


def shares(names: Sequence[str], importance: Sequence[float]) -> dict[str, float]:
    """Return each member's share of the members' importance."""
    whole = sum(importance) or 1.0
    return {name: value / whole for name, value in zip(names, importance, strict=True)}
