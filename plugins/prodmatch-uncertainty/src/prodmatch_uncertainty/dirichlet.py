"""The differential entropy of Dirichlet distributions, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(concentrations: Tensor) -> Tensor:
    """Return the differential entropy, (...,) from (..., classes); of two classes it is a Beta distribution's."""
    total, classes = concentrations.sum(-1), concentrations.shape[-1]
    return (
        torch.lgamma(concentrations).sum(-1)
        - torch.lgamma(total)
        + (total - classes) * torch.digamma(total)
        - ((concentrations - 1) * torch.digamma(concentrations)).sum(-1)
    )
