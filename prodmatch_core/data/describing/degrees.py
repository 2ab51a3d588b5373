"""Graphs and groups: how degrees and sizes spread, which law their tail follows, what the graph leaves out."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describing.powerlaw import fit_power_law
from prodmatch_core.data.describing.spreads import quantiles, survival

Ints = npt.NDArray[np.int64]


def spread(values: Ints) -> dict[str, Any]:
    """Return `quantiles`, `mean`, the power `law` of the tail or None, and the `survival` curve of counts."""
    law = fit_power_law(values)
    return {
        "quantiles": quantiles(pl.Series(values)),
        "mean": float(values.mean()) if len(values) else 0.0,
        "law": attrs.asdict(law) if law else None,
        "survival": survival(values),
    }


def graph(dataset: Dataset) -> dict[str, Any]:
    """Return what there is to know of each relation of the engagements, by its name, largest first.

    A relation between several kinds of ends has an entry for each, `click (query to product)`. Entries hold
    `from` and `to` (kinds), `rows`, `edges` (different pairs), `sources`, `targets`; the share of nodes of the
    kind without an edge, `cold_sources` and `cold_targets`; `self_loops` and `reciprocity` (share of other
    edges whose reverse is there; None between kinds); `out` and `in` (spread of the number of different
    neighbours) and, where counts are whole numbers and not all 1, `out_count` and `in_count` (spread of the
    sum of counts).
    """
    table = dataset.engagements
    if table is None or table.is_empty():
        return {}
    nodes = {kind: _nodes(dataset, kind) for kind in ("query", "product")}
    result = {}
    for (name, source, target), rows in sorted(
        table.group_by("relation", "src_kind", "dst_kind"), key=lambda item: (-item[1].height, item[0])
    ):
        alone = table.filter(pl.col("relation") == name).select("src_kind", "dst_kind").n_unique() == 1
        key = str(name) if alone else f"{name} ({source} to {target})"
        result[key] = _relation(rows, str(source), str(target), nodes)
    return result


def _nodes(dataset: Dataset, kind: str) -> pl.Series:
    """Return the different nodes of a kind: those of its table and those that edges name."""
    parts = []
    if kind == "query" and dataset.queries is not None:
        parts.append(dataset.queries["query_id"])
    if kind == "product" and dataset.products is not None:
        parts.append(dataset.products["product_id"])
    if dataset.engagements is not None:
        edges = dataset.engagements
        parts += [edges.filter(pl.col(f"{end}_kind") == kind)[end] for end in ("src", "dst")]
    return (
        pl.concat([part.rename("node") for part in parts]).unique() if parts else pl.Series(dtype=pl.String)
    )


def _relation(rows: pl.DataFrame, source: str, target: str, nodes: dict[str, pl.Series]) -> dict[str, Any]:
    edges = rows.group_by("src", "dst").agg(pl.col("count").sum())
    leaving = edges.group_by("src").agg(pl.len().alias("n"), pl.col("count").sum())
    entering = edges.group_by("dst").agg(pl.len().alias("n"), pl.col("count").sum())
    result: dict[str, Any] = {
        "from": source,
        "to": target,
        "rows": rows.height,
        "edges": edges.height,
        "sources": leaving.height,
        "targets": entering.height,
        "cold_sources": _cold(leaving.height, source, nodes),
        "cold_targets": _cold(entering.height, target, nodes),
        "self_loops": None,
        "reciprocity": None,
        "out": spread(leaving["n"].cast(pl.Int64).to_numpy()),
        "in": spread(entering["n"].cast(pl.Int64).to_numpy()),
    }
    if source == target:
        others = edges.filter(pl.col("src") != pl.col("dst"))
        back = others.join(others, left_on=["src", "dst"], right_on=["dst", "src"], how="semi")
        result["self_loops"] = edges.height - others.height
        result["reciprocity"] = back.height / others.height if others.height else None
    counts = edges["count"]
    whole = bool((counts.is_finite() & (counts == counts.round()) & (counts >= 0) & (counts < 2**40)).all())
    if whole and bool((counts != 1).any()):
        for key, ends in (("out_count", leaving), ("in_count", entering)):
            result[key] = spread(ends["count"].cast(pl.Int64).to_numpy())
    return result


def _cold(warm: int, kind: str, nodes: dict[str, pl.Series]) -> float | None:
    known = nodes.get(kind)
    return 1 - warm / len(known) if known is not None and len(known) else None


def group_sizes(groups: pl.DataFrame) -> dict[str, Any]:
    """Return of groups of the same product: their `sizes` (spread), the share of `singletons`, and splits.

    `splits` has `items`, `groups` and `largest` of each split; `crossing` counts groups in more than one.
    """
    sizes = groups.group_by("group").agg(pl.len().alias("n"), pl.col("split").n_unique())
    parts = (
        groups.group_by("split", "group")
        .len()
        .group_by("split")
        .agg(
            pl.col("len").sum().alias("items"),
            pl.len().alias("groups"),
            pl.col("len").max().alias("largest"),
        )
        .sort("items", "split", descending=[True, False])
    )
    return {
        "sizes": spread(sizes["n"].cast(pl.Int64).to_numpy()),
        "singletons": int((sizes["n"] == 1).sum()) / max(sizes.height, 1),
        "crossing": int((sizes["split"] > 1).sum()),
        "splits": {split: {**row} for split, row in ((r.pop("split"), r) for r in parts.to_dicts())},
    }
