"""How well one threshold serves every class: utility curves, the calibration range, OPIS (arXiv 2307.04047, section 3).

A threshold is a cosine similarity; the paper's distance is one minus it, so that ranges and integrals are the same.
"""

from __future__ import annotations

import functools

import attrs
import numpy as np

from prodmatch_tcm.histograms import ClassHistograms

POINTS = 201
"Thresholds at which a calibration range is looked at, equally far apart."


@attrs.frozen
class Calibration:
    """Which thresholds are looked at: those at which an error rate over all pairs runs from `low` to `high`."""

    low: float = 1e-2
    "Lower bound of the rate."
    high: float = 1e-1
    "Upper bound of the rate."
    by: str = "far"
    "`far`: share of negative pairs accepted. `frr`: share of positive pairs rejected."
    points: int = POINTS
    "Thresholds looked at."

    def __attrs_post_init__(self) -> None:
        if not 0 < self.low < self.high < 1:
            raise ValueError(f"expected rates 0 < low < high < 1, got {self.low:g} and {self.high:g}")
        if self.by not in ("far", "frr"):
            raise ValueError(f'by: expected "far" or "frr", got "{self.by}"')


PAPER = Calibration()
"The published range: 1% to 10% of the negative pairs accepted."
STRICT = Calibration(1e-4, 1e-2)
"A range for catalogues, where most pairs are negative: 0.01% to 1%."


@attrs.frozen(eq=False, slots=False)
class Curves:
    """What each class gets at each threshold.

    Attributes:
        classes: (classes,) int64 label of each class.
        items: (classes,) int64 items of each.
        thresholds: (points,) float64 cosine similarities, ascending.
        accepted: (classes, points) float64 share of the pairs within the class that are accepted (phi).
        rejected: (classes, points) float64 share of the pairs with one end in the class that are rejected (psi).
        beta: how much more acceptance counts than rejection.
        singles: classes of one item, left out.
    """

    classes: np.ndarray
    items: np.ndarray
    thresholds: np.ndarray
    accepted: np.ndarray
    rejected: np.ndarray
    beta: float = 1.0
    singles: int = 0

    @functools.cached_property
    def utility(self) -> np.ndarray:
        """Return U, (classes, points) float64: the weighted harmonic mean of acceptance and rejection."""
        return harmonic(self.accepted, self.rejected, self.beta)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Return the share of the range that each threshold stands for, (points,) float64 (trapezoids)."""
        if len(self.thresholds) == 1:
            return np.ones(1)
        gaps = np.diff(self.thresholds)
        shares = 0.5 * (np.append(gaps, 0) + np.insert(gaps, 0, 0))
        total = shares.sum()
        return shares / total if total > 0 else np.full(len(shares), 1 / len(shares))

    @functools.cached_property
    def means(self) -> np.ndarray:
        """Return each class's mean utility over the range, (classes,) float64."""
        return self.utility @ self.lengths


def harmonic(accepted: np.ndarray, rejected: np.ndarray, beta: float) -> np.ndarray:
    """Return (1 + beta^2) phi psi / (beta^2 phi + psi), 0 where both are 0."""
    below = beta**2 * accepted + rejected
    return (1 + beta**2) * accepted * rejected / np.where(below > 0, below, 1)


def opis(curves: Curves, weights: np.ndarray | None = None) -> float:
    """Return the operating-point-inconsistency score: the variance of U over the classes, averaged over the range.

    At each threshold a class is held against the mean of the classes there, so that constant curves at different
    heights are inconsistent and equal curves of any shape are not.

    Args:
        curves: of the calibration range.
        weights: (classes,) float64 how often each class counts; None: once.
    """
    heft = np.ones(len(curves.classes)) if weights is None else weights
    total = heft.sum()
    if not total > 0:
        return float("nan")
    mean = heft @ curves.utility / total
    square = heft @ curves.utility**2 / total
    return float(np.maximum(square - mean**2, 0) @ curves.lengths)


def opis_worst(curves: Curves, share: float = 0.1, weights: np.ndarray | None = None) -> float:
    """Return epsilon-OPIS: the squared gap between the worst classes' mean utility and the rest's, over the range.

    The worst are those of the lowest mean utility over the range, `share` of all by weight; one class at the edge may
    belong to both in part. Not a number where one side is empty.
    """
    heft = np.ones(len(curves.classes)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = heft.sum()
    if not total > 0 or not 0 < share < 1:
        return float("nan")
    order = np.argsort(curves.means, kind="stable")
    before = np.cumsum(heft[order]) - heft[order]
    worst = np.zeros(len(heft))
    worst[order] = np.clip(share * total - before, 0, heft[order])
    rest = heft - worst
    gap = worst @ curves.utility / worst.sum() - rest @ curves.utility / rest.sum()
    return float(gap**2 @ curves.lengths)


def mean_utility(curves: Curves, weights: np.ndarray | None = None) -> float:
    """Return the mean over the classes of their mean utility over the range."""
    heft = np.ones(len(curves.classes)) if weights is None else weights
    return float(heft @ curves.means / heft.sum()) if heft.sum() > 0 else float("nan")


def curves_of(found: ClassHistograms, calibration: Calibration = PAPER, beta: float = 1.0) -> Curves:
    """Return the classes' curves over a calibration range."""
    low, high = threshold_range(found, calibration)
    return curves_at(found, np.linspace(low, high, calibration.points), beta)


def curves_at(found: ClassHistograms, thresholds: np.ndarray, beta: float = 1.0) -> Curves:
    """Return the classes' curves at given thresholds, interpolated within a bin."""
    below = {}
    place = np.clip((thresholds + 1) * found.bins / 2, 0, found.bins)
    left = np.minimum(place.astype(np.int64), found.bins - 1)
    for name in ("positive", "negative"):
        counts = getattr(found, name)
        total = np.cumsum(counts, axis=1)
        before = np.where(left > 0, total[:, np.maximum(left - 1, 0)], 0)
        below[name] = (before + (place - left) * counts[:, left]) / np.maximum(total[:, -1:], 1)
    return Curves(
        found.classes, found.items, thresholds, 1 - below["positive"], below["negative"], beta, found.singles
    )


def threshold_range(found: ClassHistograms, calibration: Calibration) -> tuple[float, float]:
    """Return the lowest and the highest threshold of a calibration range, as cosine similarities."""
    ends = [threshold_at(found, rate, calibration.by) for rate in (calibration.low, calibration.high)]
    return min(ends), max(ends)


def threshold_at(found: ClassHistograms, rate: float, by: str = "far") -> float:
    """Return the threshold at which the share of all negative pairs accepted, or positive ones rejected, is `rate`.

    All pairs: those of an item of a class that is measured, each from every such end.
    """
    counts = (found.negative if by == "far" else found.positive).sum(axis=0)
    below = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    wanted = 1 - rate if by == "far" else rate
    bin_ = int(np.clip(np.searchsorted(below, wanted) - 1, 0, found.bins - 1))
    inside = (wanted - below[bin_]) / max(below[bin_ + 1] - below[bin_], 1e-300)
    return float(-1 + 2 * (bin_ + np.clip(inside, 0, 1)) / found.bins)
