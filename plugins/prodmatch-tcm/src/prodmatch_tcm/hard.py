"""Hard pairs of a block of similarities: their sums in one pass, and the gradient they cause in another.

On the processor both are kernels that read the matrix once and make no mask of it; elsewhere, plain tensor operations
say the same. A pair that is not a number counts as hard, so that it is seen in the loss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from prodmatch_tcm.pairs import Pairs

SPARSE = 16
"A gradient with fewer hard pairs than one in so many is kept as a list of them; adding it to another costs nothing."
# Sums may be taken in any order, but a value that is not a number must stay one.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


class Sums(NamedTuple):
    """What hard pairs sum up to.

    Attributes:
        positive: weighted sum of how far hard positives lie below their margin.
        positives: their weight.
        negative: weighted sum of how far hard negatives lie above their margin.
        negatives: their weight.
        pairs: how many hard pairs there are, positive or negative.
    """

    positive: float
    positives: float
    negative: float
    negatives: float
    pairs: int

    def __add__(self, other: tuple) -> Sums:
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


def sums(pairs: Pairs, low: float, high: float) -> Sums:
    """Return the sums over positives of similarity at most `low` and negatives of similarity at least `high`."""
    s = pairs.similarity.detach()
    if s.device.type == "cpu":
        return Sums(*_sums(*_arrays(pairs), pairs.own, low, high))
    found = Sums(0.0, 0.0, 0.0, 0.0, 0)
    for near, side, sign, margin in _masks(pairs, low, high):
        weight = _weights(pairs) * near
        total = float((sign * (margin - s) * weight).sum())
        mass, count = float(weight.sum()), int(near.sum())
        found += (total, mass, 0.0, 0.0, count) if side == "positive" else (0.0, 0.0, total, mass, count)
    return found


def gradient(pairs: Pairs, low: float, high: float, positive: float, negative: float, count: int) -> Tensor:
    """Return minus `positive` at every hard positive and `negative` at every hard negative, times the pair's weight.

    Args:
        pairs: the block.
        low: similarity up to which a positive is hard.
        high: similarity from which a negative is hard.
        positive: factor of hard positives.
        negative: factor of hard negatives.
        count: how many hard pairs the block has, as `sums` found.

    Returns:
        (n, m) of the similarities' type, sparse where hard pairs are few.
    """
    s = pairs.similarity.detach()
    if s.device.type != "cpu":
        result = torch.zeros_like(s)
        for near, side, _, _ in _masks(pairs, low, high):
            result += near * _weights(pairs) * (-positive if side == "positive" else negative)
        return result
    arrays = _arrays(pairs)
    if count * SPARSE < s.numel():
        places = np.empty((2, count), dtype=np.int64)
        values = np.empty(count, dtype=arrays[0].dtype)
        _list(*arrays, pairs.own, low, high, positive, negative, places, values)
        return torch.sparse_coo_tensor(
            torch.from_numpy(places),
            torch.from_numpy(values),
            s.shape,
            check_invariants=False,
            is_coalesced=True,
        )
    result = torch.empty_like(s)
    _fill(*arrays, pairs.own, low, high, positive, negative, result.numpy())
    return result


def _masks(pairs: Pairs, low: float, high: float) -> list[tuple[Tensor, str, int, float]]:
    s = pairs.similarity.detach()
    positive = torch.zeros_like(pairs.negatives)
    positive[pairs.positives] = True
    return [
        (positive & ~(s > low), "positive", 1, low),
        (pairs.negatives & ~(s < high), "negative", -1, high),
    ]


def _weights(pairs: Pairs) -> Tensor:
    return pairs.row_weights[:, None] * pairs.column_weights


def _arrays(pairs: Pairs) -> tuple[np.ndarray, ...]:
    """Return similarities, classes as int32 numbers and weights, as the kernels take them."""
    similarity = pairs.similarity.detach().contiguous().numpy()
    classes = np.concatenate([pairs.rows.numpy(), pairs.columns.numpy()])
    if classes.size and max(-int(classes.min()), int(classes.max())) > np.iinfo(np.int32).max:
        classes = np.unique(classes, return_inverse=True)[1]
    classes = classes.astype(np.int32)
    weights = (
        side.detach().to(pairs.similarity.dtype).numpy() for side in (pairs.row_weights, pairs.column_weights)
    )
    return similarity, classes[: len(similarity)], classes[len(similarity) :], *weights


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sums(
    s: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    row_weights: np.ndarray,
    column_weights: np.ndarray,
    own: bool,
    low: float,
    high: float,
) -> tuple[float, float, float, float, int]:
    n, m = s.shape
    low, high, zero = s.dtype.type(low), s.dtype.type(high), s.dtype.type(0)
    positive, positives, negative, negatives, pairs = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(n):
        above, below, a, b, near = zero, zero, zero, zero, 0
        for j in range(m):
            v = s[i, j]
            w = column_weights[j]
            same = columns[j] == rows[i]
            p = same and not v > low
            q = not same and not v < high
            below += w * (low - v) if p else zero
            b += w if p else zero
            above += w * (v - high) if q else zero
            a += w if q else zero
            near += 1 if p or q else 0
        if own and not s[i, i] > low:
            below -= column_weights[i] * (low - s[i, i])
            b -= column_weights[i]
            near -= 1
        positive += row_weights[i] * below
        positives += row_weights[i] * b
        negative += row_weights[i] * above
        negatives += row_weights[i] * a
        pairs += near
    return positive, positives, negative, negatives, pairs


@njit(cache=True, nogil=True, fastmath=_FAST)
def _fill(
    s: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    row_weights: np.ndarray,
    column_weights: np.ndarray,
    own: bool,
    low: float,
    high: float,
    positive: float,
    negative: float,
    result: np.ndarray,
) -> None:
    n, m = s.shape
    low, high, zero = s.dtype.type(low), s.dtype.type(high), s.dtype.type(0)
    for i in range(n):
        up = s.dtype.type(-positive * row_weights[i])
        down = s.dtype.type(negative * row_weights[i])
        for j in range(m):
            v = s[i, j]
            same = columns[j] == rows[i]
            p = up if not v > low else zero
            q = down if not v < high else zero
            result[i, j] = column_weights[j] * (p if same else q)
        if own:
            result[i, i] = zero


@njit(cache=True, nogil=True)
def _list(
    s: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    row_weights: np.ndarray,
    column_weights: np.ndarray,
    own: bool,
    low: float,
    high: float,
    positive: float,
    negative: float,
    places: np.ndarray,
    values: np.ndarray,
) -> None:
    n, m = s.shape
    low, high = s.dtype.type(low), s.dtype.type(high)
    found = 0
    for i in range(n):
        for begin in range(0, m, 64):
            end = min(begin + 64, m)
            near = 0
            for j in range(begin, end):  # branch-free: nearly every chunk holds no hard pair
                v = s[i, j]
                same = columns[j] == rows[i]
                near += 1 if (same and not v > low) or (not same and not v < high) else 0
            if not near:
                continue
            for j in range(begin, end):
                v = s[i, j]
                same = columns[j] == rows[i]
                if (own and i == j) or (v > low if same else v < high):
                    continue
                places[0, found], places[1, found] = i, j
                factor = -positive if same else negative
                values[found] = factor * row_weights[i] * column_weights[j]
                found += 1
