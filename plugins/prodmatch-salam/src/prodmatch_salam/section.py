"""The section of the report on the graph that a fusion encoder read, and on what it was worth to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import attrs
import numpy as np
import polars as pl

from prodmatch_core.errors import ConfigError
from prodmatch_core.evaluation.classification import macro_f1, micro_f1, per_class_f1
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.graph.surroundings import Surroundings
from prodmatch_core.records import Section
from prodmatch_core.rundir import Run
from prodmatch_salam.edges import asked_relations, degrees, strengths_between

BUCKETS: Mapping[str, tuple[int, int]] = {
    "none": (0, 0),
    "1-3": (1, 3),
    "4-15": (4, 15),
    "16+": (16, 1 << 60),
}
"Name of a bucket -> the neighbours of its nodes, from and to."
NAMES = {
    "engagements": "shoppers' engagements",
    "proxy": "a proxy made of training judgements, not of behaviour",
    "none": "nothing",
}
"What a graph is made of, in words."


@attrs.frozen
class Row:
    """Figures of some test pairs."""

    name: str
    pairs: int
    queries: int
    macro: float
    micro: float
    classes: tuple[float, ...]
    "F1 of each class, in the order of the label scheme; NaN where it neither occurs nor is decided."


def sections(run: Run) -> Iterator[Section]:
    """Yield a section for each member of a run that fuses a graph with texts."""
    if run.task.answer != "classes":
        return
    from prodmatch_core.config import load_pipeline

    try:
        members = load_pipeline(run.path / "resolved.toml").member
    except ConfigError:  # a part's plugin is no longer installed: the report says so elsewhere
        return
    for member in members:
        if member.encoder.name == "salam.fusion":
            yield Section(
                title=f"Texts and graph: {member.name}",
                html=_html(run, member.name),
                note="Of the pipeline's decisions on the test split. Neighbours: without the other of the pair.",
            )


def rows_by(evaluated: Evaluated, names: np.ndarray, order: Sequence[str]) -> list[Row]:
    """Return the figures of the rows of each name, in order; names without rows are left out."""
    found = []
    for name in order:
        mask = names == name
        if mask.any():
            part = evaluated.subset(mask)
            weights = part.example_weights
            found.append(
                Row(
                    name=name,
                    pairs=int(mask.sum()),
                    queries=len(np.unique(evaluated.groups[mask])),
                    macro=float(macro_f1(part)(weights)),
                    micro=float(micro_f1(part)(weights)),
                    classes=tuple(score.f1 for score in per_class_f1(part)),
                )
            )
    return found


def bucket_of(count: np.ndarray) -> np.ndarray:
    """Return the name of the bucket of each number of neighbours, (n,) str."""
    names = np.array(list(BUCKETS))
    lows = np.array([low for low, _ in BUCKETS.values()])
    return names[np.searchsorted(lows, count, side="right") - 1]


def test_rows(run: Run) -> tuple[pl.DataFrame, Evaluated]:
    """Return a run's test rows and its decisions on them."""
    rows = run.decisions.filter(pl.col("split") == "test")
    labels = list(run.scheme.labels)
    numbers = {
        name: rows[name].replace_strict(labels, range(len(labels)), return_dtype=pl.Int64).to_numpy()
        for name in ("label", "decided")
    }
    return rows, Evaluated(
        labels=numbers["label"],
        scheme=run.scheme,
        groups=rows["query_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        probabilities=rows.select(f"p_{label}" for label in labels).to_numpy(),
        decisions=numbers["decided"],
    )


def neighbours(around: Surroundings, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return by side how many neighbours but the other of the pair the node of each row has, (n,) int64.

    It is 0 where there is no node: what is read as text alone.
    """
    columns = {"query": "query_id", "product": "product_id"}
    nodes = {kind: around.nodes.find(kind, rows[column]) for kind, column in columns.items()}
    ways = ((nodes["query"], nodes["product"]), (nodes["product"], nodes["query"]))
    own = np.any([strengths_between(around.graph, *way).any(axis=1) for way in ways], axis=0)
    return {kind: degrees(around.graph, found) - own for kind, found in nodes.items()}


def _html(run: Run, member: str) -> str:
    assets = run.path / "members" / member / "assets"
    told = json.loads((assets / "fusion.json").read_text(encoding="utf-8"))
    around = Surroundings.load(assets / "graph", two_sided=False)
    rows, evaluated = test_rows(run)
    counts = neighbours(around, rows)
    labels = run.scheme.labels
    there = [counts[side] > 0 for side in counts]
    known = [f"{share.mean():.0%}" for share in (*there, np.logical_and(*there))]
    relations = ", ".join(asked_relations(around.graph)) or "none"
    verdict = (
        f"The graph is made of <strong>{escape(NAMES[told['edges']])}</strong>: {around.nodes.count:,} nodes, "
        f"{around.graph.edges // 2:,} edges (relations: {escape(relations)}), read {escape(told['setting'])}. Of the "
        f"{rows.height:,} test pairs it says something of the query in {known[0]}, of the product in {known[1]}, of "
        f"both in {known[2]}; where it says nothing of either, a pair is read as text alone."
    )
    tables = [
        _table(
            f"Test pairs by the neighbours of their {side}",
            rows_by(evaluated, bucket_of(counts[side]), list(BUCKETS)),
            labels,
        )
        for side in ("product", "query")
    ]
    if "locale" in rows.columns:
        locales = rows["locale"].to_numpy().astype(str)
        tables.insert(
            0, _table("Test pairs by locale", rows_by(evaluated, locales, sorted(set(locales))), labels)
        )
    return f"<p>{verdict}</p>" + "".join(tables)


def _table(caption: str, rows: Sequence[Row], labels: Sequence[str]) -> str:
    first = "locale" if caption.endswith("locale") else "neighbours"
    heads = (first, "pairs", "queries", "macro F1", "micro F1", *(f"F1 {label}" for label in labels))
    number = ' class="n"'
    head = "".join(
        f'<th scope="col"{number if place else ""}>{escape(name)}</th>' for place, name in enumerate(heads)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th>'
        + "".join(
            f"<td{number}>{cell}</td>"
            for cell in (
                f"{row.pairs:,}",
                f"{row.queries:,}",
                *(
                    "" if np.isnan(value) else f"{value:.3f}"
                    for value in (row.macro, row.micro, *row.classes)
                ),
            )
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<h3>{escape(caption)}</h3>"
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
