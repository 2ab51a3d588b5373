"""Margins that follow the data: running quantiles of the similarities of positive and of negative pairs."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from prodmatch_tcm.pairs import Pairs

BINS = 2048
"Bins of cosine similarity from -1 to 1; quantiles are interpolated within a bin."
SAMPLE = 1 << 15
"Pairs of a batch that are counted, about; of a larger batch every second, third, ... row is."


class TrackedMargins(nn.Module):
    """Histograms of the similarities seen so far, older batches counting less, and the quantiles asked of them."""

    seen: Tensor

    def __init__(self, false_reject: float, false_accept: float, momentum: float) -> None:
        """Start with nothing seen.

        Args:
            false_reject: share of positive pairs that lie below the positive margin.
            false_accept: share of negative pairs that lie above the negative margin.
            momentum: what an earlier batch still counts after one more.
        """
        super().__init__()
        self.false_reject, self.false_accept, self.momentum = false_reject, false_accept, momentum
        self.register_buffer("seen", torch.zeros(2, BINS, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, pairs: Pairs) -> None:
        """Count a batch's pairs by weight; a side without a pair leaves its histogram as it is."""
        found = histograms(pairs)
        totals = found.sum(dim=1, keepdim=True)
        there = totals[:, 0] > 0
        self.seen[there] = self.momentum * self.seen[there] + found[there] / totals[there]

    @property
    def positive(self) -> float | None:
        """Return the similarity below which `false_reject` of the positive pairs lie; None before one was seen."""
        return quantile(self.seen[0], self.false_reject)

    @property
    def negative(self) -> float | None:
        """Return the similarity above which `false_accept` of the negative pairs lie; None before one was seen."""
        return quantile(self.seen[1], 1 - self.false_accept)


def quantile(counts: Tensor, share: float) -> float | None:
    """Return the similarity below which `share` of the counted pairs lie, None where nothing was counted."""
    below = counts.cumsum(0)
    total = float(below[-1])
    if total <= 0:
        return None
    wanted = share * total
    bin_ = min(int(torch.searchsorted(below, wanted)), len(counts) - 1)
    before = float(below[bin_ - 1]) if bin_ else 0.0
    inside = (wanted - before) / max(float(counts[bin_]), 1e-300)
    return -1.0 + 2.0 * (bin_ + min(max(inside, 0.0), 1.0)) / len(counts)


def histograms(pairs: Pairs) -> Tensor:
    """Return the weight of the positive and of the negative pairs in every bin, (2, BINS) float64.

    All positive pairs count, and the negatives of as many rows as hold about SAMPLE pairs.
    """
    similarity = pairs.similarity.detach().cpu()
    n, m = similarity.shape
    step = max(1, n * m // SAMPLE)
    left, right = (side.detach().cpu().double().numpy() for side in (pairs.row_weights, pairs.column_weights))
    row, column = (side.cpu() for side in pairs.positives)
    near = similarity[row, column].double().numpy()
    weights = left[row.numpy()] * right[column.numpy()]
    positive = np.bincount(_bins(near), weights=weights, minlength=BINS)
    sampled = similarity[::step].contiguous().numpy()
    own = np.arange(0, n, step) if pairs.own else np.full(len(sampled), -1)
    negative = _negatives(
        sampled, pairs.rows.cpu().numpy()[::step], pairs.columns.cpu().numpy(), own, left[::step], right
    )
    return torch.from_numpy(np.stack([positive, negative])).to(pairs.similarity.device)


def _bins(similarity: np.ndarray) -> np.ndarray:
    # What is not a number falls into the lowest bin; the loss itself shows it.
    scaled = np.nan_to_num((similarity + 1.0) * (BINS / 2), nan=0.0)
    return np.clip(scaled, 0, BINS - 1).astype(np.int64)


@njit(cache=True, nogil=True)
def _negatives(
    s: np.ndarray, rows: np.ndarray, columns: np.ndarray, own: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    counts = np.zeros(BINS)
    for i in range(s.shape[0]):
        for j in range(s.shape[1]):
            if columns[j] != rows[i] and j != own[i]:
                place = (s[i, j] + 1.0) * (BINS / 2)
                bin_ = 0
                if place >= BINS:
                    bin_ = BINS - 1
                elif place > 0:
                    bin_ = int(place)
                counts[bin_] += left[i] * right[j]
    return counts
