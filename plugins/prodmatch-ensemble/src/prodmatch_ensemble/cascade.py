"""Cascades: cheap members answer where they are sure, the others are asked for the rest.

As a chain of classifiers, each of which passes on what it is not sure of (Viola and Jones, CVPR 2001, section 4).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Cost
from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.figures import macro_f1
from prodmatch_ensemble.table import Table
from prodmatch_ensemble.trees import Trees, held_out

GRID = 200
"Thresholds that are tried for each set of cheap members."
BLOCKS = 50
"Blocks of queries; each is left out once to tell how far a loss can be trusted."


@attrs.frozen(eq=False)
class Cascade:
    """The first step of an answer.

    Attributes:
        members: the cheap members.
        threshold: a pair whose likeliest class has at least this probability is not passed on.
        trees: over the cheap members and the side columns.
        figures: what was expected on held-out training queries: `answered`, the share that is not passed on;
            `ms`, milliseconds a pair; `ms_of_all` without the cascade; `lost`, macro F1; `error`, its standard error.
    """

    members: tuple[str, ...]
    threshold: float
    trees: Trees
    figures: Mapping[str, float]

    def sure(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which pairs the cheap members answer alone, (n,) bool."""
        return probabilities.max(axis=1, initial=0.0) >= self.threshold

    def save(self, folder: Path) -> None:
        """Write the cheap trees and where they stop."""
        self.trees.save(folder, "cheap")
        state = {"members": list(self.members), "threshold": self.threshold, "figures": dict(self.figures)}
        (folder / "cascade.json").write_text(json.dumps(state))

    @classmethod
    def load(cls, folder: Path) -> Cascade | None:
        """Read what `save` wrote, None where there is none."""
        path = folder / "cascade.json"
        if not path.exists():
            return None
        state: Mapping[str, Any] = json.loads(path.read_text())
        return cls(tuple(state["members"]), state["threshold"], Trees.load(folder, "cheap"), state["figures"])


def learn(
    table: Table, config: TreesConfig, classes: int, seed: int, costs: Sequence[Cost]
) -> Cascade | None:
    """Return the cheapest cascade whose loss is at most `config.cascade` macro F1 on held-out training queries.

    Hundreds are tried, and the cheapest of those that seem good enough is one that was lucky: the loss and its standard
    error together must be within what is allowed. Members join the cheap ones in the order of their median cost. None
    where no cascade is cheaper than asking all.

    Args:
        table: training pairs with the columns of the members that are read.
        config: the loss allowed, and how trees grow.
        classes: number of classes.
        seed: of the trees.
        costs: of each member, in the table's order.
    """
    names = table.sources[: table.members]
    price = {name: cost.p50_ms for name, cost in zip(names, costs, strict=True)}
    order = sorted(names, key=price.__getitem__)
    whole_cost = sum(price.values())
    whole = held_out(table, config, classes, seed)
    blocks = np.unique(table.groups, return_inverse=True)[1] % BLOCKS
    counted = counts(whole, table, blocks)
    best: tuple[float, tuple[str, ...], float, dict[str, float]] | None = None
    for count in range(1, len(order)):
        members = tuple(name for name in names if name in order[:count])
        base = sum(price[name] for name in members)
        if best is not None and base >= best[0]:
            break
        cheap = held_out(table.of(members), config, classes, seed)
        top = cheap.max(axis=1)
        for threshold in np.unique(np.quantile(top, np.linspace(0, 1, GRID))):
            sure = top >= threshold
            share = float(np.average(sure, weights=table.weights))
            cost = base + (1 - share) * (whole_cost - base)
            if best is not None and cost >= best[0]:
                continue
            lost, error = loss(counted, counts(np.where(sure[:, None], cheap, whole), table, blocks))
            if lost + error <= config.cascade:
                figures = {
                    "answered": share,
                    "ms": cost,
                    "ms_of_all": whole_cost,
                    "lost": lost,
                    "error": error,
                }
                best = (cost, members, float(threshold), figures)
    if best is None or best[0] >= whole_cost:
        return None
    _, members, threshold, figures = best
    return Cascade(members, threshold, Trees.fit(table.of(members), config, classes, seed), figures)


def counts(probabilities: np.ndarray, table: Table, blocks: np.ndarray) -> np.ndarray:
    """Return the confusion of the likeliest classes in each block of rows, (blocks, classes, classes) float64."""
    used = (table.labels >= 0) & (table.weights > 0)
    labels, blocks, classes = table.labels[used], blocks[used], probabilities.shape[1]
    cells = (blocks * classes + labels) * classes + probabilities[used].argmax(axis=1)
    found = np.bincount(cells, table.weights[used], BLOCKS * classes * classes)
    return found.reshape(BLOCKS, classes, classes)[np.unique(blocks)]


def loss(whole: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return the macro F1 that answers lose against others, and its standard error.

    The error is a jackknife's over the blocks (Efron, 1982, chapter 3); that of a single one is not known: infinite.

    Args:
        whole: `counts` of the better answers.
        found: `counts` of the others.
    """
    ours, theirs = whole.sum(axis=0), found.sum(axis=0)
    lost = float(macro_f1(ours) - macro_f1(theirs))
    if len(whole) < 2:
        return lost, math.inf
    # What is left of a class that was in one block alone is nothing, and not what weights have behind their last digit.
    left_out = macro_f1((ours - whole).round(9)) - macro_f1((theirs - found).round(9))
    spread = float(((left_out - left_out.mean()) ** 2).sum())
    return lost, math.sqrt(spread * (len(left_out) - 1) / len(left_out))
