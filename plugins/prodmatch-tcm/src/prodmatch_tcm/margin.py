"""`tcm.margin`: the threshold-consistent margin term, beside any loss of the member (arXiv 2307.04047)."""

from __future__ import annotations

from typing import Self

import attrs
import torch
from torch import Tensor

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_tcm.memory import Memory
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import MarginConfig
from prodmatch_tcm.term import Margins, term
from prodmatch_tcm.tracked import TrackedMargins


class MarginLoss(Loss):
    """Pulls hard positives up to one similarity and pushes hard negatives down to another, for all classes alike.

    A pair weighs the product of its rows' weights. With two towers queries are compared with products; the matches of a
    query are those of its batch.
    """

    positive: Tensor

    def __init__(self, config: MarginConfig, learnt: Learnt) -> None:
        """Make the term for a member's vectors."""
        super().__init__()
        self.fixed = Margins(
            config.positive_margin, config.negative_margin, config.positive_weight, config.negative_weight
        )
        quantiles = config.margins == "quantile"
        self.tracked = (
            TrackedMargins(config.false_reject, config.false_accept, config.momentum) if quantiles else None
        )
        self.memory = Memory(config.memory, learnt.width) if config.memory else None
        self.register_buffer("positive", torch.from_numpy(positive_classes(learnt.scheme)), persistent=False)

    @classmethod
    def build(cls, config: MarginConfig, learnt: Learnt) -> Self:
        """Make the term for a member's vectors."""
        return cls(config, learnt)

    @property
    def margins(self) -> Margins:
        """Return the margins as they stand: the fixed ones, or where the data has moved them."""
        if self.tracked is None:
            return self.fixed
        low, high = self.tracked.positive, self.tracked.negative
        return attrs.evolve(
            self.fixed,
            positive=self.fixed.positive if low is None else low,
            negative=self.fixed.negative if high is None else high,
        )

    def forward(self, output: Output) -> Tensor:
        """Return the term, float32; 0, with a gradient, where no pair is hard.

        Raises:
            ValueError: there is a memory, and the member has two towers.
        """
        pairs = Pairs.of(output, self.positive)
        blocks = [pairs]
        if self.memory is not None and (earlier := self.memory.pairs(output)) is not None:
            blocks.append(earlier)
        if self.training:
            if self.tracked is not None:
                self.tracked.observe(pairs)
            if self.memory is not None:
                self.memory.keep(output)
        return term(blocks, self.margins, sparse=True)
