"""`Pairs`: the positive and negative pairs of a batch, as blocks of a similarity matrix."""

from __future__ import annotations

import functools
from weakref import WeakKeyDictionary

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.builtin.metric import pair_labels
from prodmatch_core.components.loss import Output


@attrs.frozen(eq=False, slots=False)
class Pairs:
    """A matrix of similarities with the classes at its edges: a pair is positive where the two classes are equal.

    Attributes:
        similarity: (n, m) cosine similarities.
        rows: (n,) int64 class of each row.
        columns: (m,) int64 class of each column.
        row_weights: (n,) float weights of the rows.
        column_weights: (m,) float weights of the columns; a pair's weight is the product of its two ends'.
        own: whether column i is row i, so that the diagonal is no pair.
    """

    similarity: Tensor
    rows: Tensor
    columns: Tensor
    row_weights: Tensor
    column_weights: Tensor
    own: bool

    @classmethod
    def of(cls, output: Output, positive: Tensor) -> Pairs:
        """Return the pairs of a batch, the same for all losses of a step, as the similarities are.

        Items are compared with each other by group. Queries are compared with products: a query is of one class with
        the products that match it in this batch; a product whose pair does not match is of no query's class.

        Args:
            output: gives embeddings, and the other tower's where there are two.
            positive: classes of a query-product pair that count as a match; read where there are two towers.
        """
        if output in _SEEN:
            return _SEEN[output]
        rows = columns = output.labels
        weights = output.weights.to(output.similarity.dtype)
        if output.references is not None:
            assert output.embeddings is not None
            matching = torch.isin(output.labels, positive)
            rows, columns = pair_labels(output.embeddings, output.references, matching)
        pairs = cls(output.similarity, rows, columns, weights, weights, own=output.references is None)
        _SEEN[output] = pairs
        return pairs

    @functools.cached_property
    def positives(self) -> tuple[Tensor, Tensor]:
        """Return row and column of every positive pair, int64 each, by row.

        Found by sorting, because comparing every pair of classes costs as much as the similarities themselves.
        """
        rows, columns = self.rows.cpu().numpy(), self.columns.cpu().numpy()
        order = np.argsort(columns, kind="stable")
        ordered = columns[order]
        begin = np.searchsorted(ordered, rows, side="left")
        count = np.searchsorted(ordered, rows, side="right") - begin
        row = np.repeat(np.arange(len(rows)), count)
        within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        column = order[begin[row] + within]
        if self.own:
            other = row != column
            row, column = row[other], column[other]
        device = self.similarity.device
        return torch.from_numpy(row).to(device), torch.from_numpy(column).to(device)

    @functools.cached_property
    def negatives(self) -> Tensor:
        """Return which pairs are negative, (n, m) bool."""
        found = torch.ones(self.similarity.shape, dtype=torch.bool, device=self.similarity.device)
        found[self.positives] = False
        if self.own:
            found.fill_diagonal_(False)
        return found


_SEEN: WeakKeyDictionary[Output, Pairs] = WeakKeyDictionary()
"Pairs of the outputs that are still in use: those of the step at hand."
