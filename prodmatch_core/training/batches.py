"""Which rows go into which batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def epoch_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, window: int = 32
) -> Iterator[np.ndarray]:
    """Yield the rows of one epoch in shuffled batches of examples of similar length.

    Rows are shuffled, then sorted by length within windows of `window` batches, so that little is padded while
    batches still mix; the batches of a window come in random order.

    Args:
        lengths: (n,) int64 cost of each example in tokens.
        batch_size: rows a batch; the last one may be smaller.
        rng: source of the order.
        window: batches sorted together.
    """
    order = rng.permutation(len(lengths))
    span = batch_size * window
    for start in range(0, len(order), span):
        rows = order[start : start + span]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        cuts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        for index in rng.permutation(len(cuts)):
            yield cuts[index]


def balanced_rows(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return as many rows as there are, groups of n rows among them in proportion to n ** `share`.

    Sampling of languages by exponentially smoothed sizes (Conneau et al., arXiv 1911.02116, section 3.1). A group comes
    whole as often as its part has room for it; the rest is drawn, no row twice.

    Args:
        groups: (n,) group of each row, its locale.
        share: 1 takes every row once, 0 as many of each group.
        rng: source of what is drawn.

    Returns:
        (n,) int64 rows, of one group after the other.
    """
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    ideal = np.cumsum(sizes**share) / (sizes**share).sum() * len(groups)
    counts = np.diff(np.round(ideal).astype(np.int64), prepend=0)
    taken = []
    for number, count in enumerate(counts):
        rows = np.flatnonzero(member == number)
        whole, rest = divmod(int(count), len(rows))
        taken += [rows] * whole + [rng.choice(rows, rest, replace=False)]
    return np.concatenate(taken) if taken else np.empty(0, dtype=np.int64)


def class_batches(
    labels: np.ndarray, batch_size: int, per_class: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the rows of one epoch in P x K batches: `per_class` rows of each of `batch_size / per_class` classes.

    Every row comes once an epoch, so a long tail stays one: a class of fewer rows gives what it has, a larger one is
    drawn into several sets of `per_class` rows, which may meet in a batch.

    Args:
        labels: (n,) int64 class of each row.
        batch_size: rows a batch; the last one may be smaller.
        per_class: rows of one class that are kept together.
        rng: source of the order.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    ordered = labels[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]] if len(order) else np.empty(0, dtype=bool)
    begin = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    within = np.arange(len(order)) - begin
    starts = within % per_class == 0
    chunk = np.cumsum(starts) - 1
    rank = rng.permutation(int(starts.sum()))
    rows = order[np.argsort(rank[chunk], kind="stable")]
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def budget_batches(lengths: np.ndarray, budget: int, largest: int = 4096) -> Iterator[np.ndarray]:
    """Yield all rows sorted by length, in batches whose padded size stays within `budget` tokens.

    A single row longer than the budget makes a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = np.maximum(lengths[order], 1)
    start = 0
    while start < len(order):
        # Sorted ascending, the last row of a batch decides its padded width.
        stop = min(start + largest, len(order))
        counts = np.arange(1, stop - start + 1)
        fits = int(np.searchsorted(ordered[start:stop] * counts, budget, side="right"))
        stop = start + max(fits, 1)
        yield order[start:stop]
        start = stop
