"""`uncertainty.uce`: the loss of posterior networks."""

from __future__ import annotations

import torch
from torch import Tensor

from prodmatch_core.components.loss import Output, PointwiseLoss
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_uncertainty.configs import UCEConfig
from prodmatch_uncertainty.dirichlet import entropy


class UCELoss(PointwiseLoss):
    """Uncertain cross entropy: E[-log p_label] under Dirichlet(exp(logits)), less a share of its entropy."""

    def __init__(self, config: UCEConfig, scheme: LabelScheme) -> None:
        """Make the loss."""
        super().__init__()
        self.entropy_weight = config.entropy_weight

    def per_example(self, output: Output) -> Tensor:
        """Return digamma(total) - digamma(the label's concentration) less the entropy's share, (batch,) float32."""
        assert output.logits is not None
        with torch.autocast(output.logits.device.type, enabled=False):
            # Digamma of two large numbers is subtracted; in 32 bits little would be left of the difference.
            alpha = output.logits.double().exp()
            own = alpha.gather(1, output.labels[:, None])[:, 0]
            expected = torch.digamma(alpha.sum(1)) - torch.digamma(own)
            return (expected - self.entropy_weight * entropy(alpha)).float()
