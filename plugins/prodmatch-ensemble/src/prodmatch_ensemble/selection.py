"""Which members stay: sets of members tried on held-out queries, their quality beside their measured cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Cost
from prodmatch_core.errors import DataError
from prodmatch_ensemble.configs import SelectConfig
from prodmatch_ensemble.figures import quality
from prodmatch_ensemble.importance import Importance
from prodmatch_ensemble.table import Table
from prodmatch_ensemble.trees import held_out


@attrs.frozen
class Tried:
    """A set of members, what it is worth on held-out queries, and what it costs where that was measured.

    Attributes:
        members: in the order of the file.
        quality: the measure that was asked for.
        p50_ms, p95_ms: milliseconds a pair, the members' added up.
        memory_mb: megabytes, added up.
    """

    members: tuple[str, ...]
    quality: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    memory_mb: float | None = None

    def within(self, config: SelectConfig) -> bool:
        """Return whether the set is small and cheap enough."""
        return (
            (not config.keep or len(self.members) <= config.keep)
            and (not config.budget_ms or (self.p95_ms or 0.0) <= config.budget_ms)
            and (not config.budget_mb or (self.memory_mb or 0.0) <= config.budget_mb)
        )


@attrs.frozen(eq=False)
class Selection:
    """The members that stay, and all sets that were tried."""

    kept: tuple[str, ...]
    tried: tuple[Tried, ...]

    def state(self) -> list[dict[str, Any]]:
        """Return the sets as plain JSON values, the best first, with whether each is kept and on the frontier."""
        front = set(frontier(self.tried))
        return [
            {**attrs.asdict(one), "kept": one.members == self.kept, "frontier": one in front}
            for one in sorted(self.tried, key=lambda one: -one.quality)
        ]


def select(
    table: Table, config: SelectConfig, classes: int, seed: int, whole: Importance, costs: Sequence[Cost]
) -> Selection:
    """Return who stays.

    With `keep` and no budget: the members of the greatest Shapley values (arXiv 2403.00923, section 3.3). With a
    budget: of the sets tried that are within it, the best on held-out queries; of equal ones the cheapest.

    Args:
        table: training pairs with all members' columns.
        config: how many, and at what cost.
        classes: number of classes.
        seed: of the trees.
        whole: Shapley values of the trees over all members.
        costs: of each member, in the table's order; empty where they were not measured.

    Raises:
        DataError: no set of members is within the budget.
    """
    names = table.sources[: table.members]
    priced = dict(zip(names, costs, strict=True)) if costs else {}
    tried: dict[tuple[str, ...], Tried] = {}

    def worth(members: tuple[str, ...]) -> float:
        if members not in tried:
            part = table.of(members)
            found = held_out(part, config, classes, seed)
            value = quality(found, part.labels, part.weights, config.measure)
            tried[members] = Tried(members, value, *_added([priced[name] for name in members if priced]))
        return tried[members].quality

    for members in sets_to_try(names, whole.ranking(), config.subsets, worth):
        worth(members)
    if config.keep and not (config.budget_ms or config.budget_mb):
        best = set(whole.ranking()[: config.keep])
        kept = tuple(name for name in names if name in best)
        worth(kept)
        return Selection(kept, tuple(tried.values()))
    fitting = [one for one in tried.values() if one.within(config)]
    if not fitting:
        each = ", ".join(
            f"{name} {cost.p95_ms:.3g} ms {cost.memory_mb:,.0f} MB" for name, cost in priced.items()
        )
        raise DataError(
            f"ensemble.select: no set of members is within the budget; they cost {each}. Raise aggregator.budget_ms "
            "or aggregator.budget_mb, or add a cheaper member."
        )
    best_one = max(fitting, key=lambda one: (one.quality, -(one.p95_ms or 0.0), -len(one.members)))
    return Selection(best_one.members, tuple(tried.values()))


def sets_to_try(
    names: Sequence[str], ranking: Sequence[str], most: int, worth: Any
) -> Iterator[tuple[str, ...]]:
    """Yield sets of members, each in the order of `names`: all where there are at most `most`.

    Else: every member alone, the k of the greatest Shapley values for every k, and from all members downwards the
    best set of one member less, as long as there is room.
    """
    if 2 ** len(names) - 1 <= most:
        for size in range(1, len(names) + 1):
            yield from itertools.combinations(names, size)
        return

    def ordered(some: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in some)

    seen: set[tuple[str, ...]] = set()

    def fresh(members: tuple[str, ...]) -> bool:
        new = members not in seen and len(seen) < most
        if new:
            seen.add(members)
        return new

    for count in range(len(names), 0, -1):
        if fresh(ordered(ranking[:count])):
            yield ordered(ranking[:count])
    for name in names:
        if fresh((name,)):
            yield (name,)
    current = tuple(names)
    while len(current) > 2:
        smaller = [tuple(name for name in current if name != out) for out in current]
        room = [members for members in smaller if members in seen or fresh(members)]
        if not room:
            return
        yield from room
        current = max(room, key=worth)


def frontier(tried: Sequence[Tried]) -> list[Tried]:
    """Return the sets that no other is both better and cheaper than, the cheapest first; by size without costs."""

    def price(one: Tried) -> float:
        return len(one.members) if one.p95_ms is None else one.p95_ms

    best, found = -np.inf, []
    for one in sorted(tried, key=lambda one: (price(one), -one.quality)):
        if one.quality > best:
            best = one.quality
            found.append(one)
    return found


def _added(costs: Sequence[Cost]) -> tuple[float, ...]:
    if not costs:
        return ()
    return tuple(
        float(sum(getattr(cost, field) for cost in costs)) for field in ("p50_ms", "p95_ms", "memory_mb")
    )
