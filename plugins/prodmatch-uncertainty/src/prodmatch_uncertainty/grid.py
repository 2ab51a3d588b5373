"""`Grid`: labelled rows counted by level of uncertainty and, within a level, by bin of the score."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_uncertainty.sample import TOLERANCE, Sample


@attrs.frozen(eq=False)
class Grid:
    """Counts over L levels and up to K bins; bin 0 of a level holds its highest scores.

    Rows with the same uncertainty are in one level, rows of a level with the same score in one bin, so a level may
    have fewer bins than asked for; what is beyond its `bins` is 0.

    Attributes:
        edges: (L - 1,) float64, ascending; a row's level is the number of edges that are not above its uncertainty.
        lowest: (L, K) float64, least score of each bin.
        rows: (L, K) float64, weight of its rows.
        positives: (L, K) float64, weight of its positive rows.
        bins: (L,) int64, bins of each level.
    """

    edges: np.ndarray
    lowest: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    bins: np.ndarray

    @property
    def levels(self) -> int:
        """Return the number of levels."""
        return len(self.bins)

    @property
    def total(self) -> float:
        """Return the weight of all positive rows."""
        return float(self.positives.sum())

    def cumulated(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and positives in the top k bins of each level, (L, K + 1) float64 each, k from 0."""
        found = np.zeros((2, self.levels, self.rows.shape[1] + 1))
        np.cumsum(self.rows, axis=1, out=found[0, :, 1:])
        np.cumsum(self.positives, axis=1, out=found[1, :, 1:])
        return found[0], found[1]

    def thresholds(self, cuts: np.ndarray) -> np.ndarray:
        """Return the least accepted score of each level when its top `cuts` bins are, infinity for none; (..., L)."""
        last = np.maximum(cuts - 1, 0)
        found = self.lowest[np.arange(self.levels), last]
        return np.where(cuts > 0, found, np.inf)


def count(sample: Sample, levels: int, bins: int, binning: str = "mass") -> Grid:
    """Return the grid of a sample.

    Args:
        sample: its rows.
        levels: levels of uncertainty, at the most.
        bins: bins of the score in each level, at the most; 0 makes one of every score.
        binning: `mass` for levels and bins of equally many rows, `width` for equally wide ones.
    """
    edges = level_edges(sample.uncertainty, levels, binning, sample.weights)
    return count_within(sample, edges, bins, binning)


def level_edges(
    uncertainty: np.ndarray, levels: int, binning: str = "mass", weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the values of uncertainty at which a new level begins, ascending, each with a row of its own.

    Args:
        uncertainty: (n,) float64.
        levels: levels, at the most.
        binning: `mass` or `width`.
        weights: (n,) float64, all the same by default; weight 2 is a row twice.
    """
    if levels == 1 or not len(uncertainty):
        return np.empty(0)
    if binning == "width":
        ordered = np.sort(uncertainty)
        lines = np.linspace(ordered[0], ordered[-1], levels + 1)[1:-1]
        # The next row's own value, so that no level is empty.
        edges = np.unique(ordered[np.searchsorted(ordered, lines)])
    elif weights is None or _alike(weights):
        places = np.unique(np.arange(1, levels) * len(uncertainty) // levels)
        edges = np.unique(np.partition(uncertainty, places)[places])
    else:
        order = np.argsort(uncertainty, kind="stable")
        reached = np.cumsum(weights[order])
        wanted = reached[-1] * np.arange(1, levels) / levels
        places = np.searchsorted(reached, wanted + TOLERANCE * reached[-1], side="right")
        edges = np.unique(uncertainty[order][places])
    return edges[edges > uncertainty.min()]


def _alike(weights: np.ndarray) -> bool:
    return bool((weights == weights[0]).all())


def levels_of(uncertainty: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the level of each row, (n,) int64; what is not a number is in the last."""
    return np.searchsorted(edges, uncertainty, side="right")


def count_within(sample: Sample, edges: np.ndarray, bins: int, binning: str = "mass") -> Grid:
    """Return the grid of a sample whose levels begin at `edges`."""
    levels = len(edges) + 1
    order = np.argsort(-sample.score)
    level = levels_of(sample.uncertainty, edges).astype(np.uint16)[order]
    stable = np.argsort(level, kind="stable")  # of 16 bits: a radix sort
    order, level = order[stable], level[stable]
    score, weights = sample.score[order], sample.weights[order]
    starts = np.searchsorted(level, np.arange(levels + 1))
    ends = _bin_ends(score, level, weights, starts, bins, binning)
    if not len(ends):
        empty = np.zeros((levels, 1))
        return Grid(edges, empty, empty, empty, np.zeros(levels, dtype=np.int64))
    begins = np.append(0, ends[:-1])
    rows = np.add.reduceat(weights, begins)
    positives = np.add.reduceat(weights * sample.positive[order], begins)
    of = level[ends - 1].astype(np.int64)
    found = np.bincount(of, minlength=levels)
    place = np.arange(len(ends)) - np.repeat(np.cumsum(found) - found, found)
    shape = (levels, int(found.max()))
    padded = np.zeros((3, *shape))
    for table, values in zip(padded, (score[ends - 1], rows, positives), strict=True):
        table[of, place] = values
    return Grid(edges, padded[0], padded[1], padded[2], found)


def _bin_ends(
    score: np.ndarray, level: np.ndarray, weights: np.ndarray, starts: np.ndarray, bins: int, binning: str
) -> np.ndarray:
    """Return the place after the last row of each bin, ascending; rows are sorted by level and falling score.

    A tie that lies across the end of a bin belongs to it as a whole.
    """
    if not len(score):
        return np.empty(0, dtype=np.int64)
    differs = np.append((score[1:] != score[:-1]) | (level[1:] != level[:-1]), True)
    last = np.flatnonzero(differs)  # last row of every tie
    if bins == 0:
        return last + 1
    begin, end = starts[:-1], starts[1:]
    begin, end = begin[end > begin], end[end > begin]
    steps = np.arange(1, bins + 1)
    if binning == "width":
        high, low = score[begin], score[end - 1]
        lines = high[:, None] - (high - low)[:, None] * steps / bins
        wanted = np.stack(
            [
                b + np.searchsorted(-score[b:e], -line, side="right")
                for b, e, line in zip(begin, end, lines, strict=True)
            ]
        )
    elif (weights == 1).all():
        wanted = begin[:, None] + (end - begin)[:, None] * steps // bins
    else:
        # Of whole weights, as if every row were there so many times; of others, in units of the smallest.
        unit = 1.0 if np.array_equal(weights, np.round(weights)) else float(weights.min())
        reached = np.append(0.0, np.cumsum(weights / unit))
        units = np.floor((reached[end] - reached[begin])[:, None] * steps / bins + TOLERANCE)
        wanted = np.searchsorted(reached, reached[begin][:, None] + units - TOLERANCE * reached[-1])
    wanted[:, -1] = end
    wanted = np.maximum(wanted, begin[:, None] + 1)
    return np.unique(last[np.searchsorted(last, wanted - 1)] + 1)
