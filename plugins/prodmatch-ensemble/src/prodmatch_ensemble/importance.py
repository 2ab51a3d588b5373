"""Who helps: Shapley values added up by member, class, locale, family and relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from prodmatch_ensemble.table import Table
from prodmatch_ensemble.trees import Trees


@attrs.frozen(eq=False)
class Importance:
    """Mean absolute Shapley values of sources.

    A source's is the sum over its columns and over the classes of mean |phi| (arXiv 2403.00923, section 3.3).

    Attributes:
        sources: members, then side columns.
        members: how many of the sources are members.
        by_class: (sources, classes) float64.
        by_locale: locale -> (sources,) float64.
    """

    sources: tuple[str, ...]
    members: int
    by_class: np.ndarray
    by_locale: Mapping[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """Return each source's importance, (sources,) float64."""
        return self.by_class.sum(axis=1)

    def ranking(self) -> list[str]:
        """Return the members, the most important first; of equal ones the first in the file."""
        order = np.argsort(-self.total[: self.members], kind="stable")
        return [self.sources[number] for number in order]

    def grouped(self, group: Mapping[str, str]) -> dict[str, float]:
        """Return the members' importance by the group that `group` puts them into, the greatest first."""
        found: dict[str, float] = {}
        for name, value in zip(self.sources[: self.members], self.total, strict=False):
            if name in group:
                found[group[name]] = found.get(group[name], 0.0) + float(value)
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def state(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "sources": list(self.sources),
            "members": self.members,
            "by_class": {label: self.by_class[:, place].tolist() for place, label in enumerate(labels)},
            "by_locale": {locale: values.tolist() for locale, values in self.by_locale.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Importance:
        """Read what `state` returned."""
        by_class = np.array(list(state["by_class"].values())).T
        by_locale = {locale: np.array(values) for locale, values in state["by_locale"].items()}
        return cls(tuple(state["sources"]), state["members"], by_class, by_locale)


def importance_of(trees: Trees, table: Table, locales: np.ndarray | None = None) -> Importance:
    """Return who moves the scores of the rows of `table`, each row as often as its weight says.

    Args:
        trees: what gives the scores.
        table: the rows.
        locales: (n,) object, locale of each row, None where it is not known.
    """
    names = sorted(set(locales.tolist())) if locales is not None else []
    groups = np.full(len(table), -1) if locales is None else np.searchsorted(names, locales.astype(str))
    sums = np.zeros((len(names) + 1, len(table.sources), trees.classes))
    weight = np.zeros(len(names) + 1)
    pick = np.eye(len(table.sources))[table.source]  # (columns, sources)
    begin = 0
    for values, _ in trees.contributions(table):
        rows = slice(begin, begin + len(values))
        magnitude = np.abs(values)
        for number in np.unique(groups[rows]):
            here = groups[rows] == number
            w = table.weights[rows][here]
            columns = np.tensordot(w, magnitude[here], axes=1)  # (columns, classes)
            sums[number] += pick.T @ columns
            weight[number] += w.sum()
        begin = rows.stop
    whole = sums.sum(axis=0) / max(weight.sum(), 1e-300)
    by_locale = {
        name: sums[number].sum(axis=1) / max(weight[number], 1e-300) for number, name in enumerate(names)
    }
    return Importance(table.sources, table.members, whole, by_locale)
