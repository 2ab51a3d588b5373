"""Predictions on their way: the members' probabilities by split, and the rows that decisions are written as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.aggregator import Cost, MemberPredictions, Pairs
from prodmatch_core.components.calibrator import Decisions, match_score
from prodmatch_core.data.dataset import LabelScheme


@attrs.frozen(eq=False)
class MemberTable:
    """Probabilities of every member: `tables[member][split]` is (rows, classes) float64.

    Where a member says how unsure it is, `tables[member]["<split>.uncertainty"]` is (rows,) float64.
    """

    names: tuple[str, ...]
    tables: Sequence[Mapping[str, np.ndarray]]

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits every member has predictions for; train only where they are out-of-fold."""
        return tuple(split for split in ("train", "valid", "test") if split in self.tables[0])

    def of(self, member: int, split: str) -> np.ndarray:
        """Return one member's probabilities on one split."""
        return self.tables[member][split]

    def uncertainty_of(self, member: int, split: str) -> np.ndarray:
        """Return how unsure one member is on one split, (rows,) float64, NaN where it did not say."""
        found = self.tables[member].get(f"{split}.uncertainty")
        return np.full(len(self.of(member, split)), np.nan) if found is None else found

    def members(
        self, split: str, pairs: Pairs, groups: np.ndarray, costs: Sequence[Cost] = ()
    ) -> MemberPredictions:
        """Return all members' predictions on one split, as aggregators read them."""
        unsure = [self.uncertainty_of(member, split) for member in range(len(self.names))]
        return stack(self.names, [table[split] for table in self.tables], unsure, pairs, groups, costs)


def stack(
    names: Sequence[str],
    tables: Sequence[np.ndarray],
    uncertainty: Sequence[np.ndarray],
    pairs: Pairs,
    groups: np.ndarray,
    costs: Sequence[Cost] = (),
) -> MemberPredictions:
    """Return the members' predictions on `pairs`, whose groups are `groups`, as aggregators read them.

    Args:
        names: the members.
        tables: each member's probabilities, (n, classes) float64.
        uncertainty: how unsure each member is, (n,) float64, NaN where it did not say.
        pairs: the rows.
        groups: (n,) int64.
        costs: what each member costs, where it was measured.
    """
    return MemberPredictions(
        names=tuple(names),
        probabilities=np.stack(tables, axis=1),
        labels=pairs.examples.label,
        groups=groups,
        weights=pairs.examples.weight.astype(np.float64),
        uncertainty=np.stack(uncertainty, axis=1),
        pairs=pairs,
        costs=tuple(costs),
    )


def frame_of(
    rows: pl.DataFrame, decisions: Decisions, scheme: LabelScheme, decided: bool = True
) -> pl.DataFrame:
    """Return `rows` with score, uncertainty, one probability column per label and, if asked, what was decided."""
    columns: dict[str, Any] = {}
    if decided:
        columns["decided"] = pl.Series(
            np.array(scheme.labels, dtype=object)[decisions.labels].tolist(), dtype=pl.String
        )
        columns["accepted"] = decisions.accepted
        if decisions.for_review is not None:
            columns["for_review"] = decisions.for_review
    columns["score"] = match_score(decisions.probabilities, scheme)
    columns["uncertainty"] = decisions.uncertainty
    for number, label in enumerate(scheme.labels):
        columns[f"p_{label}"] = decisions.probabilities[:, number]
    return rows.hstack(pl.DataFrame(columns).get_columns())
