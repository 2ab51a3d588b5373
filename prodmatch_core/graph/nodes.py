"""Which node is which product or query, and the typed graph between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.graph.csr import Graph

BACK = ":back"
"Ends the name of a relation that is another one turned round."
FILE = "nodes.json"


@attrs.frozen(eq=False)
class Nodes:
    """The numbering of nodes, kind by kind; products come last, so that more of them can follow."""

    ids: Mapping[str, pl.Series]
    "Kind -> identifiers, (n,) String without repetition; `product`, `query`."

    @classmethod
    def of(cls, dataset: Dataset, *further: tuple[str, pl.Series]) -> Nodes:
        """Return the numbering of a data set's products, then its queries, and the ends of its engagements.

        Args:
            dataset: its tables products, queries and engagements, as far as there are any.
            further: kind and identifiers of what shall be a node as well.
        """
        found: dict[str, list[pl.Series]] = {"query": [], "product": []}
        if dataset.products is not None:
            found["product"].append(dataset.products["product_id"])
        if dataset.queries is not None:
            found["query"].append(dataset.queries["query_id"])
        for kind, ids in further:
            found.setdefault(kind, []).append(ids)
        if dataset.engagements is not None:
            for side in ("src", "dst"):
                ends = dataset.engagements.select(f"{side}_kind", side).unique().sort(f"{side}_kind", side)
                for (kind,), part in ends.group_by(f"{side}_kind", maintain_order=True):
                    found.setdefault(str(kind), []).append(part[side])
        found["product"] = found.pop("product")
        return cls(
            {
                kind: pl.concat([ids.alias("id").cast(pl.String) for ids in parts]).unique(
                    maintain_order=True
                )
                for kind, parts in found.items()
                if parts
            }
        )

    @property
    def count(self) -> int:
        """Return how many nodes there are."""
        return sum(map(len, self.ids.values()))

    def first(self, kind: str) -> int:
        """Return the number of the first node of a kind."""
        kinds = list(self.ids)
        return sum(len(self.ids[name]) for name in kinds[: kinds.index(kind)])

    def find(self, kind: str, ids: pl.Series) -> np.ndarray:
        """Return the node of each identifier, (n,) int64, -1 where there is none."""
        if kind not in self.ids:
            return np.full(len(ids), -1, dtype=np.int64)
        table = self.ids[kind].alias("id").to_frame().with_row_index("node", offset=self.first(kind))
        asked = ids.alias("id").cast(pl.String).to_frame()
        node = asked.join(table, on="id", how="left", maintain_order="left")["node"].cast(pl.Int64)
        return node.fill_null(-1).to_numpy().astype(np.int64)

    def joined(self, products: pl.Series) -> Nodes:
        """Return the numbering in which products that are no nodes yet follow all others."""
        ids = products.alias("id").cast(pl.String)
        fresh = ids.filter(pl.Series(self.find("product", ids) < 0)).unique(maintain_order=True)
        known = self.ids.get("product", ids.clear())
        return (
            self
            if fresh.is_empty()
            else Nodes({**self.ids, "product": pl.concat([known.alias("id"), fresh])})
        )

    def save(self, folder: Path) -> None:
        """Write the identifiers as JSON."""
        plain = {kind: ids.to_list() for kind, ids in self.ids.items()}
        (folder / FILE).write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Nodes:
        """Read what `save` wrote."""
        plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls({kind: pl.Series("id", ids, dtype=pl.String) for kind, ids in plain.items()})


def typed_graph(
    engagements: pl.DataFrame | None,
    nodes: Nodes,
    both_ways: bool = True,
    relations: Iterable[str] | None = None,
) -> Graph:
    """Return the graph of engagements: an edge a row, its count the weight, its relation the kind.

    Engagements of a node with itself are left out. A node reads its out-neighbours: with `both_ways` the end of an
    engagement reads its start too, along an edge of a relation of its own, `<relation>:back`.

    Args:
        engagements: the canonical table, or None for a graph without edges.
        nodes: the numbering; engagements whose ends it does not know are left out.
        both_ways: whether every edge is there turned round as well.
        relations: the relations to read; None: all.
    """
    if engagements is None:
        empty = np.empty(0, dtype=np.int64)
        return Graph.from_edges(empty, empty, nodes.count)
    names = sorted(engagements["relation"].unique()) if relations is None else list(relations)
    rows = engagements.filter(pl.col("relation").is_in(names))
    ends = []
    for side in ("src", "dst"):
        found = np.full(rows.height, -1, dtype=np.int64)
        kinds = rows[f"{side}_kind"]
        for kind in kinds.unique():
            mask = (kinds == kind).to_numpy()
            found[mask] = nodes.find(str(kind), rows.filter(kinds == kind)[side])
        ends.append(found)
    number = rows["relation"].replace_strict(names, range(len(names)), return_dtype=pl.Int16).to_numpy()
    known = (ends[0] >= 0) & (ends[1] >= 0) & (ends[0] != ends[1])
    source, target, relation = ends[0][known], ends[1][known], number[known]
    weight = rows["count"].to_numpy().astype(np.float32)[known]
    if both_ways:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
        relation = np.concatenate([relation, relation + np.int16(len(names))])
        weight = np.concatenate([weight, weight])
        names = [*names, *(name + BACK for name in names)]
    return Graph.from_edges(source, target, nodes.count, weight, relation, tuple(names))
