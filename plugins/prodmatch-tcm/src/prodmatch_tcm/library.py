"""The margin term as a loss of pytorch-metric-learning, for those who train with that library."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction
from pytorch_metric_learning.utils import common_functions
from pytorch_metric_learning.utils.loss_and_miner_utils import convert_to_pairs
from torch import Tensor

from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.term import Margins, term

Indices = tuple[Tensor, ...]


class ThresholdConsistentMarginLoss(BaseMetricLossFunction):
    """The term with the library's arguments; works with its miners, its reducers and its cross-batch memory.

    Unlike the library's own class it reads `ref_emb` and keeps a gradient where no pair is hard. Without a reducer of
    yours, each half is the mean over its hard pairs, in closed form; a reducer is given every hard pair's own value, as
    sub-losses `positive_loss` and `negative_loss`.
    """

    def __init__(
        self,
        lambda_plus: float = 1.0,
        lambda_minus: float = 1.0,
        margin_plus: float = 0.9,
        margin_minus: float = 0.5,
        **options: Any,
    ) -> None:
        """Hold factors and margins; `options` are the library's own: distance, reducer, regularizers."""
        self.closed = options.get("reducer") is None
        super().__init__(**options)
        common_functions.assert_distance_type(self, CosineSimilarity)
        self.lambda_plus, self.lambda_minus = lambda_plus, lambda_minus
        self.margin_plus, self.margin_minus = margin_plus, margin_minus

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Indices | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, Any]]:
        """Return the term, or its halves, as the library's reducers take them."""
        common_functions.labels_or_indices_tuple_required(labels, indices_tuple)
        similarity = self.distance(embeddings, ref_emb)
        if self.closed and indices_tuple is None:
            assert labels is not None and ref_labels is not None
            left, right = similarity.new_ones(len(embeddings)), similarity.new_ones(len(ref_emb))
            pairs = Pairs(similarity, labels, ref_labels, left, right, own=ref_emb is embeddings)
            margins = Margins(self.margin_plus, self.margin_minus, self.lambda_plus, self.lambda_minus)
            return _reduced(term([pairs], margins))
        first, near, second, far = convert_to_pairs(indices_tuple, labels, ref_labels)
        short = self.margin_plus - similarity[first, near]
        excess = similarity[second, far] - self.margin_minus
        hard = short.detach() >= 0, excess.detach() >= 0
        if self.closed:
            means = (
                part[kept].sum() / kept.sum().clamp_min(1)
                for part, kept in zip((short, excess), hard, strict=True)
            )
            return _reduced(self.lambda_plus * next(means) + self.lambda_minus * next(means))
        return {
            "positive_loss": _pairs(self.lambda_plus * short, hard[0], (first, near), "pos_pair"),
            "negative_loss": _pairs(self.lambda_minus * excess, hard[1], (second, far), "neg_pair"),
        }

    def get_default_distance(self) -> CosineSimilarity:
        """Return cosine similarity, the only distance the margins are made for."""
        return CosineSimilarity()

    def _sub_loss_names(self) -> list[str]:
        return ["loss"] if self.closed else ["positive_loss", "negative_loss"]


def _reduced(value: Tensor) -> dict[str, dict[str, Any]]:
    return {"loss": {"losses": value, "indices": None, "reduction_type": "already_reduced"}}


def _pairs(losses: Tensor, hard: Tensor, places: Indices, kind: str) -> dict[str, Any]:
    indices = tuple(torch.as_tensor(place)[hard] for place in places)
    return {"losses": losses[hard], "indices": indices, "reduction_type": kind}
