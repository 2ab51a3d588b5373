"""How numbers spread: quantiles, histograms, and the share of numbers at least as large."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
"Names of the quantiles a description gives, and their shares."

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]


def quantiles(values: pl.Series) -> dict[str, float]:
    """Return the quantiles of numbers, each one of the numbers; nothing where there are none."""
    values = values.drop_nulls().sort()
    if values.is_empty():
        return {}
    return {name: float(values.quantile(q, "nearest") or 0) for name, q in QUANTILES.items()}


def histogram(values: pl.Series, bins: int = 40) -> dict[str, Any]:
    """Return equally wide bins of whole numbers: the first `low`, the `width`, and the `counts`.

    The last bin takes in everything above the 99th percentile, so that one giant does not flatten the rest;
    `above` counts what does not belong there by its size.
    """
    numbers = values.drop_nulls().to_numpy()
    if not len(numbers):
        return {}
    low, high = int(numbers.min()), int(np.quantile(numbers, 0.99, method="higher"))
    width = max(1, -(-(high - low + 1) // bins))
    place = np.minimum((numbers - low) // width, (high - low) // width).astype(np.int64)
    return {
        "low": low,
        "width": width,
        "counts": np.bincount(place).tolist(),
        "above": int((numbers >= low + width * (place.max() + 1)).sum()),
    }


def survival(values: Numbers, points: int = 80) -> list[list[float]]:
    """Return [[x, share of numbers >= x], ...] at some `points` different numbers, evenly apart in log scale.

    Args:
        values: (n,) numbers; those below 1 have no place in log scale and only count among the others.
        points: most points returned; the smallest and the largest number are always among them.
    """
    unique, counts = np.unique(values[values >= 1].astype(np.float64), return_counts=True)
    if not len(unique):
        return []
    share = counts[::-1].cumsum()[::-1] / len(values)
    kept = spaced(unique, points)
    return [[float(unique[i]), float(share[i])] for i in kept.tolist()]


def spaced(ascending: Numbers, points: int) -> npt.NDArray[np.int64]:
    """Return (<= points,) places in ascending positive numbers, evenly apart in log scale, ends included."""
    if len(ascending) <= points:
        return np.arange(len(ascending))
    grid = np.geomspace(ascending[0], ascending[-1], points)
    places = np.searchsorted(ascending, grid * (1 - 1e-9))
    return np.unique(np.append(places[:-1], len(ascending) - 1))
