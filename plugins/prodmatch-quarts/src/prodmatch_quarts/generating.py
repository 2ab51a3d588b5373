"""What probes, and the files of a run, look at of a generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from prodmatch_core.components.encoder import Encoding, FitData, States, TwoSidedEncoder
from prodmatch_quarts.configs import VariationalConfig
from prodmatch_quarts.network import VariationalNetwork, Written
from prodmatch_quarts.pretraining import Lessons
from prodmatch_quarts.switch import Switch


class Generating(Protocol):
    """A generator that has been built: `quarts.variational`."""

    config: VariationalConfig
    data: FitData
    network: VariationalNetwork
    seed: int
    switch: Switch
    started: Tensor

    @property
    def encoder(self) -> TwoSidedEncoder:
        """Return the member's encoder."""
        ...

    @property
    def lessons(self) -> Lessons:
        """Return the corpus in the encoder's and in the generator's own tokens."""
        ...

    @property
    def figures(self) -> Mapping[str, Any]:
        """Return what was found when it last learnt."""
        ...

    def states(self, encoding: Encoding, noise: torch.Generator | None) -> tuple[States, Written]:
        """Return what stands in the query states' place for every row, and the words behind it."""
        ...
