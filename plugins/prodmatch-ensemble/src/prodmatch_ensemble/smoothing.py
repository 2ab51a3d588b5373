"""Simplified graph convolution: node vectors averaged over neighbourhoods, hop by hop (Wu et al., arXiv 1902.07153)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags, identity

BLOCK = 2_048
"Rows compared with all titles at once."


def smoothing(links: csr_matrix) -> csr_matrix:
    """Return D^-1/2 (A + I) D^-1/2 of a symmetric, non-negative adjacency A, (nodes, nodes) float64 (equation 3)."""
    looped = links + identity(links.shape[0], format="csr")
    scale = diags(1 / np.sqrt(np.asarray(looped.sum(axis=1)).ravel()))
    return (scale @ looped @ scale).tocsr()


def precomputed(smooth: csr_matrix, vectors: np.ndarray, hops: int) -> np.ndarray:
    """Return every node's vector after 0, 1, ... hops, (nodes, hops + 1, width) float32.

    Args:
        smooth: what `smoothing` returned.
        vectors: (nodes, width), of the nodes' own texts.
        hops: how far they travel.
    """
    found = [vectors.astype(np.float64)]
    for _ in range(hops):
        found.append(smooth @ found[-1])
    return np.stack(found, axis=1).astype(np.float32)


def on_the_fly(smooth: csr_matrix, vectors: np.ndarray, nodes: np.ndarray, hops: int) -> np.ndarray:
    """Return what `precomputed` does for some nodes, reading only what is around them, (n, hops + 1, width)."""
    needed = [np.asarray(nodes)]
    for _ in range(hops):
        needed.append(np.unique(np.concatenate([needed[-1], smooth[needed[-1]].indices])))
    known = {0: (needed[-1], vectors[needed[-1]].astype(np.float64))}
    for hop in range(1, hops + 1):
        # of what is needed for `hops - hop` further hops, from what is known of its neighbours
        wanted = needed[hops - hop]
        at, before = known[hop - 1]
        known[hop] = (wanted, smooth[wanted][:, at] @ before)
    rows = [vectors[nodes].astype(np.float64)]
    for hop in range(1, hops + 1):
        at, found = known[hop]
        rows.append(found[_places(at, nodes)])
    return np.stack(rows, axis=1).astype(np.float32)


def _places(at: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    order = np.argsort(at, kind="stable")
    return order[np.searchsorted(at, nodes, sorter=order)]


def nearest(
    vectors: np.ndarray, titles: np.ndarray, count: int, itself: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the titles most like each text, and how like they are.

    Args:
        vectors: (n, width), of length 1 or 0.
        titles: (titles, width) likewise; where `itself`, the last rows of `vectors` are these titles.
        count: titles a text.
        itself: whether a title is not its own neighbour.

    Returns:
        (n, count) int64 rows of `titles`, and (n, count) float32 cosines of at least 0.
    """
    count = min(count, len(titles) - itself)
    offset = len(vectors) - len(titles)
    rows, likeness = [], []
    for begin in range(0, len(vectors), BLOCK):
        scores = vectors[begin : begin + BLOCK] @ titles.T
        if itself:
            mine = np.arange(begin, begin + len(scores)) - offset
            there = mine >= 0
            scores[np.flatnonzero(there), mine[there]] = -np.inf
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        rows.append(best)
        likeness.append(np.maximum(np.take_along_axis(scores, best, axis=1), 0))
    return np.concatenate(rows), np.concatenate(likeness)
