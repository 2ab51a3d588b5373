"""How unsure predictions are: what several of them say of an example."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from prodmatch_core.components.calibrator import match_score
from prodmatch_core.data.dataset import LabelScheme


def spread(
    probabilities: np.ndarray, measure: str, scheme: LabelScheme, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return how unsure several predictions leave one, (n,) float64.

    Args:
        probabilities: (n, predictions, classes) float64.
        measure: `variance` of the probability of a match, `mutual_information` between label and prediction in nats
            (entropy of the mean less mean of the entropies), or `entropy` of the mean in nats.
        scheme: which classes are a match.
        weights: (predictions,) summing to 1; all the same by default.
    """
    count = probabilities.shape[1]
    weights = np.full(count, 1 / count) if weights is None else weights
    if measure == "variance":
        score = np.stack([match_score(probabilities[:, m], scheme) for m in range(count)], axis=1)
        return ((score - (score @ weights)[:, None]) ** 2) @ weights
    whole = entropy(np.einsum("nmc,m->nc", probabilities, weights))
    if measure == "entropy":
        return whole
    return np.maximum(whole - entropy(probabilities) @ weights, 0.0)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in nats of distributions along the last axis."""
    return -xlogy(probabilities, probabilities).sum(axis=-1)
