"""Attention word by word: each query token over the product's tokens, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import States


class WordByWord(nn.Module):
    """Attention of query states over product states (arXiv 2005.03624, section 3.1).

    With product states K (batch, m, k), query states H (batch, n, k) and r_0 = 0, for each query token t:
    M_t = tanh(K W_K + h_t W_h + r_(t-1) W_r), alpha_t = a(M_t w), r_t = alpha_t K + tanh(W_t r_(t-1)).
    """

    def __init__(self, width: int, kind: str) -> None:
        """Make the weights; `kind` is softmax or tanh."""
        super().__init__()
        self.kind = kind
        self.keys = nn.Linear(width, width)
        self.asked = nn.Linear(width, width, bias=False)
        self.carried = nn.Linear(width, 2 * width, bias=False)
        "W_r and W_t side by side: one product a step."
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, query: States, product: States) -> tuple[Tensor, Tensor]:
        """Return r_n, (batch, k), and all weights, (batch, n, m) with 0 at padding, float.

        Args:
            query: (batch, n, k) states.
            product: (batch, m, k) states.
        """
        keys, asked = self.keys(product.hidden), self.asked(query.hidden)
        values, width = product.hidden, keys.shape[2]
        away, vector = ~product.mask, self.score.weight[0]
        found = keys.new_zeros(len(keys), width)
        weights = []
        # The only loop over time that no library kernel does; queries are short.
        for step in range(query.hidden.shape[1]):
            shift, kept = self.carried(found).split(width, dim=1)
            score = torch.tanh(keys + (asked[:, step] + shift)[:, None]) @ vector
            if self.kind == "softmax":
                weight = score.float().masked_fill(away, float("-inf")).softmax(dim=1).to(values.dtype)
            else:
                weight = torch.tanh(score).masked_fill(away, 0.0)
            inside = query.mask[:, step, None]
            new = torch.bmm(weight[:, None], values)[:, 0] + torch.tanh(kept)
            found = torch.where(inside, new, found)
            weights.append(weight * inside)
        return found, torch.stack(weights, dim=1)
