"""The match task: which class does a query-product pair belong to? Binary, graded or ESCI by label scheme."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.tasks.base import Task


class MatchHead(nn.Module):
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


class MatchTask:
    """Pairs in, class probabilities out."""

    headline = "macro_f1"
    measures: tuple[str, ...] = (
        "macro_f1",
        "weighted_f1",
        "accuracy",
        "match_f1",
        "mismatch_f1",
        "average_precision",
        "mismatch_average_precision",
        "roc_auc",
        "kappa",
        "nll",
        "ece",
        "ndcg",
    )
    default_loss = "core.cross_entropy"

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme) -> nn.Module:
        """Return the classifier on top of a member's encoder."""
        return MatchHead(width, len(scheme.labels), siamese="pairs" not in gives)

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return logits, and embeddings where the encoder gives them."""
        return Output(
            labels=labels,
            weights=weights,
            logits=head(encoding),
            embeddings=encoding.query,
            references=encoding.product,
        )


TASKS: dict[str, type[Task]] = {"match": MatchTask}
"Task classes by the name pipeline files use."
