"""`quarts.noise`: what any disturbance of the states would do, without a generator."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from prodmatch_core.components.encoder import Encoding, FitData, States, TwoSidedEncoder
from prodmatch_core.components.negatives import Mixed, StateGenerator
from prodmatch_quarts.configs import NoiseConfig
from prodmatch_quarts.switch import Switch, untouched


class NoiseGenerator(StateGenerator):
    """Adds Gaussian noise to the query states of some matching rows and calls them mismatches."""

    def __init__(self, config: NoiseConfig, switch: Switch) -> None:
        """Hold the fields, and what counts as a match."""
        super().__init__()
        self.config, self.switch = config, switch

    @classmethod
    def build(
        cls, config: NoiseConfig, data: FitData, encoder: TwoSidedEncoder, rng: np.random.Generator
    ) -> Self:
        """Make the generator; there is nothing to learn."""
        return cls(config, Switch.of(data.scheme))

    def mix(self, encoding: Encoding, labels: Tensor, rng: np.random.Generator) -> Mixed:
        """Return the batch with noise on some queries."""
        if not self.config.rate:
            return untouched(encoding, labels)
        chosen = self.switch.draw(labels, self.config.rate, rng)
        query = encoding.query_states
        assert query is not None
        hidden, mask = query.hidden[chosen], query.mask[chosen]
        spread = query.hidden.detach()[query.mask].std() if int(query.mask.sum()) > 1 else hidden.new_ones(())
        noise = torch.from_numpy(rng.standard_normal(tuple(hidden.shape), dtype=np.float32)).to(hidden)
        return self.switch.mix(
            encoding, labels, chosen, States(hidden + self.config.scale * spread * noise, mask)
        )
