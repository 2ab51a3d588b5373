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


@attrs.frozen(eq=False)
class Hard:
    """The hard pairs of one block.

    Attributes:
        places: (2, pairs) int64 row and column of the hard positives, then of the hard negatives that are listed.
        weights: (pairs,) weight of each.
        near: how many of them are positives.
        listed: whether the hard negatives are among them.
        short: weighted sum of how far hard positives lie below their margin.
        near_weight: weight of the hard positives.
        excess: weighted sum of how far hard negatives lie above their margin.
        far_weight: weight of the hard negatives.
    """

    places: Tensor
    weights: Tensor
    near: int
    listed: bool
    short: float
    near_weight: float
    excess: float
    far_weight: float


def find(pairs: Pairs, low: float, high: float) -> Hard:
    """Return the positives of similarity at most `low` and the negatives of similarity at least `high`."""
    found = listed(pairs, low, high) if pairs.similarity.device.type == "cpu" else None
    if found is not None:
        return found
    s = pairs.similarity.detach()
    places = torch.stack(pairs.positives)
    values = s[places[0], places[1]]
    kept = ~(values > low)
    places, values = places[:, kept], values[kept]
    left = (pairs.row_weights[places[0]] * pairs.column_weights[places[1]]).to(s.dtype)
    right = _negative_weights(pairs, high)
    gaps = torch.where(right > 0, (s - high) * right, 0.0)
    return Hard(
        places,
        left,
        len(left),
        False,
        float(((low - values) * left).sum()),
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
    values = found.weights * far
    values[: found.near] = found.weights[: found.near] * -near
    if found.listed and sparse:
        return torch.sparse_coo_tensor(found.places, values, s.shape, check_invariants=False)
    result = torch.zeros_like(s) if found.listed else _negative_weights(pairs, high).mul_(far)
    result[found.places[0], found.places[1]] = values
    return result


def listed(pairs: Pairs, low: float, high: float) -> Hard | None:
    """Return the hard pairs of a block on the processor; None where hard negatives are too many to list."""
    s = pairs.similarity.detach().contiguous().numpy()
    rows, columns = (side.numpy() for side in pairs.positives)
    left, right = (
        side.detach().to(pairs.similarity.dtype).numpy() for side in (pairs.row_weights, pairs.column_weights)
    )
    room = len(rows) + max(1, s.size // SPARSE)
    places, heft = np.empty((2, room), dtype=np.int64), np.empty(room, dtype=s.dtype)
    near, count, *told = _list(
        s,
        rows,
        columns,
        pairs.rows.numpy(),
        pairs.columns.numpy(),
        left,
        right,
        pairs.own,
        s.dtype.type(low),
        s.dtype.type(high),
        places,
        heft,
    )
    if count < 0:
        return None
    return Hard(torch.from_numpy(places[:, :count]), torch.from_numpy(heft[:count]), near, True, *told)


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
    s: np.ndarray,
    near_rows: np.ndarray,
    near_columns: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    row_weights: np.ndarray,
    column_weights: np.ndarray,
    own: bool,
    low: float,
    high: float,
    places: np.ndarray,
    weights: np.ndarray,
) -> tuple[int, int, float, float, float, float]:
    """Write places and weights of hard pairs, positives first.

    Returns:
        How many positives and how many pairs there are, -1 pairs where they do not fit; then the four sums of `Hard`.
    """
    n, m = s.shape
    found, short, near_weight, excess, far_weight = 0, 0.0, 0.0, 0.0, 0.0
    for place in range(len(near_rows)):
        i, j = near_rows[place], near_columns[place]
        if s[i, j] > low:
            continue
        weight = row_weights[i] * column_weights[j]
        places[0, found], places[1, found], weights[found] = i, j, weight
        short += weight * (low - s[i, j])
        near_weight += weight
        found += 1
    near = found
    for i in range(n):
        for begin in range(0, m, CHUNK):
            end = min(begin + CHUNK, m)
            if not _any_from(s[i, begin:end], high):  # nearly always
                continue
            for j in range(begin, end):
                if s[i, j] < high or columns[j] == rows[i] or (own and i == j):
                    continue
                if found == places.shape[1]:
                    return near, -1, 0.0, 0.0, 0.0, 0.0
                weight = row_weights[i] * column_weights[j]
                places[0, found], places[1, found], weights[found] = i, j, weight
                excess += weight * (s[i, j] - high)
                far_weight += weight
                found += 1
    return near, found, short, near_weight, excess, far_weight
