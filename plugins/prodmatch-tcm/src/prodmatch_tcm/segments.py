"""What one threshold gives: over all, by segment of classes, and to the classes it serves worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from prodmatch_tcm.histograms import ClassHistograms
from prodmatch_tcm.utility import Curves, curves_at

POOR = 0.5
"Utility below which a class counts as poorly served."
SIZES = ((2, 2, "2 items"), (3, 4, "3 or 4 items"), (5, None, "5 items or more"))


@attrs.frozen
class Served:
    """What the threshold gives to some classes.

    Attributes:
        name: who they are.
        classes: how many.
        items: how many items they have.
        accepted: mean over the classes of the share of their own pairs that are accepted.
        false_accepts: mean over the classes of the share of pairs with one end in the class that are accepted.
        utility: mean over the classes.
        poor: how many of them have a utility below POOR.
        example: of a single class, what one of its items is called.
    """

    name: str
    classes: int
    items: int
    accepted: float
    false_accepts: float
    utility: float
    poor: int
    example: str = ""

    @classmethod
    def of(cls, name: str, at: Curves, chosen: np.ndarray, example: str = "") -> Served:
        """Return what the classes that `chosen` selects, mask or indices, get at the curves' one threshold."""
        utility = at.utility[chosen, 0]
        return cls(
            name,
            len(utility),
            int(at.items[chosen].sum()),
            float(at.accepted[chosen, 0].mean()),
            float(1 - at.rejected[chosen, 0].mean()),
            float(utility.mean()),
            int((utility < POOR).sum()),
            example,
        )


def served(found: ClassHistograms, threshold: float, beta: float = 1.0) -> Curves:
    """Return every class's shares at one threshold."""
    return curves_at(found, np.array([threshold]), beta)


def by_size(at: Curves) -> list[Served]:
    """Return what classes of few and of many items get."""
    masks = [(name, (at.items >= low) & (at.items <= (high or np.inf))) for low, high, name in SIZES]
    return [Served.of(name, at, mask) for name, mask in masks if mask.any()]


def by_name(at: Curves, segments: Sequence[str]) -> list[Served]:
    """Return what each segment's classes get, worst first; `segments` names the segment of every class."""
    names = np.array(segments, dtype=object)
    found = [Served.of(str(name), at, names == name) for name in dict.fromkeys(segments)]
    return sorted(found, key=lambda segment: segment.utility)


def worst(at: Curves, names: Sequence[str], examples: Sequence[str], count: int) -> list[Served]:
    """Return the `count` classes of the lowest utility, worst first."""
    order = np.argsort(at.utility[:, 0], kind="stable")[:count]
    return [Served.of(names[number], at, np.array([number]), examples[number]) for number in order]


def rates(found: ClassHistograms, threshold: float) -> dict[str, Any]:
    """Return the share of all negative pairs accepted and of all positive pairs rejected, from each end."""
    everything = ClassHistograms(
        np.zeros(1, dtype=np.int64),
        np.array([int(found.items.sum())]),
        found.positive.sum(axis=0, keepdims=True),
        found.negative.sum(axis=0, keepdims=True),
        found.singles,
    )
    at = served(everything, threshold)
    return {"false_accepts": float(1 - at.rejected[0, 0]), "false_rejects": float(1 - at.accepted[0, 0])}
