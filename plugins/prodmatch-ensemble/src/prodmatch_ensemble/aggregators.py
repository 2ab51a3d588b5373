"""`ensemble.lightgbm` and `ensemble.select`: trees over the members, and trees over those that are worth their cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np

from prodmatch_core.builtin.mean import disagreement
from prodmatch_core.components.aggregator import (
    Aggregator,
    Ask,
    Combined,
    Contributions,
    Cost,
    MemberPredictions,
)
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import RunError
from prodmatch_ensemble import cascade
from prodmatch_ensemble.cascade import Cascade
from prodmatch_ensemble.configs import SelectConfig, TreesConfig
from prodmatch_ensemble.importance import Importance, importance_of
from prodmatch_ensemble.selection import Selection, select
from prodmatch_ensemble.side import Side, locales_of
from prodmatch_ensemble.table import Table
from prodmatch_ensemble.trees import Trees

STATE = "ensemble.json"
FRONTIER = "frontier.json"
"Every set of members that was tried: its quality, its cost, whether it was kept and whether it is on the frontier."


@attrs.frozen(eq=False)
class Learnt:
    """What an ensemble has learnt.

    Attributes:
        trees: over the members that are read, and the side columns.
        importance: of those members.
        whole: of all members, where some are not read; else the same.
        side: the side columns.
        cascade: the first step, None where all members are asked for every pair.
        selection: the sets that were tried, None where nothing was selected.
        costs: of all members, where they were measured.
    """

    names: tuple[str, ...]
    trees: Trees
    importance: Importance
    whole: Importance
    side: Side
    cascade: Cascade | None = None
    selection: Selection | None = None
    costs: tuple[Cost, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """Return the members that are read."""
        return self.importance.sources[: self.importance.members]


@attrs.define(eq=False)
class TreesAggregator(Aggregator):
    """LightGBM over the members' probabilities (arXiv 2403.00923, section 3.3), learnt out of fold."""

    config: TreesConfig
    scheme: LabelScheme
    learnt: Learnt | None = None

    @classmethod
    def build(cls, config: TreesConfig, scheme: LabelScheme) -> Self:
        """Make an ensemble that has learnt nothing yet."""
        return cls(config, scheme)

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        """Grow the trees, add up Shapley values, and choose whom to ask.

        Raises:
            DataError: no pair has a label and a weight; or side columns need what the data does not give; or no set
                of members is within the budget.
        """
        seed, classes = int(rng.integers(2**31)), len(self.scheme.labels)
        side = Side.fit(self.config.side, members.pairs)
        table = self._table(members, side)
        table = attrs.evolve(table, labels=members.labels, groups=members.groups, weights=members.weights)
        locales = locales_of(members.pairs) if members.pairs is not None else None
        some = rng.choice(len(table), min(self.config.explained, len(table)), replace=False)
        shown, where = table.take(some), None if locales is None else locales[some]

        trees = Trees.fit(table, self.config, classes, seed)
        whole = importance = importance_of(trees, shown, where)
        selection = self._selection(table, seed, whole, members.costs)
        kept = list(members.names)
        if selection is not None and len(selection.kept) < len(kept):
            kept = list(selection.kept)
            table = table.of(kept)
            trees = Trees.fit(table, self.config, classes, seed)
            importance = importance_of(trees, shown.of(kept), where)
        first = None
        if self.config.cascade and len(kept) > 1:
            first = cascade.learn(table, self.config, classes, seed, members.of(kept).costs)
        self.learnt = Learnt(
            members.names, trees, importance, whole, side, first, selection, tuple(members.costs)
        )

    def _selection(
        self, table: Table, seed: int, whole: Importance, costs: Sequence[Cost]
    ) -> Selection | None:
        return None

    def reads(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the members that were kept.

        Raises:
            RunError: nothing was learnt, or not from these members.
        """
        return self._after(names).read

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the trees' probabilities, and the disagreement of the members that were asked as uncertainty.

        Raises:
            RunError: nothing was learnt, or a member that is read is missing.
        """
        return self.answer(_Known(members), members.names)

    def answer(self, ask: Ask, names: Sequence[str]) -> Combined:
        """Return what `combine` does; with a cascade, the dear members are asked for the pairs it passes on alone."""
        learnt = self._after(names)
        if learnt.cascade is None:
            return self._by(learnt.trees, ask(learnt.read), learnt.side)
        first = self._by(learnt.cascade.trees, ask(learnt.cascade.members), learnt.side)
        rest = np.flatnonzero(~learnt.cascade.sure(first.probabilities))
        if not len(rest):
            return first
        after = self._by(learnt.trees, ask(learnt.read, rest), learnt.side)
        first.probabilities[rest], first.uncertainty[rest] = after.probabilities, after.uncertainty
        return first

    def _by(self, trees: Trees, said: MemberPredictions, side: Side) -> Combined:
        count = len(said.names)
        doubt = (
            disagreement(said.probabilities, np.full(count, 1 / count))
            if count > 1
            else np.zeros(len(said.probabilities))
        )
        return Combined(trees.predict(self._table(said, side)), doubt)

    def contributions(self, members: MemberPredictions) -> Contributions:
        """Return the Shapley values of the members and of side columns, in log-odds.

        They are those of the trees over all members that are read, also where a cascade would have stopped before.
        """
        learnt = self._after(members.names)
        table = self._table(members.of(learnt.read), learnt.side)
        pick = np.eye(len(table.sources))[table.source]
        stretches = [
            (np.einsum("nfc,fs->nsc", found, pick), base) for found, base in learnt.trees.contributions(table)
        ]
        shape = (0, len(table.sources), len(self.scheme.labels))
        stacked = np.concatenate([np.empty(shape), *(found for found, _ in stretches)])
        base = stretches[0][1] if stretches else np.zeros(shape[2])
        unit = "Shapley values in log-odds"
        return Contributions(table.sources, stacked, np.broadcast_to(base, (len(stacked), len(base))), unit)

    def _table(self, members: MemberPredictions, side: Side) -> Table:
        return table_of(members, self.scheme, side)

    def _after(self, names: Sequence[str]) -> Learnt:
        """Return what was learnt, if it can be applied to members of these names."""
        learnt = self.learnt
        if learnt is None or not set(learnt.read) <= set(names):
            from_ = ", ".join(learnt.read) if learnt else "no members"
            raise RunError(
                f"the ensemble has learnt from {from_} and is asked to combine {', '.join(names)}. Run the pipeline "
                "again."
            )
        return learnt

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM text, everything else as JSON and Parquet."""
        learnt = self.learnt
        if learnt is None:
            return
        labels = self.scheme.labels
        state: dict[str, Any] = {
            "members": list(learnt.names),
            "importance": learnt.importance.state(labels),
            "whole": learnt.whole.state(labels),
            "families": learnt.whole.grouped(self.config.families),
            "relations": learnt.whole.grouped(self.config.relations),
            "costs": [attrs.asdict(cost) for cost in learnt.costs],
            "rounds": learnt.trees.booster.current_iteration(),
            "selection": None,
            "cascade": None,
        }
        if learnt.cascade is not None:
            state["cascade"] = {"members": list(learnt.cascade.members), **learnt.cascade.figures}
        if learnt.selection is not None:
            state["selection"] = {
                "kept": list(learnt.selection.kept),
                "measure": getattr(self.config, "measure", "macro_f1"),
                "tried": learnt.selection.state(),
            }
            text = json.dumps(state["selection"], indent=1, ensure_ascii=False)
            (folder / FRONTIER).write_text(text, encoding="utf-8")
        (folder / STATE).write_text(json.dumps(state, indent=1, ensure_ascii=False), encoding="utf-8")
        learnt.trees.save(folder, "trees")
        learnt.side.save(folder)
        if learnt.cascade is not None:
            learnt.cascade.save(folder)

    @classmethod
    def load(cls, config: TreesConfig, scheme: LabelScheme, folder: Path) -> Self:
        """Make the ensemble that `save` wrote."""
        path = folder / STATE
        if not path.exists():
            return cls(config, scheme)
        state = json.loads(path.read_text(encoding="utf-8"))
        learnt = Learnt(
            tuple(state["members"]),
            Trees.load(folder, "trees"),
            Importance.from_state(state["importance"]),
            Importance.from_state(state["whole"]),
            Side.load(folder),
            Cascade.load(folder),
            None,  # what was tried is told in the file, and changes no answer
            tuple(Cost(**cost) for cost in state["costs"]),
        )
        return cls(config, scheme, learnt)


@attrs.define(eq=False)
class SelectAggregator(TreesAggregator):
    """The members that are worth their cost, and trees over them alone, grown anew."""

    def _selection(self, table: Table, seed: int, whole: Importance, costs: Sequence[Cost]) -> Selection:
        assert isinstance(self.config, SelectConfig)
        return select(table, self.config, len(self.scheme.labels), seed, whole, costs)


@attrs.frozen(eq=False)
class _Known:
    """Members whose predictions are all there (`components.aggregator.Ask`)."""

    members: MemberPredictions

    def __call__(self, names: Sequence[str], rows: np.ndarray | None = None) -> MemberPredictions:
        """Return what is known of some members at some rows."""
        said = self.members.of(names)
        return said if rows is None else said.take(rows)


def table_of(members: MemberPredictions, scheme: LabelScheme, side: Side) -> Table:
    """Return the columns that trees read, rows in order.

    Args:
        members: what they say.
        scheme: the labels.
        side: the side columns.
    """
    count, width, classes = members.probabilities.shape
    columns = [f"{name}: {label}" for name in members.names for label in scheme.labels]
    source = np.repeat(np.arange(width), classes).tolist()
    sources, values = list(members.names), [members.probabilities.reshape(count, width * classes)]
    for kind, found in side.columns(members.pairs, count).items():
        columns += found
        source += [len(sources)] * len(found)
        sources.append(kind)
        values += [column[:, None] for column in found.values()]
    return Table(
        tuple(columns),
        np.array(source),
        tuple(sources),
        width,
        np.ascontiguousarray(np.hstack(values), dtype=np.float64),
        members.labels,
        members.groups,
        members.weights,
    )
