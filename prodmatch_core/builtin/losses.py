"""The plain losses: cross-entropy, one-vs-rest, focal, and the softmax over a batch's similarities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.builtin.configs import (
    BinaryCrossEntropyConfig,
    CrossEntropyConfig,
    FocalConfig,
    InBatchSoftmaxConfig,
)
from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output, PointwiseLoss
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import ConfigError


def class_weights(weights: tuple[float, ...], scheme: LabelScheme, name: str) -> Tensor:
    """Return one factor per class, (classes,) float32; ones where none are given.

    Raises:
        ConfigError: there are not as many weights as the scheme has labels.
    """
    if weights and len(weights) != len(scheme.labels):
        raise ConfigError(
            f"{name}: class_weights has {len(weights)} numbers, the label scheme {scheme.name} has "
            f"{len(scheme.labels)} labels ({', '.join(scheme.labels)}). Give one number per label, in this order."
        )
    return torch.tensor(weights or [1.0] * len(scheme.labels), dtype=torch.float32)


def logits_of(output: Output) -> Tensor:
    """Return the logits as float32, whatever autocast made of them."""
    assert output.logits is not None
    return output.logits.float()


class CrossEntropy(PointwiseLoss):
    """Softmax cross-entropy, each example scaled by the factor of its class."""

    factors: Tensor

    def __init__(self, config: CrossEntropyConfig, scheme: LabelScheme) -> None:
        """Make the loss for the scheme's classes."""
        super().__init__()
        self.smoothing = config.label_smoothing
        factors = class_weights(config.class_weights, scheme, "core.cross_entropy")
        self.register_buffer("factors", factors, persistent=False)

    def per_example(self, output: Output) -> Tensor:
        """Return -log p(label), smoothed towards the uniform distribution, (batch,) float32."""
        loss = functional.cross_entropy(
            logits_of(output), output.labels, reduction="none", label_smoothing=self.smoothing
        )
        return loss * self.factors[output.labels]


class BinaryCrossEntropy(PointwiseLoss):
    """One logistic loss per class against all others, summed over the classes."""

    factors: Tensor

    def __init__(self, config: BinaryCrossEntropyConfig, scheme: LabelScheme) -> None:
        """Make the loss for the scheme's classes."""
        super().__init__()
        self.register_buffer(
            "factors", class_weights(config.class_weights, scheme, "core.bce"), persistent=False
        )

    def per_example(self, output: Output) -> Tensor:
        """Return the sum over classes, each term scaled by its class's factor, (batch,) float32."""
        logits = logits_of(output)
        target = functional.one_hot(output.labels, logits.shape[1]).to(logits.dtype)
        terms = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (terms * self.factors).sum(dim=1)


class Focal(PointwiseLoss):
    """Cross-entropy that looks away from what is already easy (arXiv 1708.02002, equation 4)."""

    def __init__(self, config: FocalConfig, scheme: LabelScheme) -> None:
        """Make the loss; gamma 0 is cross-entropy."""
        super().__init__()
        self.gamma = config.gamma

    def per_example(self, output: Output) -> Tensor:
        """Return -(1 - p)^gamma log p of the label, (batch,) float32."""
        log_p = logits_of(output).log_softmax(dim=1).gather(1, output.labels[:, None])[:, 0]
        # 1 - p from log p keeps its digits where p is near 1, and its gradient finite at p = 1.
        return -((-torch.expm1(log_p)).clamp_min(1e-12) ** self.gamma) * log_p


class InBatchSoftmax(Loss):
    """Each matching query should prefer its product to the batch's others (InfoNCE, arXiv 1807.03748, equation 4)."""

    positive: Tensor

    def __init__(self, config: InBatchSoftmaxConfig, scheme: LabelScheme) -> None:
        """Make the loss; rows whose label counts as a match are the positives."""
        super().__init__()
        self.temperature = config.temperature
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the weighted mean over matching rows, a float32 scalar; 0 with a gradient where there is none.

        A row of weight 0 is nobody's positive and nobody's negative; weight 2 counts twice as either.
        """
        scores = output.similarity / self.temperature
        weights = output.weights.float()
        # Adding log w to a column makes exp(score) count w times in the denominator; log 0 leaves it out.
        log_w = weights.clamp_min(torch.finfo(torch.float32).tiny).log()
        own = scores.diagonal()
        present = (weights > 0)[None, :] | torch.eye(len(weights), dtype=torch.bool, device=weights.device)
        columns = torch.where(present, scores + log_w[None, :], -torch.inf)
        per_row = torch.logsumexp(columns, dim=1) - own
        share = weights * torch.isin(output.labels, self.positive)
        per_row = torch.where(share > 0, per_row, torch.zeros_like(per_row))
        total = share.sum()
        return (per_row * share).sum() / total.clamp_min(torch.finfo(torch.float32).tiny) + 0 * own.sum()
