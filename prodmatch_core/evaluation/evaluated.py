"""`Evaluated`: test predictions beside their truth, and what a measure of them is.

A *measure* prepares a *statistic*: whatever does not depend on the weights (sorting, binning, values per
query) is done once, so that a bootstrap replicate, which changes only the weights, costs one pass over the
rows. A value that the weighted rows leave undefined (a class absent, no weight at all) is NaN, not an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import numpy as np

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.ranked import Ranked, rank
from prodmatch_core.evaluation.sums import OfSums, Term, ratios

Statistic: TypeAlias = Callable[[np.ndarray], float]
"Weights of the rows, (n,) float64, to one figure."


SUM_TOLERANCE = 1e-5
"How far a row of probabilities may be from summing to 1: softmax in 32-bit floats is well within."


def _whole(values: Any) -> np.ndarray:
    array = np.asarray(values)
    # Fractions are left for the check to refuse by the field's name, not cut off.
    return array.astype(np.int64) if array.dtype.kind in "iub" or not array.size else array


def _real(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _whole_or_none(values: Any) -> np.ndarray | None:
    return None if values is None else _whole(values)


def _real_or_none(values: Any) -> np.ndarray | None:
    return None if values is None else _real(values)


@attrs.frozen(eq=False)
class Evaluated:
    """Test predictions with their truth: what every measure reads.

    Raises:
        DataError: lengths differ, a class or group number is out of range, or a row is no distribution.
    """

    labels: np.ndarray = attrs.field(converter=_whole)
    "(n,) int64, true class, 0 = best match (the order of `scheme.labels`)."
    probabilities: np.ndarray = attrs.field(converter=_real)
    "(n, C) float64, each row sums to 1."
    decisions: np.ndarray = attrs.field(converter=_whole)
    "(n,) int64, decided class: the argmax unless a calibrator decided otherwise."
    groups: np.ndarray = attrs.field(converter=_whole)
    "(n,) int64, query number 0..G-1, each with at least one row."
    scheme: LabelScheme
    weights: np.ndarray | None = attrs.field(default=None, converter=_real_or_none)
    "(n,) float64, example weights, not negative; None = ones."
    tie_break: np.ndarray | None = attrs.field(default=None, converter=_whole_or_none)
    "(n,) int64, of rows with the same score the greater comes first (`ranked`); None = expectations over orders."

    def __attrs_post_init__(self) -> None:
        self._check_shapes()
        self._check_values()

    @property
    def score(self) -> np.ndarray:
        """Return P(match), (n,) float64: the sum of the positive labels' probabilities."""
        return self.probabilities[:, self._positive].sum(axis=1)

    @property
    def matches(self) -> np.ndarray:
        """Return whether each true label counts as a match, (n,) bool."""
        return np.isin(self.labels, self._positive)

    @property
    def decided_matches(self) -> np.ndarray:
        """Return whether each decided label counts as a match, (n,) bool."""
        return np.isin(self.decisions, self._positive)

    @property
    def example_weights(self) -> np.ndarray:
        """Return the weights, (n,) float64, ones where none were given."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    @property
    def queries(self) -> np.ndarray:
        """Return the number of the query that each row is ranked for, (n,) int64."""
        return self.groups

    @property
    def n_groups(self) -> int:
        """Return the number of queries."""
        return int(self.groups.max(initial=-1)) + 1

    @functools.cached_property
    def ranked(self) -> Ranked:
        """Return the queries' lists by falling score, sorted once for all ranking measures."""
        return rank(
            self.groups,
            self.score,
            np.asarray(self.scheme.gains)[self.labels],
            self.matches,
            queries=self.n_groups,
            tie_break=self.tie_break,
        )

    def subset(self, rows: np.ndarray) -> Evaluated:
        """Return the rows that `rows`, a mask or indices, selects; queries are numbered anew from 0."""
        _, groups = np.unique(self.groups[rows], return_inverse=True)
        return Evaluated(
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            decisions=self.decisions[rows],
            groups=groups,
            scheme=self.scheme,
            weights=None if self.weights is None else self.weights[rows],
            tie_break=None if self.tie_break is None else self.tie_break[rows],
        )

    def evenly_scored(self) -> Evaluated:
        """Return these rows with scores spread evenly over (0, 1), order and ties as they were; decisions stay.

        A score becomes the share of rows below it, ties counted half. Scores of two systems are then on one scale.
        """
        positive = self._positive
        negative = next(k for k in range(len(self.scheme.labels)) if k not in positive)
        _, place, counts = np.unique(self.score, return_inverse=True, return_counts=True)
        share = ((np.cumsum(counts) - counts / 2) / len(self.labels))[place]
        # All of it on one label a side, so that no sum of labels makes equal scores unequal.
        probabilities = np.zeros_like(self.probabilities)
        probabilities[:, positive[0]], probabilities[:, negative] = share, 1 - share
        return attrs.evolve(self, probabilities=probabilities)

    def beside(self, other: Evaluated) -> Evaluated:
        """Return these rows and then those of another system on the same rows, whose queries are numbered on."""
        return Evaluated(
            labels=np.concatenate([self.labels, other.labels]),
            probabilities=np.concatenate([self.probabilities, other.probabilities]),
            decisions=np.concatenate([self.decisions, other.decisions]),
            groups=np.concatenate([self.groups, other.groups + self.n_groups]),
            scheme=self.scheme,
            weights=np.concatenate([self.example_weights, other.example_weights]),
            tie_break=None
            if self.tie_break is None or other.tie_break is None
            else np.concatenate([self.tie_break, other.tie_break]),
        )

    @property
    def _positive(self) -> list[int]:
        return [self.scheme.index(label) for label in self.scheme.positive]

    def _check_shapes(self) -> None:
        rows, classes = self.labels.size, len(self.scheme.labels)
        expected: dict[str, tuple[int, ...]] = {
            "labels": (rows,),
            "probabilities": (rows, classes),
            "decisions": (rows,),
            "groups": (rows,),
            "weights": (rows,),
            "tie_break": (rows,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            whole = name in ("labels", "decisions", "groups", "tie_break") and array is not None
            if whole and array.dtype != np.int64:
                raise DataError(
                    f"evaluated {name}: expected whole numbers, got {array.dtype}. "
                    "Pass class indices and query numbers."
                )
            if array is not None and array.shape != shape:
                raise DataError(
                    f"evaluated {name}: expected shape {shape} for {rows} labels of the {classes} classes of "
                    f"{self.scheme.name}, got {array.shape}. Pass one entry per row."
                )

    def _check_values(self) -> None:
        classes = len(self.scheme.labels)
        for name in ("labels", "decisions"):
            array = getattr(self, name)
            _refuse(name, array, (array < 0) | (array >= classes), f"a class index from 0 to {classes - 1}")
        _refuse("groups", self.groups, self.groups < 0, "a query number from 0")
        empty = np.flatnonzero(np.bincount(self.groups) == 0)
        if empty.size:
            raise DataError(
                f"evaluated groups: query {empty[0]} has no row ({empty.size} in all), expected every number "
                f"from 0 to {self.n_groups - 1}. Number the queries without gaps."
            )
        probabilities = self.probabilities
        sums = probabilities.sum(axis=1)
        broken = ~((probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE))
        _refuse("probabilities", probabilities, broken, "values of at least 0 that sum to 1")
        if self.weights is not None:
            broken = ~((self.weights >= 0) & np.isfinite(self.weights))
            _refuse("weights", self.weights, broken, "a finite number of at least 0")


Measure: TypeAlias = Callable[[Evaluated], Statistic]
"What a measure's factory is: prepare once, then evaluate for any weights."


def ratio(above: float, below: float) -> float:
    """Return `above / below`, NaN where `below` is 0."""
    return float(above / below) if below else float("nan")


def mean_of(values: np.ndarray) -> Statistic:
    """Return the statistic that averages `values`, (n,) one per row, by weight."""
    values = _real(values)
    return OfSums((Term(values), Term(np.ones(len(values)))), lambda sums: ratios(sums[:, 0], sums[:, 1]))


def _refuse(name: str, array: np.ndarray, broken: np.ndarray, expected: str) -> None:
    if broken.any():
        row = int(broken.argmax())
        raise DataError(
            f"evaluated {name}[{row}]: expected {expected}, got {array[row].tolist()} "
            f"({int(broken.sum())} rows in all). Check the predictions and the order of the label scheme."
        )
