"""`salam.link`: link prediction beside the task's own loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from prodmatch_core.components.loss import Loss, Output, weighted_mean
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.records import NoConfig


class LinkLoss(Loss):
    """Binary cross entropy of each relation of each pair that the encoder was asked about.

    Several relations may hold at once (what is bought was clicked before), so each is a question of its own.
    """

    def __init__(self, config: NoConfig, scheme: LabelScheme) -> None:
        """Make the loss; labels are not looked at."""
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        """Return the mean over pairs and relations, float32 scalar; 0 where no pair's nodes are both known."""
        links = output.links
        if links is None or not links.logits.numel():
            given = output.logits if links is None else links.logits
            assert given is not None
            return given.float().sum() * 0
        each = functional.binary_cross_entropy_with_logits(
            links.logits.float(), links.present, reduction="none"
        )
        return weighted_mean(each.mean(dim=1), links.weights)
