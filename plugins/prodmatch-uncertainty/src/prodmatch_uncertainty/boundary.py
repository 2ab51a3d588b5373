"""`Boundary`: from which score a row is accepted, by its level of uncertainty. Deciding is one look-up a row."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numba import njit

FEW = 32
"Edges up to which passing them all is faster than halving."
BLOCK = 1024
"Rows decided together; what is known of them stays in the processor's first cache."


@attrs.frozen(eq=False)
class Boundary:
    """A step function over uncertainty.

    Attributes:
        edges: (L - 1,) float64, ascending; a row's level is the number of edges that are not above its uncertainty, and
            the last where its uncertainty is not a number.
        thresholds: (L,) float64, least score that is accepted at each level; infinity accepts nothing.
    """

    edges: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def nothing(cls) -> Boundary:
        """Return the boundary that accepts no row."""
        return cls(np.empty(0), np.array([np.inf]))

    @property
    def empty(self) -> bool:
        """Return whether nothing is ever accepted."""
        return bool(np.isinf(self.thresholds).all() and (self.thresholds > 0).all())

    def accepts(self, score: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
        """Return which rows are accepted, (n,) bool; both arguments (n,) float64."""
        accepted = np.empty(len(score), dtype=np.bool_)
        score = np.ascontiguousarray(score, dtype=np.float64)
        if not len(self.edges):
            np.greater_equal(score, self.thresholds[0], out=accepted)
            return accepted
        uncertainty = np.ascontiguousarray(uncertainty, dtype=np.float64)
        decide = _pass_edges if len(self.edges) <= FEW else _halve_edges
        decide(score, uncertainty, self.edges, self.thresholds, accepted)
        return accepted

    def threshold_of(self, uncertainty: np.ndarray) -> np.ndarray:
        """Return the threshold of each row's level, (n,) float64."""
        return self.thresholds[np.searchsorted(self.edges, uncertainty, side="right")]

    def state(self) -> dict[str, Any]:
        """Return the boundary as JSON values; null stands for a level that accepts nothing."""
        return {
            "edges": self.edges.tolist(),
            "thresholds": [value if np.isfinite(value) else None for value in self.thresholds.tolist()],
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Boundary:
        """Return the boundary that `state` described."""
        thresholds = [np.inf if value is None else value for value in state["thresholds"]]
        return cls(np.array(state["edges"], dtype=np.float64), np.array(thresholds, dtype=np.float64))


@njit(cache=True, nogil=True)
def _pass_edges(
    score: np.ndarray, uncertainty: np.ndarray, edges: np.ndarray, thresholds: np.ndarray, out: np.ndarray
) -> None:
    # A pass over a block for each edge, without branches: several rows at an instruction.
    least = np.empty(BLOCK)
    for begin in range(0, len(score), BLOCK):
        rows = min(BLOCK, len(score) - begin)
        here, unsure, accepted = score[begin:], uncertainty[begin:], out[begin:]
        least[:] = thresholds[0]
        for number in range(len(edges)):
            edge, threshold = edges[number], thresholds[number + 1]
            for row in range(rows):
                least[row] = least[row] if unsure[row] < edge else threshold
        for row in range(rows):
            accepted[row] = here[row] >= least[row]


@njit(cache=True, nogil=True)
def _halve_edges(
    score: np.ndarray, uncertainty: np.ndarray, edges: np.ndarray, thresholds: np.ndarray, out: np.ndarray
) -> None:
    for row in range(len(score)):
        low, high = 0, len(edges)
        while low < high:
            middle = (low + high) // 2
            if uncertainty[row] < edges[middle]:
                high = middle
            else:
                low = middle + 1
        out[row] = score[row] >= thresholds[low]
