"""What is in a data set: counts, shares, lengths, duplicates and leaks, and, where asked for, laws and likeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describing import counts
from prodmatch_core.data.describing.spreads import histogram, quantiles
from prodmatch_core.data.describing.text import lines
from prodmatch_core.data.splits import leaks


@attrs.frozen(kw_only=True)
class Thorough:
    """How to look at what costs more than a pass over the tables."""

    similarity: float = 0.8
    "Jaccard similarity of character trigrams from which two texts are near-duplicates."
    limit: int = 300_000
    "Most different texts compared for near-duplicates; of more, a sample that keeps near ones together."
    examples: int = 6
    "Pairs of near-duplicates shown at most, of queries and of titles."
    window_days: float | None = None
    "Days after an event within which a conversion counts; None: until the end of the log."
    seed: int = 0
    "Of the hash functions and the sample."


def describe(dataset: Dataset, thorough: Thorough | None = None) -> dict[str, Any]:
    """Return what there is to know of a data set before using it; only JSON types.

    Keys: name, source, licence, fingerprint, notes, tables (rows, and empty cells per column), scheme; and,
    where there are judgements: labels (share of each), splits (judgements, queries, products and label shares
    of each), judgements_per_query; locales, lengths in characters, duplicates, leaks; and, where there are
    such tables: relations, groups, events, truth.

    With `thorough` also, each where there is such a table: near_duplicates, histograms (of lengths and of
    judgements per query), group_sizes, graph, conversions; the functions of `data.describing` say what is in
    them.
    """
    result: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "fingerprint": dataset.fingerprint(),
        "notes": list(dataset.notes),
        "tables": counts.table_counts(dataset),
        "scheme": _plain(attrs.asdict(dataset.scheme)) if dataset.scheme else None,
    }
    judgements = dataset.judgements
    if judgements is not None and dataset.scheme is not None:
        labels = dataset.scheme.labels
        result["labels"] = counts.label_shares(judgements, labels)
        result["splits"] = counts.split_counts(judgements, labels)
        result["judgements_per_query"] = quantiles(counts.per_query(judgements))
    result["locales"] = counts.locales(dataset)
    result["lengths"] = counts.lengths(dataset)
    result["duplicates"] = counts.duplicates(dataset)
    result["leaks"] = attrs.asdict(leaks(dataset))
    if dataset.engagements is not None:
        result["relations"] = counts.value_counts(dataset.engagements, "relation")
    if dataset.groups is not None:
        result["groups"] = {
            "items": dataset.groups.height,
            "groups": dataset.groups["group"].n_unique(),
            "splits": counts.value_counts(dataset.groups, "split"),
        }
    if dataset.events is not None:
        events = dataset.events
        converted = events["converted_at"].count() if "converted_at" in events.columns else 0
        result["events"] = {"events": events.height, "converted": converted}
    if dataset.truth:
        result["truth"] = {name: table.height for name, table in dataset.truth.items()}
    return result | (_examine(dataset, thorough) if thorough else {})


def _examine(dataset: Dataset, thorough: Thorough) -> dict[str, Any]:
    # The fits import SciPy and the likeness Numba: a run, which describes its data in passing, needs neither.
    from prodmatch_core.data.describing.degrees import graph, group_sizes
    from prodmatch_core.data.describing.delays import conversions
    from prodmatch_core.data.describing.near_duplicates import near_duplicates

    result: dict[str, Any] = {"histograms": counts.length_histograms(dataset)}
    if dataset.judgements is not None:
        result["histograms"]["judgements_per_query"] = histogram(counts.per_query(dataset.judgements))
    if dataset.queries is not None or dataset.products is not None:
        result["near_duplicates"] = near_duplicates(
            dataset,
            thorough.similarity,
            thorough.limit,
            thorough.examples,
            np.random.default_rng(thorough.seed),
        )
    if dataset.groups is not None and dataset.groups.height:
        result["group_sizes"] = group_sizes(dataset.groups)
    if dataset.engagements is not None and dataset.engagements.height:
        result["graph"] = graph(dataset)
    if dataset.events is not None and dataset.events.height:
        result["conversions"] = conversions(dataset.events, thorough.window_days)
    return result


def render(description: Mapping[str, Any]) -> str:
    """Return a description as text for a terminal or a log."""
    return "\n".join(lines(description))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
