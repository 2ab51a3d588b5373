"""Slices of a test set: the same measures on the rows of one locale, or of frequent and of rare queries."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Evaluated

MINIMUM_QUERIES = 30
"Fewer queries than this make an interval by resampling queries too narrow to be trusted."


@attrs.frozen(eq=False)
class Slice:
    """Some rows of a test set under a name; `evaluated.subset(slice.mask)` gives them."""

    name: str
    mask: np.ndarray
    "(n,) bool."
    queries: int
    rows: int

    @property
    def small(self) -> bool:
        """Return whether the slice has fewer than MINIMUM_QUERIES queries, to be noted beside its figures."""
        return self.queries < MINIMUM_QUERIES


def by_locale(evaluated: Evaluated, locales: Sequence[str] | np.ndarray) -> tuple[Slice, ...]:
    """Return one slice a locale, in alphabetical order.

    Args:
        evaluated: the test set.
        locales: (n,) locale of each row.

    Raises:
        DataError: not one locale per row.
    """
    values = np.asarray(locales)
    _check_length("locales", values, len(evaluated.labels), "row")
    return tuple(_slice(evaluated, f"locale {value}", values == value) for value in np.unique(values))


def by_frequency(
    evaluated: Evaluated, frequency: Sequence[float] | np.ndarray | None = None
) -> tuple[Slice, ...]:
    """Return the slices head, torso and tail: from the most frequent query, a third of traffic each.

    Queries of the same frequency stay together, in the third where the middle of their traffic lies. Slices
    without a query are left out; queries whose frequency is NaN make a slice `unknown`.

    Args:
        evaluated: the test set.
        frequency: (G,) frequency of each query in any unit; None takes its number of judged rows.

    Raises:
        DataError: not one frequency per query, or a negative one.
    """
    if frequency is None:
        frequency = np.bincount(evaluated.groups)
    frequency = np.asarray(frequency, dtype=np.float64)
    _check_length("frequency", frequency, evaluated.n_groups, "query")
    if (frequency < 0).any():
        query = int((frequency < 0).argmax())
        raise DataError(f"slices: frequency of query {query} is {frequency[query]}, expected at least 0.")
    names = np.array(["head", "torso", "tail", "unknown"])
    third = np.full(len(frequency), 3)
    known = ~np.isnan(frequency)
    third[known] = _third(frequency[known])
    of_row = third[evaluated.groups]
    present = np.unique(third)
    return tuple(_slice(evaluated, f"frequency {names[k]}", of_row == k) for k in present)


def quartile_of(values: np.ndarray) -> np.ndarray:
    """Return the quartile each value is in, (n,) int64 from 0 to 3; equal values are in the same one, the lower."""
    return np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values, side="left")


def by_quartile(by: str, values: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """Return (by what, name, (n,) bool mask) of the quartiles of whole numbers, lowest first, named by their range.

    Equal values stay together, so quartiles differ in size, and one may be empty: then it is left out.
    """
    quartile = quartile_of(values) if len(values) else np.empty(0, dtype=np.int64)
    found = []
    for number in np.unique(quartile):
        mask = quartile == number
        low, high = values[mask].min(), values[mask].max()
        found.append((by, f"{low}" if low == high else f"{low} to {high}", mask))
    return found


def _third(frequency: np.ndarray) -> np.ndarray:
    """Return 0, 1 or 2 for each query: the third of traffic, most frequent first, that it belongs to."""
    _, level = np.unique(-frequency, return_inverse=True)
    traffic = np.bincount(level, frequency)
    total = traffic.sum()
    if not total:
        return np.full(len(frequency), 2)
    middle = (np.cumsum(traffic) - traffic / 2) / total
    return np.searchsorted([1 / 3, 2 / 3], middle, side="right")[level]


def _slice(evaluated: Evaluated, name: str, mask: np.ndarray) -> Slice:
    return Slice(name, mask, queries=len(np.unique(evaluated.groups[mask])), rows=int(mask.sum()))


def _check_length(name: str, values: np.ndarray, expected: int, per: str) -> None:
    if values.shape != (expected,):
        raise DataError(f"slices: {name} has shape {values.shape}, expected ({expected},): one per {per}.")
