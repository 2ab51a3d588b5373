"""Margins that follow the data: running quantiles of the similarities of positive and of negative pairs."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from prodmatch_tcm.pairs import Pairs

BINS = 2048
"Bins of cosine similarity from -1 to 1; quantiles are interpolated within a bin."
SAMPLE = 1 << 14
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

    def observe(self, pairs: Pairs) -> None:
        """Count a batch's pairs by weight; a side without a pair leaves its histogram as it is."""
        seen = self.seen.cpu().numpy()
        for counts, found in zip(seen, histograms(pairs), strict=True):
            total = found.sum()
            if total > 0:
                counts *= self.momentum
                counts += found / total
        if self.seen.device.type != "cpu":
            self.seen.copy_(torch.from_numpy(seen))

    @property
    def positive(self) -> float | None:
        """Return the similarity below which `false_reject` of the positive pairs lie; None before one was seen."""
        return quantile(self.seen[0].cpu().numpy(), self.false_reject)

    @property
    def negative(self) -> float | None:
        """Return the similarity above which `false_accept` of the negative pairs lie; None before one was seen."""
        return quantile(self.seen[1].cpu().numpy(), 1 - self.false_accept)


def quantile(counts: np.ndarray, share: float) -> float | None:
    """Return the similarity below which `share` of the counted pairs lie, None where nothing was counted."""
    below = np.cumsum(counts)
    total = below[-1]
    if total <= 0:
        return None
    wanted = share * total
    bin_ = min(int(np.searchsorted(below, wanted)), len(counts) - 1)
    before = below[bin_ - 1] if bin_ else 0.0
    inside = (wanted - before) / max(counts[bin_], 1e-300)
    return float(-1.0 + 2.0 * (bin_ + min(max(inside, 0.0), 1.0)) / len(counts))


def histograms(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the positive and of the negative pairs in every bin, (BINS,) float64 each.

    All positive pairs count, and the negatives of as many rows as hold about SAMPLE pairs.
    """
    similarity = pairs.similarity.detach().cpu().contiguous().numpy()
    row, column = (side.cpu().numpy() for side in pairs.positives)
    rows, columns = pairs.rows.cpu().numpy(), pairs.columns.cpu().numpy()
    left, right = (side.detach().cpu().numpy() for side in (pairs.row_weights, pairs.column_weights))
    step = max(1, similarity.size // SAMPLE)
    positive = _positives(similarity, row, column, left, right)
    return positive, _negatives(similarity, rows, columns, pairs.own, left, right, step)


@njit(cache=True, nogil=True)
def _bin(similarity: float) -> int:
    place = (similarity + 1.0) * (BINS / 2)
    if place >= BINS:
        return BINS - 1
    # What is not a number falls into the lowest bin; the loss itself shows it.
    return int(place) if place > 0 else 0


@njit(cache=True, nogil=True)
def _positives(
    s: np.ndarray, rows: np.ndarray, columns: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    counts = np.zeros(BINS)
    for place in range(len(rows)):
        i, j = rows[place], columns[place]
        counts[_bin(s[i, j])] += left[i] * right[j]
    return counts


@njit(cache=True, nogil=True)
def _negatives(
    s: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    own: bool,
    left: np.ndarray,
    right: np.ndarray,
    step: int,
) -> np.ndarray:
    counts = np.zeros(BINS)
    for i in range(0, s.shape[0], step):
        for j in range(s.shape[1]):
            if columns[j] != rows[i] and not (own and i == j):
                counts[_bin(s[i, j])] += left[i] * right[j]
    return counts
