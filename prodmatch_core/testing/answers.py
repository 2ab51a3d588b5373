"""Answers of parts under test, and how they are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Answer = Mapping[str, np.ndarray]
"What a part answered, by name."


def difference(left: Answer, right: Answer) -> float:
    """Return the largest difference between two answers; infinite where they differ in names, shapes or NaN."""
    if left.keys() != right.keys():
        return float("inf")
    return max((_difference(np.asarray(left[name]), np.asarray(right[name])) for name in left), default=0.0)


def _difference(left: np.ndarray, right: np.ndarray) -> float:
    if left.shape != right.shape:
        return float("inf")
    if left.dtype.kind not in "fiub" or right.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(left, right) else float("inf")
    left, right = left.astype(np.float64), right.astype(np.float64)
    if not np.array_equal(np.isnan(left), np.isnan(right)):
        return float("inf")
    same = (left == right) | np.isnan(left)
    apart = np.abs(np.where(same, 0.0, left) - np.where(same, 0.0, right))
    return float(apart.max(initial=0.0))


def near(left: Answer, right: Answer, tolerance: float = 1e-4) -> bool:
    """Return whether two answers are the same but for rounding: `tolerance` times the greater of 1 and the largest."""
    largest = max(
        (
            float(np.nanmax(np.abs(values), initial=1.0))
            for values in left.values()
            if values.dtype.kind == "f"
        ),
        default=1.0,
    )
    return difference(left, right) <= tolerance * (largest if np.isfinite(largest) else 1.0)
