"""The switch: which rows are overwritten, and what stands in their place (arXiv 2005.03624, section 3.3).

With y = 1 for a mismatch and z drawn by the rate p, s = (1 - y) z: only matches are overwritten, and what is
overwritten is a mismatch, y + s.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.encoder import Encoding, States
from prodmatch_core.components.negatives import Mixed
from prodmatch_core.data.dataset import LabelScheme


@attrs.frozen
class Switch:
    """What counts as a match, and what an overwritten row is labelled."""

    positive: tuple[int, ...]
    worst: int

    @classmethod
    def of(cls, scheme: LabelScheme) -> Switch:
        """Read both off a label scheme."""
        return cls(tuple(int(number) for number in positive_classes(scheme)), len(scheme.labels) - 1)

    def draw(self, labels: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
        """Return s, (batch,) bool: matching rows, each with a chance of `rate`."""
        z = torch.from_numpy(rng.random(len(labels)) < rate).to(labels.device)
        return self.matches(labels) & z

    def matches(self, labels: Tensor) -> Tensor:
        """Return 1 - y, (batch,) bool."""
        return torch.isin(labels, torch.tensor(self.positive, device=labels.device))

    def mix(
        self,
        encoding: Encoding,
        labels: Tensor,
        chosen: Tensor,
        states: States,
        penalty: Tensor | None = None,
    ) -> Mixed:
        """Return the batch with the query states of the `chosen` rows replaced, and with them their masks.

        Args:
            encoding: states of the batch.
            labels: (batch,) int64.
            chosen: (batch,) bool, s.
            states: what replaces them, one row for each chosen one, in order.
            penalty: the generator's own loss.
        """
        query = encoding.query_states
        assert query is not None
        longest = max(query.mask.shape[1], states.mask.shape[1])
        hidden, mask = _padded(query, longest)
        theirs, there = _padded(states, longest)
        rows = torch.nonzero(chosen)[:, 0]
        wide = hidden.new_zeros(hidden.shape).index_copy(0, rows, theirs.to(hidden.dtype))
        mixed = States(
            # where gives the side that is not taken a gradient of exactly 0
            torch.where(chosen[:, None, None], wide, hidden),
            mask.index_copy(0, rows, there),
        )
        return Mixed(
            attrs.evolve(encoding, query_states=mixed),
            torch.where(chosen, self.worst, labels),
            chosen,
            penalty,
        )


def untouched(encoding: Encoding, labels: Tensor) -> Mixed:
    """Return the batch as it is."""
    return Mixed(encoding, labels, torch.zeros_like(labels, dtype=torch.bool))


def _padded(states: States, longest: int) -> tuple[Tensor, Tensor]:
    room = longest - states.mask.shape[1]
    return functional.pad(states.hidden, (0, 0, 0, room)), functional.pad(states.mask, (0, room))


class Reversed(torch.autograd.Function):
    """The values themselves, with the gradient's sign turned: what descends behind it ascends before it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: D102
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: D102
        return -gradient
