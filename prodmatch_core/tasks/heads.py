"""Heads: what stands between an encoder's vectors and a task's outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.encoder import Encoding


class ClassHead(nn.Module):
    """Class logits from a pair vector, or from two vectors through the standard siamese features.

    The siamese features are [q; p; |q - p|; q * p] (InferSent, arXiv 1705.02364, section 3).
    """

    def __init__(self, width: int, classes: int, siamese: bool, dropout: float = 0.1) -> None:
        """Make a head for vectors of size `width`."""
        super().__init__()
        self.siamese = siamese
        size = 4 * width if siamese else width
        hidden = max(32, min(width, 256))
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(size, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, encoding: Encoding) -> Tensor:
        """Return logits (batch, classes)."""
        if not self.siamese:
            assert encoding.pair is not None
            return self.layers(encoding.pair)
        q, p = encoding.query, encoding.product
        assert q is not None and p is not None
        return self.layers(torch.cat([q, p, (q - p).abs(), q * p], dim=-1))


class GivenLogits(nn.Module):
    """The head of an encoder that brings its own: passes its logits on."""

    def forward(self, encoding: Encoding) -> Tensor:
        """Return the encoder's logits (batch, classes)."""
        assert encoding.logits is not None
        return encoding.logits


def class_head(width: int, gives: frozenset[str], classes: int, dropout: float) -> nn.Module:
    """Return the head that makes class logits of what an encoder gives: vectors, or logits already."""
    if "logits" in gives:
        return GivenLogits()
    return ClassHead(width, classes, siamese="pairs" not in gives, dropout=dropout)


class DirectedHead(nn.Module):
    """A source vector from the query side and a target vector from the product side.

    An encoder that is directed itself keeps its vectors; others get a linear map a side, both the identity at first,
    so that training starts from the encoder's own similarity. The logit of a link is an affine function of the
    cosine, that of no link is 0.
    """

    def __init__(self, width: int, directed: bool) -> None:
        """Make a head for vectors of size `width`."""
        super().__init__()
        self.source: nn.Module = nn.Identity() if directed else _identity(width)
        self.target: nn.Module = nn.Identity() if directed else _identity(width)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, encoding: Encoding) -> tuple[Tensor | None, Tensor | None]:
        """Return the source and the target vectors, (batch, width) each, None where the side is not there."""
        source = None if encoding.query is None else self.source(encoding.query)
        target = None if encoding.product is None else self.target(encoding.product)
        return source, target

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        """Return logits (batch, 2) of link and no link."""
        cosine = functional.cosine_similarity(source.float(), target.float(), dim=-1)
        link = self.scale * cosine + self.bias
        return torch.stack([link, torch.zeros_like(link)], dim=-1)


def _identity(width: int) -> nn.Linear:
    linear = nn.Linear(width, width)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
