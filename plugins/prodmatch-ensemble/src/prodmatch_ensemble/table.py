"""The columns that trees read: a member's probabilities side by side, then what is known of the pair itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

FEW = 3
"Columns by which most rows are told apart, so that the others need not be read."
SMALLEST = 1e-6
"Probabilities below this count as this where their logarithm is taken."


@attrs.frozen(eq=False)
class Table:
    """Rows and columns.

    Attributes:
        columns: names; of a member's probability, `<member>: <label>`.
        source: (columns,) int64, which of `sources` a column belongs to.
        sources: members, then groups of side columns.
        members: how many of the sources are members.
        values: (n, columns) float64, NaN where something is not known.
        labels: (n,) int64, -1 where unknown.
        groups: (n,) int64, the query.
        weights: (n,) float64.
    """

    columns: tuple[str, ...]
    source: np.ndarray
    sources: tuple[str, ...]
    members: int
    values: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_probability(self) -> np.ndarray:
        """Return which columns are members' probabilities, (columns,) bool."""
        return self.source < self.members

    def logs(self) -> np.ndarray:
        """Return the logarithms of the members' probabilities, (n, members x classes) float64."""
        return np.log(np.maximum(self.values[:, self.is_probability], SMALLEST))

    def take(self, rows: Any) -> Table:
        """Return the rows at positions, by a mask or in a slice."""
        return attrs.evolve(
            self,
            values=self.values[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            weights=self.weights[rows],
        )

    def of(self, sources: Sequence[str]) -> Table:
        """Return the columns of the members named, and all side columns."""
        wanted = [
            number for number, name in enumerate(self.sources) if number >= self.members or name in sources
        ]
        at = np.flatnonzero(np.isin(self.source, wanted))
        return attrs.evolve(
            self,
            columns=tuple(self.columns[place] for place in at),
            source=np.searchsorted(wanted, self.source[at]),
            sources=tuple(self.sources[number] for number in wanted),
            members=sum(number < self.members for number in wanted),
            values=self.values[:, at],
        )


def merged(table: Table) -> Table:
    """Return the table with equal rows of one query and label made one, their weights summed.

    So a pair of weight 2 is the same to the trees as a pair that occurs twice, in every rule that counts rows.
    """
    few = np.column_stack([table.labels, table.groups, table.values[:, :FEW]]).astype(np.float64)
    hashes = np.sort(_hashes(few))
    if (hashes[1:] != hashes[:-1]).all():  # rows that differ in few columns differ
        return table
    keys = np.column_stack([table.values, table.labels, table.groups]).astype(np.float64)
    _, first, inverse = np.unique(_hashes(keys), return_index=True, return_inverse=True)
    if len(first) == len(table):
        return table
    if not np.array_equal(keys[first][inverse], keys, equal_nan=True):  # two different rows of one hash
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    weights = np.bincount(inverse.ravel(), table.weights, len(first))
    order = np.argsort(first)  # as they came, so that no column decides which rows a tree sees
    return attrs.evolve(table.take(first[order]), weights=weights[order])


def _hashes(keys: np.ndarray) -> np.ndarray:
    """Return a number for each row, equal for equal rows, (n,) uint64."""
    found = np.zeros(len(keys), dtype=np.uint64)
    for column in keys.T:
        bits = np.ascontiguousarray(column + 0.0).view(np.uint64)  # -0.0 and 0.0 are the same value
        found ^= bits
        found ^= found >> np.uint64(32)
        found *= np.uint64(0xD6E8FEB86659FD93)
    return found ^ (found >> np.uint64(32))
