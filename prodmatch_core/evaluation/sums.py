"""Statistics that read rows only through sums: a resample, or a swap of systems, costs them one matrix product.

Most measures are such: means, F1 (sums of confusions), calibration error (sums by bin), ranking measures (sums over
queries). Areas under curves are not, because they need the order of all rows. `by_group` adds the rows of a query up
once; whatever is drawn or swapped afterwards is whole queries, so no row is looked at again.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np


@attrs.frozen(eq=False)
class Term:
    """Values of rows that are added up by weight, in one cell or in several."""

    value: np.ndarray
    "(n,) float64."
    cell: np.ndarray | None = None
    "(n,) int64 cell 0..width-1 that each row is counted in; None: all in one."
    width: int = 1

    def total(self, weights: np.ndarray) -> np.ndarray:
        """Return the sums over all rows, (width,) float64."""
        if self.cell is None:
            return np.atleast_1d(weights @ self.value)
        return np.bincount(self.cell, weights * self.value, minlength=self.width)

    def by_group(self, weights: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
        """Return the sums over the rows of each group, (count, width) float64."""
        cell = groups if self.cell is None else groups * self.width + self.cell
        sums = np.bincount(cell, weights * self.value, minlength=count * self.width)
        return sums.astype(np.float64).reshape(count, self.width)


@attrs.frozen(eq=False)
class OfSums:
    """A statistic (`evaluated.Statistic`) that is a function of sums over rows."""

    terms: tuple[Term, ...]
    figure: Callable[[np.ndarray], np.ndarray]
    "(r, k) sums of r weightings, all terms' cells side by side, to (r,) figures; NaN where undefined."

    def __call__(self, weights: np.ndarray) -> float:
        """Return the figure under the weights of the rows, (n,) float64."""
        sums = np.concatenate([term.total(weights) for term in self.terms])
        return float(self.figure(sums[None])[0])

    def by_group(self, weights: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
        """Return the sums of each group, (count, k) float64: `figure` of a row is the group's own figure."""
        return np.concatenate([term.by_group(weights, groups, count) for term in self.terms], axis=1)


def ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return `above / below`, NaN where `below` is not positive; shapes are equal."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
