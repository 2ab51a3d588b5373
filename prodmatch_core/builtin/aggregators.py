"""The plain aggregators: the mean of the members, and a logistic regression over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from prodmatch_core.builtin.configs import LogisticConfig, MeanConfig
from prodmatch_core.builtin.linear import Linear, fit_linear
from prodmatch_core.components.aggregator import Aggregator, Combined, MemberPredictions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import ConfigError
from prodmatch_core.rundir import write_json

SMALLEST = 1e-7
"Probabilities are not taken below this before their logarithm."


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """Return how much members differ: the variance across members, averaged over classes, (n,) float64.

    Args:
        probabilities: (n, members, classes). With one member there is nothing to differ from: NaN.
    """
    if probabilities.shape[1] == 1:
        return np.full(len(probabilities), np.nan)
    return probabilities.var(axis=1).mean(axis=1)


class Mean(Aggregator):
    """The members' probabilities, averaged."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        """Hold one weight per member; none weighs all alike."""
        self.weights = weights

    @classmethod
    def build(cls, config: MeanConfig, scheme: LabelScheme) -> Self:
        """Make the aggregator."""
        return cls(config.weights)

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the weighted mean.

        Raises:
            ConfigError: there are not as many weights as members.
        """
        if self.weights and len(self.weights) != len(members.names):
            raise ConfigError(
                f"aggregator.weights: {len(self.weights)} numbers for {len(members.names)} members "
                f"({', '.join(members.names)}). Give one per member, in this order."
            )
        weights = np.array(self.weights or [1.0] * len(members.names))
        mean = np.einsum("nmc,m->nc", members.probabilities, weights / weights.sum())
        return Combined(mean, disagreement(members.probabilities))


class Logistic(Aggregator):
    """A multinomial logistic regression over the members' log-probabilities, fitted out of fold."""

    def __init__(self, config: LogisticConfig, scheme: LabelScheme) -> None:
        """Make an aggregator that has learnt nothing yet."""
        self.config = config
        self.classes = len(scheme.labels)
        self.model: Linear | None = None

    @classmethod
    def build(cls, config: LogisticConfig, scheme: LabelScheme) -> Self:
        """Make the aggregator."""
        return cls(config, scheme)

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        """Learn from out-of-fold predictions."""
        self.model = fit_linear(
            _logs(members), members.labels, members.weights, self.classes, self.config.strength
        )

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the regression's probabilities."""
        assert self.model is not None
        return Combined(self.model.probabilities(_logs(members)), disagreement(members.probabilities))

    def save(self, folder: Path) -> None:
        """Write the coefficients as JSON."""
        assert self.model is not None
        write_json(folder / "logistic.json", self.model.state())

    @classmethod
    def load(cls, config: Any, scheme: LabelScheme, folder: Path) -> Self:
        """Read the coefficients."""
        aggregator = cls.build(config, scheme)
        aggregator.model = Linear.restored(json.loads((folder / "logistic.json").read_text(encoding="utf-8")))
        return aggregator


def _logs(members: MemberPredictions) -> np.ndarray:
    return np.log(np.maximum(members.probabilities, SMALLEST)).reshape(len(members.probabilities), -1)
