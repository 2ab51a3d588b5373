"""`MemberModel`, what predicts, and `Objective`, what is descended on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Encoder, Encoding, TwoSidedEncoder
from prodmatch_core.components.loss import Loss, Output
from prodmatch_core.components.negatives import StateGenerator
from prodmatch_core.tasks.base import Task

FACT = "fact:"
"Prefix of the entries of a batch that are for losses and not for the encoder."


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
        facts = {name.removeprefix(FACT): tensor for name, tensor in batch.items() if name.startswith(FACT)}
        if facts:
            batch = {name: tensor for name, tensor in batch.items() if not name.startswith(FACT)}
        if self.generator is None or mixing is None:
            encoding = self.encoder(batch)
            output = self.task.output(self.head, encoding, labels, weights)
            output.vectors, output.facts = _vectors(encoding), facts
            return output, None
        assert isinstance(self.encoder, TwoSidedEncoder)
        mixed = self.generator.mix(self.encoder.encode(batch), labels, mixing)
        encoding = self.encoder.interact(mixed.encoding)
        output = self.task.output(self.head, encoding, mixed.labels, weights)
        output.vectors, output.facts = _vectors(encoding), facts
        return output, mixed.penalty

    @torch.no_grad()
    def judge(self, encoding: Encoding) -> Tensor:
        """Return class probabilities of token states, (batch, classes) float32, in evaluation mode."""
        assert isinstance(self.encoder, TwoSidedEncoder) and encoding.query_states is not None
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            hidden = encoding.query_states.hidden
            labels = torch.zeros(len(hidden), dtype=torch.int64, device=hidden.device)
            output = self.task.output(
                self.head, self.encoder.interact(encoding), labels, torch.ones_like(labels).float()
            )
        finally:
            for module, mode in modes:
                module.training = mode
        assert output.logits is not None
        return output.logits.float().softmax(dim=-1)


def _vectors(encoding: Encoding) -> Tensor | None:
    """Return one vector an example, where the encoder gives any."""
    if encoding.pair is not None or encoding.query is None or encoding.product is None:
        return encoding.pair
    return encoding.query * encoding.product


class Objective(nn.Module):
    """A member's weighted losses on a batch, as one module: wrappers for several processes see every parameter."""

    def __init__(self, model: MemberModel, losses: Sequence[tuple[float, Loss]]) -> None:
        """Hold the model and its losses, each with its factor."""
        super().__init__()
        self.model = model
        self.losses = nn.ModuleList(loss for _, loss in losses)
        self.factors: list[float | None] = [factor for factor, _ in losses]
        "Of each loss; None while it does not count."

    def forward(
        self, batch: Batch, labels: Tensor, weights: Tensor, mixing: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Return the sum of the losses, and the state generator's penalty where there is one, float32 scalars."""
        output, penalty = self.model(batch, labels, weights, mixing)
        terms = zip(self.factors, self.losses, strict=True)
        return torch.stack(
            [factor * loss(output) for factor, loss in terms if factor is not None]
        ).sum(), penalty
