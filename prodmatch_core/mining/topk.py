"""The best columns of many rows of scores, without ever holding all scores.

Scores come in tiles, columns ascending. Each row keeps its best k so far as a heap whose root is the worst of them, so
that a tile is read once and nearly every score is refused by one comparison. Kernels hold no interpreter lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import attrs
import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

COLUMNS = 2048
"Columns of a tile of scores: with them and `ROWS` a thread's tile (4 MB) stays in the processor's last cache."
ROWS = 512
CHUNK = 64
"Scores compared with the threshold before anything branches."


@attrs.frozen(eq=False)
class Ragged:
    """Lists of different lengths: list r is `values[offsets[r]:offsets[r + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray
    "(rows + 1,) int64."

    @classmethod
    def of(cls, rows: np.ndarray, values: np.ndarray, count: int) -> Ragged:
        """Return lists of `count` rows from (row, value) entries: values ascending, each once, int64."""
        rows, values = distinct_pairs(rows, values)
        return cls(values, np.searchsorted(rows, np.arange(count + 1)))

    def take(self, rows: slice) -> Ragged:
        """Return the lists of neighbouring rows; the values are shared, not copied."""
        return Ragged(self.values, self.offsets[rows.start : rows.stop + 1])


def distinct_pairs(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pairs of whole numbers of at least 0, sorted by row and value, int64 each."""
    span = int(values.max(initial=0)) + 1
    codes = np.unique(rows.astype(np.int64) * span + values)
    return codes // span, codes % span


@attrs.frozen(eq=False)
class Best:
    """The best columns of some rows.

    Attributes:
        scores: (rows, k) float32, best first; -inf where there are fewer.
        columns: (rows, k) int64, of equal scores the lowest first; -1 where there are fewer.
    """

    scores: np.ndarray
    columns: np.ndarray

    @classmethod
    def empty(cls, rows: int, k: int) -> Best:
        """Return room for the best `k` of `rows` rows, as heaps for the kernels."""
        return cls(np.full((rows, k), -np.inf, dtype=np.float32), np.full((rows, k), -1, dtype=np.int64))

    def take(self, rows: slice) -> Best:
        """Return views of some rows."""
        return Best(self.scores[rows], self.columns[rows])

    def ordered(self) -> Best:
        """Return the heaps as rows sorted best first."""
        order = np.lexsort((self.columns, -self.scores), axis=-1)
        return Best(np.take_along_axis(self.scores, order, 1), np.take_along_axis(self.columns, order, 1))


@njit(cache=True, nogil=True)
def push(scores: np.ndarray, columns: np.ndarray, score: float, column: int) -> None:
    """Replace a heap's root, which is worse, by a score; the root is the lowest score, of equals the last column."""
    size = len(scores)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            scores[other] < scores[child]
            or (scores[other] == scores[child] and columns[other] > columns[child])
        ):
            child = other
        if scores[child] < score or (scores[child] == score and columns[child] > column):
            scores[place], columns[place] = scores[child], columns[child]
            place = child
        else:
            break
    scores[place], columns[place] = score, column


@njit(cache=True, nogil=True)
def any_above(values: np.ndarray, threshold: float) -> bool:
    """Return whether any value is above a threshold; without a branch, so that an instruction compares many."""
    found = False
    for j in range(len(values)):
        found |= values[j] > threshold
    return found


@njit(cache=True, nogil=True)
def offer(scores: np.ndarray, columns: np.ndarray, values: np.ndarray, before: int) -> None:
    """Offer the scores of columns `before`, `before + 1`, ... to one row's heap."""
    width = len(values)
    threshold = scores[0]
    for start in range(0, width, CHUNK):
        stop = min(start + CHUNK, width)
        if any_above(values[start:stop], threshold):
            for j in range(start, stop):
                if values[j] > threshold:
                    push(scores, columns, values[j], before + j)
                    threshold = scores[0]


@njit(cache=True, nogil=True)
def offer_tile(
    scores: np.ndarray,
    columns: np.ndarray,
    tile: np.ndarray,
    before: int,
    excluded: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """Offer a tile (rows, columns) float32 whose first column is `before`; a row's `excluded` columns never count."""
    width = tile.shape[1]
    for row in range(tile.shape[0]):
        begin, end = offsets[row], offsets[row + 1]
        at = begin + np.searchsorted(excluded[begin:end], before)
        while at < end and excluded[at] < before + width:
            tile[row, excluded[at] - before] = -np.inf
            at += 1
        offer(scores[row], columns[row], tile[row], before)


def search(
    queries: np.ndarray, products: np.ndarray, k: int, excluded: Ragged, memory: int, threads: int
) -> Iterator[tuple[slice, Best]]:
    """Yield the best `k` products of each query by inner product, exactly, in blocks of queries.

    Args:
        queries: (n, width) float32.
        products: (m, width) float32.
        k: how many are wanted of each query.
        excluded: products that must not be returned, by query.
        memory: bytes that scores and heaps may take; decides the blocks, not the result.
        threads: blocks worked on at once.
    """
    rows, columns = tile_shape(k, memory // threads)
    transposed = products.T

    def best_of(block: slice) -> tuple[slice, Best]:
        best, banned = Best.empty(block.stop - block.start, k), excluded.take(block)
        tile = np.empty((block.stop - block.start) * min(columns, len(products)), dtype=np.float32)
        for part in blocks(len(products), columns):
            scores = tile[: len(best.scores) * (part.stop - part.start)].reshape(len(best.scores), -1)
            np.matmul(queries[block], transposed[:, part], out=scores)
            offer_tile(best.scores, best.columns, scores, part.start, banned.values, banned.offsets)
        return block, best.ordered()

    # One thread a product of matrices: a thread then reads its tile while it is in its cache, and none waits.
    with threadpool_limits(1, user_api="blas"):
        yield from in_order(best_of, blocks(len(queries), rows), threads)


def tile_shape(k: int, memory: int) -> tuple[int, int]:
    """Return rows and columns of a tile that fits `memory` bytes with its rows' heaps, held twice for sorting."""
    columns = min(COLUMNS, max(memory // 16, 1))
    rows = max(min(ROWS, memory // (4 * columns + 4 * 12 * k)), 1)
    return rows, columns


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `count` rows."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def in_order(
    work: Callable[[slice], tuple[slice, Best]], parts: Iterator[slice], threads: int
) -> Iterator[tuple[slice, Best]]:
    """Yield `work` of every part in order; as many are worked on as there are threads, and as many more wait."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(work, part) for part in islice(parts, 2 * threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, part) for part in islice(parts, 1))
