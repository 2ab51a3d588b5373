"""`tcm.proxy_anchor`: a learnt proxy of every class, against which the batch's items are held (arXiv 2003.13911)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_tcm.plugin import ProxyAnchorConfig


class ProxyAnchorLoss(Loss):
    """Soft maximum of each proxy's shortfall of its own items and excess of others (equation 4).

    Items meet proxies and not each other, so there is no matrix to share. Own items are averaged over the proxies that
    have one in the batch, others over all proxies. An item counts as often as its weight says.
    """

    def __init__(self, config: ProxyAnchorConfig, learnt: Learnt) -> None:
        """Draw the proxies from torch's generator, which the trainer seeds."""
        super().__init__()
        self.alpha, self.margin = config.alpha, config.margin
        self.proxies = nn.Parameter(torch.empty(learnt.classes, learnt.width))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    @classmethod
    def build(cls, config: ProxyAnchorConfig, learnt: Learnt) -> Self:
        """Make a proxy for every group of the training items."""
        return cls(config, learnt)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32.

        Raises:
            ValueError: the member has two towers; a proxy stands for a group of items.
        """
        if output.embeddings is None or output.references is not None:
            raise ValueError("tcm.proxy_anchor needs items labelled by group, one vector each")
        with torch.autocast(output.embeddings.device.type, enabled=False):
            items = functional.normalize(output.embeddings.float(), dim=-1)
            similarity = items @ functional.normalize(self.proxies, dim=-1).T
        heft, own = output.weights.float(), (torch.arange(len(items), device=items.device), output.labels)
        # Cosines end at 1 and alpha is bounded, so no exponential overflows.
        far = (self.alpha * (similarity + self.margin)).exp() * heft[:, None]
        far[own] = 0.0
        near = (-self.alpha * (similarity[own] - self.margin)).exp() * heft
        short = near.new_zeros(len(self.proxies)).index_add(0, output.labels, near)
        present = heft.new_zeros(len(self.proxies)).index_add(0, output.labels, heft) > 0
        return short.log1p().sum() / present.sum().clamp_min(1) + far.sum(dim=0).log1p().mean()
