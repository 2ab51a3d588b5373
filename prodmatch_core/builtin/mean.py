"""`core.mean`: the members' average, and how much they disagree."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import MeanConfig
from prodmatch_core.components.aggregator import Aggregator, Combined, MemberPredictions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import ConfigError, Problem


@attrs.frozen(eq=False)
class MeanAggregator(Aggregator):
    """Averages class probabilities, all members alike or by given weights."""

    weights: tuple[float, ...]

    @classmethod
    def build(cls, config: MeanConfig, scheme: LabelScheme) -> Self:
        """Make the aggregator; there is nothing to learn."""
        return cls(config.weights)

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the weighted mean of the members' probabilities and their disagreement.

        Raises:
            ConfigError: there are not as many weights as members.
        """
        count = len(members.names)
        if self.weights and len(self.weights) != count:
            message = (
                f"expected {count} numbers, one each for {', '.join(members.names)}; got {len(self.weights)}"
            )
            raise ConfigError([Problem("aggregator.weights", message)])
        weights = np.array(self.weights or [1.0] * count) / (sum(self.weights) or count)
        return Combined(
            np.einsum("nmc,m->nc", members.probabilities, weights),
            disagreement(members.probabilities, weights),
        )


def disagreement(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean over classes of the members' variance, (n,) float64; NaN for a single member.

    Args:
        probabilities: (n, members, classes).
        weights: (members,), summing to 1.
    """
    if len(weights) < 2:
        return np.full(len(probabilities), np.nan)
    mean = np.einsum("nmc,m->nc", probabilities, weights)
    return np.einsum("nmc,m->nc", (probabilities - mean[:, None]) ** 2, weights).mean(axis=1)
