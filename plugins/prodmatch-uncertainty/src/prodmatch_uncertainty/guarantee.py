"""Targets that hold with a stated probability for rows not seen: Learn then Test, with binomial tails.

A boundary chosen on some rows looks better on them than it is. So one half of the groups proposes boundaries, from
strict to lenient, and the other half tests them in that fixed order: a boundary passes when, did it miss the target, so
many right decisions would come with probability at most 1 - confidence. Testing stops at the first that fails; whatever
the number of boundaries, the chance that one that misses the target passes is at most 1 - confidence (Learn then Test,
arXiv 2110.01052, with fixed-sequence testing). It supposes that groups are independent and like those to come.
"""

from __future__ import annotations

import attrs
import numpy as np
from scipy.special import betainc, betaincinv

from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.methods import Method, Settings
from prodmatch_uncertainty.sample import Goal, Sample


@attrs.frozen(eq=False)
class Guaranteed:
    """A boundary that passed, or None; and the best value of the target that could be asserted."""

    boundary: Boundary | None
    reachable: float
    "Greatest target that the boundary tested first would have passed."


def guaranteed(
    method: Method,
    sample: Sample,
    settings: Settings,
    goal: Goal,
    confidence: float,
    rng: np.random.Generator,
) -> Guaranteed:
    """Return the best boundary whose target holds with probability `confidence`.

    Args:
        method: proposes boundaries.
        sample: the hold-out rows.
        settings: how the method cuts the plane.
        goal: what is asked.
        confidence: probability that the target holds, above 0 and below 1.
        rng: divides the groups, or the rows where there are no groups, into halves.
    """
    proposing, testing = halves(sample, rng)
    if not proposing.positive.any() or not testing.positive.any():
        return Guaranteed(None, 0.0)
    boundaries = method.frontier(proposing, settings)
    if goal.objective == "precision":
        boundaries = [*boundaries[::-1]]
    if not boundaries:
        return Guaranteed(None, 0.0)
    # Which boundary is tested first is the proposing half's choice: the one it is surest of.
    chances = [tail(proposing, boundary, goal) for boundary in boundaries]
    first = int(np.argmin(chances)) if goal.objective == "recall" else 0
    found = None
    for boundary in boundaries[first:]:
        if tail(testing, boundary, goal) > 1 - confidence:
            break
        found = boundary
    return Guaranteed(found, lower_bound(*evidence(testing, boundaries[first], goal), confidence))


def halves(sample: Sample, rng: np.random.Generator) -> tuple[Sample, Sample]:
    """Return two halves of a sample that share no group."""
    groups = np.arange(len(sample)) if sample.groups is None else sample.groups
    names, number = np.unique(groups, return_inverse=True)
    first = np.zeros(len(names), dtype=bool)
    first[rng.permutation(len(names))[: len(names) // 2]] = True
    return sample.take(first[number]), sample.take(~first[number])


def evidence(sample: Sample, boundary: Boundary, goal: Goal) -> tuple[float, float]:
    """Return the decisions that count for a goal's target and how many of them are right, in independent rows.

    For precision these are the accepted rows and the positives among them; for recall the positives and the accepted
    among them. Rows of one group say less than as many rows of different groups: both numbers are divided by the
    variance of the share over groups relative to the variance were all rows independent, if that is above 1.
    """
    accepted = boundary.accepts(sample.score, sample.uncertainty)
    of, right = (accepted, sample.positive) if goal.objective == "recall" else (sample.positive, accepted)
    rows = np.flatnonzero(of)
    weights, hit = sample.weights[rows], right[rows]
    total = float(weights.sum())
    if not total:
        return 0.0, 0.0
    hits = float(weights[hit].sum())
    alike = bool((weights == weights[0]).all())
    if alike and sample.groups is None:
        return float(len(rows)), float(hit.sum())
    groups = (
        np.arange(len(rows))
        if sample.groups is None
        else np.unique(sample.groups[rows], return_inverse=True)[1]
    )
    share = (hits + weights.mean()) / (total + 2 * weights.mean())
    parts = np.bincount(groups, weights * (hit - share))
    spread = float((parts**2).sum()) / total**2 * len(parts) / max(len(parts) - 1, 1)
    independent = float(len(rows)) if alike else total**2 / float((weights**2).sum())
    effective = min(independent, share * (1 - share) / spread) if spread > 0 else independent
    return effective, effective * hits / total


def tail(sample: Sample, boundary: Boundary, goal: Goal) -> float:
    """Return the probability of as many right decisions, or more, were their share just below the target."""
    return binomial_tail(*evidence(sample, boundary, goal), goal.target)


def binomial_tail(trials: float, hits: float, share: float) -> float:
    """Return P(X >= hits) for X ~ Binomial(trials, share); between whole numbers by the beta function."""
    if hits <= 0:
        return 1.0
    return float(betainc(hits, trials - hits + 1, share))


def lower_bound(trials: float, hits: float, confidence: float) -> float:
    """Return the share that the true one is at least with probability `confidence` (Clopper and Pearson)."""
    if hits <= 0:
        return 0.0
    return float(betaincinv(hits, trials - hits + 1, 1 - confidence))
