"""`uncertainty.disagreement`: the members' average and what it leaves in doubt."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Aggregator, Combined, MemberPredictions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import ConfigError, Problem
from prodmatch_uncertainty.configs import DisagreementConfig
from prodmatch_uncertainty.spreads import spread


@attrs.frozen(eq=False)
class DisagreementAggregator(Aggregator):
    """Averages class probabilities; learns nothing."""

    config: DisagreementConfig
    scheme: LabelScheme

    @classmethod
    def build(cls, config: DisagreementConfig, scheme: LabelScheme) -> Self:
        """Make the aggregator; there is nothing to learn."""
        return cls(config, scheme)

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the weighted mean of the members' probabilities and their doubt.

        Raises:
            ConfigError: there are not as many weights as members, or a member is asked for its doubt and has none.
        """
        weights = self._weights(members)
        mean = np.einsum("nmc,m->nc", members.probabilities, weights)
        if self.config.measure in ("variance", "mutual_information") and len(members.names) < 2:
            return Combined(mean, np.full(len(mean), np.nan))  # one alone agrees with itself
        if self.config.measure != "members":
            return Combined(mean, spread(members.probabilities, self.config.measure, self.scheme, weights))
        silent = [
            name
            for name, said in zip(members.names, members.uncertainty.T, strict=True)
            if np.isnan(said).any()
        ]
        if silent:
            message = (
                f'"members" averages what members say of their own doubt, and {", ".join(silent)} '
                "says nothing. Wrap its encoder in uncertainty.mc_dropout or uncertainty.posterior, or use "
                '"variance"'
            )
            raise ConfigError([Problem("aggregator.measure", message)])
        return Combined(mean, members.uncertainty @ weights)

    def _weights(self, members: MemberPredictions) -> np.ndarray:
        given, count = self.config.weights, len(members.names)
        if given and len(given) != count:
            message = f"expected {count} numbers, one each for {', '.join(members.names)}; got {len(given)}"
            raise ConfigError([Problem("aggregator.weights", message)])
        return np.array(given or [1.0] * count) / (sum(given) or count)
