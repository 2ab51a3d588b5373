"""`MemberModel`, what predicts, and `Objective`, what is descended on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Encoder, TwoSidedEncoder
from prodmatch_core.components.loss import Loss, Output
from prodmatch_core.components.negatives import StateGenerator
from prodmatch_core.tasks.base import Task


class MemberModel(nn.Module):
    """One member: its encoder, the task's head and, where there is one, the generator that overwrites states."""

    def __init__(
        self, encoder: Encoder, head: nn.Module, task: Task, generator: StateGenerator | None = None
    ) -> None:
        """Put the parts together."""
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.generator = generator
        self.task = task

    def forward(
        self, batch: Batch, labels: Tensor, weights: Tensor, mixing: np.random.Generator | None = None
    ) -> tuple[Output, Tensor | None]:
        """Return the output for a batch, and the generator's own penalty where states were overwritten.

        Args:
            batch: what the encoder's `prepare` gathered.
            labels: (batch,) int64.
            weights: (batch,) float32.
            mixing: randomness of the state generator; None (as in evaluation) leaves every state alone.
        """
        if self.generator is None or mixing is None:
            return self.task.output(self.head, self.encoder(batch), labels, weights), None
        assert isinstance(self.encoder, TwoSidedEncoder)
        mixed = self.generator.mix(self.encoder.encode(batch), labels, mixing)
        encoding = self.encoder.interact(mixed.encoding)
        return self.task.output(self.head, encoding, mixed.labels, weights), mixed.penalty


class Objective(nn.Module):
    """A member's weighted losses on a batch, as one module: wrappers for several processes see every parameter."""

    def __init__(self, model: MemberModel, losses: Sequence[tuple[float, Loss]]) -> None:
        """Hold the model and its losses, each with its factor."""
        super().__init__()
        self.model = model
        self.losses = nn.ModuleList(loss for _, loss in losses)
        self.factors: list[float | None] = [factor for factor, _ in losses]
        "Of each loss; None while it does not count."

    def forward(self, batch: Batch, labels: Tensor, weights: Tensor, mixing: np.random.Generator) -> Tensor:
        """Return the sum of the losses, and of the state generator's penalty where there is one, float32 scalar."""
        output, penalty = self.model(batch, labels, weights, mixing)
        terms = zip(self.factors, self.losses, strict=True)
        total = torch.stack([factor * loss(output) for factor, loss in terms if factor is not None]).sum()
        return total if penalty is None else total + penalty
