"""Hard pairs of a block of similarities: where they are, what they sum up to, and the gradient they cause.

Positives are few and found by class. For hard negatives a kernel passes over the matrix once and makes no mask of it;
where there are too many for a list, or on another device, they are worked off as a matrix. A similarity that is not a
number counts as hard, so that it is seen in the loss.
"""

from __future__ import annotations

import attrs
import numpy as np
import torch
from numba import njit
from torch import Tensor

from prodmatch_tcm.pairs import Pairs

SPARSE = 16
"Up to one pair in so many is listed; more hard negatives are worked off as a matrix."
CHUNK = 64
"Similarities compared with the margin before anything branches."

Places = tuple[Tensor, Tensor]


@attrs.frozen(eq=False)
class Hard:
    """The hard pairs of one block.

    Attributes:
        near: row and column of the hard positives, int64 each.
        far: row and column of the hard negatives; None where they are not listed.
        short: weighted sum of how far hard positives lie below their margin.
        near_weight: weight of the hard positives.
        excess: weighted sum of how far hard negatives lie above their margin.
        far_weight: weight of the hard negatives.
    """

    near: Places
    far: Places | None
    short: float
    near_weight: float
    excess: float
    far_weight: float


def find(pairs: Pairs, low: float, high: float) -> Hard:
    """Return the positives of similarity at most `low` and the negatives of similarity at least `high`."""
    s = pairs.similarity.detach()
    rows, columns = pairs.positives
    values = torch.take(s, rows * s.shape[1] + columns)
    kept = ~(values > low)
    near = rows[kept], columns[kept]
    left = _weights(pairs, near)
    far = listed_negatives(pairs, high) if s.device.type == "cpu" else None
    if far is None:
        right = _negative_weights(pairs, high)
        gaps = torch.where(right > 0, (s - high) * right, 0.0)
    else:
        right = _weights(pairs, far)
        gaps = (torch.take(s, far[0] * s.shape[1] + far[1]) - high) * right
    return Hard(
        near,
        far,
        float(((low - values[kept]) * left).sum()),
        float(left.sum()),
        float(gaps.sum()),
        float(right.sum()),
    )


def gradient(pairs: Pairs, found: Hard, high: float, near: float, far: float, sparse: bool = False) -> Tensor:
    """Return minus `near` at every hard positive and `far` at every hard negative, times the pair's weight.

    Args:
        pairs: the block.
        found: its hard pairs.
        high: similarity from which a negative is hard.
        near: factor of hard positives.
        far: factor of hard negatives.
        sparse: return a list of entries where hard pairs are few.

    Returns:
        (n, m) of the similarities' type.
    """
    s = pairs.similarity.detach()
    pull = -near * _weights(pairs, found.near)
    if found.far is None:
        result = _negative_weights(pairs, high).mul_(far)
    else:
        push = far * _weights(pairs, found.far)
        if sparse:
            places = torch.stack([torch.cat(both) for both in zip(found.near, found.far, strict=True)])
            return torch.sparse_coo_tensor(places, torch.cat([pull, push]), s.shape, check_invariants=False)
        result = torch.zeros_like(s)
        result[found.far] = push
    result[found.near] = pull
    return result


def listed_negatives(pairs: Pairs, high: float) -> Places | None:
    """Return row and column of the negatives of similarity at least `high`, by row; None where there are too many."""
    s = pairs.similarity.detach().contiguous().numpy()
    places = np.empty((2, max(1, s.size // SPARSE)), dtype=np.int64)
    count = _list(s, pairs.rows.numpy(), pairs.columns.numpy(), pairs.own, s.dtype.type(high), places)
    if count < 0:
        return None
    return torch.from_numpy(places[0, :count].copy()), torch.from_numpy(places[1, :count].copy())


def _weights(pairs: Pairs, places: Places) -> Tensor:
    weights = pairs.row_weights[places[0]] * pairs.column_weights[places[1]]
    return weights.to(pairs.similarity.dtype)


def _negative_weights(pairs: Pairs, high: float) -> Tensor:
    """Return the weight of every hard negative and 0 elsewhere, (n, m)."""
    weights = (pairs.row_weights[:, None] * pairs.column_weights).to(pairs.similarity.dtype)
    weights[pairs.similarity.detach() < high] = 0.0
    weights[pairs.positives] = 0.0
    return weights.fill_diagonal_(0.0) if pairs.own else weights


@njit(cache=True, nogil=True)
def _any_from(values: np.ndarray, high: float) -> bool:
    found = False
    for j in range(len(values)):
        found |= not values[j] < high
    return found


@njit(cache=True, nogil=True)
def _list(
    s: np.ndarray, rows: np.ndarray, columns: np.ndarray, own: bool, high: float, places: np.ndarray
) -> int:
    """Write the places of hard negatives and return how many there are, -1 where they do not fit."""
    n, m = s.shape
    found = 0
    for i in range(n):
        for begin in range(0, m, CHUNK):
            end = min(begin + CHUNK, m)
            if not _any_from(s[i, begin:end], high):  # nearly always
                continue
            for j in range(begin, end):
                if s[i, j] < high or columns[j] == rows[i] or (own and i == j):
                    continue
                if found == places.shape[1]:
                    return -1
                places[0, found], places[1, found] = i, j
                found += 1
    return found
