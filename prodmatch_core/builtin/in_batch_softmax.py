"""`core.in_batch_softmax`: each query against the products of the whole batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.builtin.configs import InBatchSoftmaxConfig
from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Loss, Output, weighted_mean
from prodmatch_core.data.dataset import LabelScheme

SAME = 1 - 1e-6
"Cosine from which two vectors are taken to be of the same text."


class InBatchSoftmaxLoss(Loss):
    """Softmax cross entropy of a matching pair's similarity among its query's with all products of the batch.

    InfoNCE (arXiv 1807.03748, equation 4) with weights. A product counts against a pair as often as its row's
    weight says. Left out are products that may match: the pair's own product in another row, and products
    that match the same query. Texts are taken to be the same where their vectors are, so an encoder that
    drops units at random hides some.
    """

    positive: Tensor

    def __init__(self, config: InBatchSoftmaxConfig, scheme: LabelScheme) -> None:
        """Make the loss for a label scheme."""
        super().__init__()
        self.temperature = config.temperature
        self.register_buffer("positive", torch.from_numpy(positive_classes(scheme)), persistent=False)

    def forward(self, output: Output) -> Tensor:
        """Return the mean over matching pairs; 0, with a gradient, where there is none.

        Raises:
            ValueError: the member has one tower, so that a row's similarity with itself says nothing.
        """
        if output.embeddings is None or output.references is None:
            raise ValueError("core.in_batch_softmax needs one vector per query and one per product")
        logits = output.similarity / self.temperature
        weights = output.weights.float()
        matching = torch.isin(output.labels, self.positive)
        itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        left_out = ((same_text(output.embeddings) & matching) | same_text(output.references)) & ~itself
        # A row of weight w is w columns; the pair's own column is there once, however heavy its row.
        log_weights = torch.where(itself, 0.0, weights.log()).masked_fill(left_out, -torch.inf)
        losses = torch.logsumexp(logits + log_weights, dim=1) - logits.diagonal()
        return weighted_mean(losses, weights * matching)


def same_text(vectors: Tensor) -> Tensor:
    """Return which rows are the same text, (batch, batch) bool."""
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        directions = functional.normalize(vectors.float(), dim=-1)
        return directions @ directions.T > SAME
