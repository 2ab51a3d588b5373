"""Which edges a fusion encoder may read, and what relations hold between two nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from prodmatch_core.components.encoder import FitData
from prodmatch_core.errors import DataError
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.nodes import BACK, Nodes, typed_graph
from prodmatch_core.graph.surroundings import Surroundings, node_texts

JUDGED, SHARED = "judged", "shared_query"
"Relations of the proxy: a query and a product that were judged together; two products judged for one query."
RING = 4
"Products that each product of a query is joined to in the proxy: the next ones in the order of judgement."
_SCHEMA = {
    "src_kind": pl.String,
    "src": pl.String,
    "relation": pl.String,
    "dst_kind": pl.String,
    "dst": pl.String,
    "count": pl.Float64,
}


def kind_of(config: Any, data: FitData) -> str:
    """Return what the graph is made of: engagements, proxy or none.

    Raises:
        DataError: engagements are asked for, and the data has none.
    """
    engaged = data.dataset.engagements
    there = engaged is not None and not engaged.is_empty()
    if config.edges == "engagements" and not there:
        raise DataError(
            f'{data.dataset.source}: has no engagements for salam.fusion. Set encoder.edges = "proxy" for a graph of '
            "training judgements, or bring a table engagements."
        )
    if config.edges == "auto":
        return "engagements" if there else "proxy"
    return str(config.edges)


def edges_of(kind: str, config: Any, data: FitData) -> pl.DataFrame:
    """Return the edges a kind of graph is made of, as a table of engagements."""
    if kind == "none":
        return pl.DataFrame(schema=_SCHEMA)
    if kind == "proxy":
        return proxy(data)
    engaged = data.dataset.engagements
    assert engaged is not None
    kinds = ["query", "product"]
    engaged = engaged.filter(pl.col("src_kind").is_in(kinds), pl.col("dst_kind").is_in(kinds))
    if config.relations:
        known = engaged["relation"].unique()
        if unknown := sorted(set(config.relations) - set(known)):
            raise DataError(
                f"{data.dataset.source}: no engagement has the relation {unknown[0]} of encoder.relations; there are "
                f"{', '.join(sorted(known))}."
            )
        engaged = engaged.filter(pl.col("relation").is_in(config.relations))
    if config.setting == "inductive":
        learnt = data.corpus.queries["query_id"].gather(np.unique(data.train.query))
        for side in ("src", "dst"):
            engaged = engaged.filter(
                (pl.col(f"{side}_kind") != "query") | pl.col(side).is_in(learnt.implode())
            )
    return engaged


def proxy(data: FitData) -> pl.DataFrame:
    """Return edges made of the training judgements, whatever their labels say.

    A query is joined to the products judged for it, and each of these to the next RING of them. What is not read
    cannot leak: two sets of training labels make the same graph.
    """
    pairs = pl.DataFrame(
        {
            "src": data.corpus.queries["query_id"].gather(data.train.query),
            "dst": data.corpus.products["product_id"].gather(data.train.product),
        }
    ).unique(maintain_order=True)
    judged = pairs.with_columns(src_kind=pl.lit("query"), dst_kind=pl.lit("product"), relation=pl.lit(JUDGED))
    steps = [
        pairs.select(src="dst", dst=pl.col("dst").shift(-step).over("src")).drop_nulls()
        for step in range(1, RING + 1)
    ]
    shared = (
        pl.concat(steps)
        .filter(pl.col("src") != pl.col("dst"))
        .with_columns(src_kind=pl.lit("product"), dst_kind=pl.lit("product"), relation=pl.lit(SHARED))
    )
    keys = [name for name in _SCHEMA if name != "count"]
    both = pl.concat([judged.select(keys), shared.select(keys)])
    return both.group_by(keys, maintain_order=True).agg(pl.len().cast(pl.Float64).alias("count"))


def surround(edges: pl.DataFrame, data: FitData) -> Surroundings:
    """Return the graph of edges, read both ways; its nodes are the ends of edges and nothing else."""
    ids = {}
    for kind in ("product", "query"):
        ends = [edges.filter(pl.col(f"{side}_kind") == kind)[side].alias("id") for side in ("src", "dst")]
        ids[kind] = pl.concat(ends).cast(pl.String).unique(maintain_order=True)
    nodes = Nodes(ids)
    return Surroundings(nodes, typed_graph(edges, nodes), node_texts(nodes, data.dataset, data.corpus))


def asked_relations(graph: Graph) -> tuple[str, ...]:
    """Return the names of the relations that are asked about: those that lead forwards."""
    return tuple(name for name in graph.relations if not name.endswith(BACK))


def strengths(graph: Graph) -> np.ndarray:
    """Return by node the weights of its edges of each relation, then their number, (nodes, 2 x relations) float32."""
    source = np.repeat(np.arange(graph.nodes), graph.degree())
    return _by_relation(graph, np.arange(graph.edges), source, graph.nodes)


def strengths_between(graph: Graph, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return how much of each relation leads from `source[i]` to `target[i]`, as `strengths` counts it.

    Args:
        graph: its edges.
        source: (n,) int64 nodes; -1 is none.
        target: (n,) int64 nodes; -1 is none.

    Returns:
        (n, 2 x relations) float32.
    """
    known = np.flatnonzero((source >= 0) & (target >= 0))
    found = np.zeros((len(source), 2 * _relations(graph)), dtype=np.float32)
    pairs, place = np.unique(source[known] * graph.nodes + target[known], return_inverse=True)
    edge = graph.positions(source[known], target[known])
    begin = np.searchsorted(graph.offsets, edge, side="right") - 1
    row = np.searchsorted(pairs, begin * graph.nodes + graph.targets[edge])
    found[known] = _by_relation(graph, edge, row, len(pairs))[place]
    return found


def _relations(graph: Graph) -> int:
    return max(len(graph.relations), 1)


def _by_relation(graph: Graph, edge: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray:
    """Return the weights and the number of edges of each relation by row, (rows, 2 x relations) float32."""
    relations = _relations(graph)
    kind = np.zeros(len(edge), dtype=np.int64) if graph.relation is None else graph.relation[edge]
    cell, cells = row * relations + kind, rows * relations
    sums = (np.bincount(cell, weights=weight, minlength=cells) for weight in (graph.weights[edge], None))
    return np.concatenate([found.reshape(rows, relations) for found in sums], axis=1).astype(np.float32)


def relations_between(graph: Graph, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return which relations hold from `source[i]` to `target[i]`, (n, asked relations) float32 of 0 and 1."""
    first = _relations(graph)
    counts = strengths_between(graph, source, target)[:, first : first + len(asked_relations(graph))]
    return (counts > 0).astype(np.float32)


def degrees(graph: Graph, nodes: np.ndarray) -> np.ndarray:
    """Return how many different neighbours nodes have, (n,) int64; 0 for nodes that are not there (-1)."""
    source = np.repeat(np.arange(graph.nodes), graph.degree())
    different = np.unique(source * max(graph.nodes, 1) + graph.targets)
    counts = np.bincount(different // max(graph.nodes, 1), minlength=graph.nodes)
    return np.where(nodes >= 0, np.append(counts, 0)[nodes], 0)
