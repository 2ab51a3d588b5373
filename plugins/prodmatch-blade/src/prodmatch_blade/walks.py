"""Neighbours further away for nodes that have few: what random walks with restart visit most, found once."""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.kernels import below, one_of_many, unit

WALK = "walk"
"Relation of the edges to ends of walks."


@attrs.frozen(eq=False)
class Walked:
    """A graph with the edges that walks add.

    Attributes:
        graph: their weights are shares of a node's most visited end.
        via: (edges,) int64 the neighbour through which a walk's end was first reached; -1 for other edges.
    """

    graph: Graph
    via: np.ndarray


def walked(
    graph: Graph, upto: int, walks: int, steps: int, restart: float, two_sided: bool, rng: np.random.Generator
) -> Walked:
    """Return the graph in which nodes of fewer than `upto` neighbours have edges to the ends walks visit most.

    Args:
        graph: where walks go; with two places a node, walks from an asking place follow edges out, those from an
            offered place follow them back.
        upto: neighbours a node has in the end, at most.
        walks: how many start at each node.
        steps: of each walk.
        restart: chance to go back to the start before a step.
        two_sided: whether a node has places 2n and 2n + 1.
        rng: source of the walks, from which every node has its own.
    """
    state = rng.integers(2**63, size=1).astype(np.uint64)
    source, target, visits, via = _walk(
        graph.offsets, graph.targets, upto, walks, steps, restart, two_sided, state
    )
    old = np.repeat(np.arange(graph.nodes), graph.degree())
    names = graph.relations or ("edge",)
    kinds = np.zeros(graph.edges, dtype=np.int16) if graph.relation is None else graph.relation
    made = Graph.from_edges(
        np.concatenate([old, source]),
        np.concatenate([graph.targets, target]),
        graph.nodes,
        np.concatenate([graph.weights, visits]),
        np.concatenate([kinds, np.full(len(source), len(names), dtype=np.int16)]),
        (*names, WALK),
    )
    through = np.full(made.edges, -1, dtype=np.int64)
    order = np.lexsort((target, source))
    through[made.positions(source, target)] = via[order]
    return Walked(made, through)


@njit(nogil=True, cache=True)
def _walk(
    offsets: np.ndarray,
    targets: np.ndarray,
    upto: int,
    walks: int,
    steps: int,
    restart: float,
    two_sided: bool,
    state: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return source, target, visits relative to the node's most visited end, and first neighbour, of every new edge."""
    nodes = len(offsets) - 1
    room = 0
    for node in range(nodes):
        degree = offsets[node + 1] - offsets[node]
        if 0 < degree < upto:
            room += upto - degree
    source, target = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    share, via = np.empty(room, dtype=np.float32), np.empty(room, dtype=np.int64)
    own = np.empty(1, dtype=np.uint64)
    counts, through = np.zeros(nodes, dtype=np.int64), np.empty(nodes, dtype=np.int64)
    seen = np.empty(walks * steps, dtype=np.int64)
    made = 0
    for node in range(nodes):
        first, end = offsets[node], offsets[node + 1]
        if end - first == 0 or end - first >= upto:
            continue
        for edge in range(first, end):
            counts[targets[edge]] = -1  # neighbours already
        # A node's walks are its own: an edge more elsewhere leaves them as they are.
        own[0] = one_of_many(state[0], node)
        twin = node ^ 1 if two_sided else node
        found = 0
        for _ in range(walks):
            current, hop = node, np.int64(-1)
            for _ in range(steps):
                if hop >= 0 and unit(own) < restart:
                    current, hop = node, np.int64(-1)
                degree = offsets[current + 1] - offsets[current]
                if degree == 0:
                    current, hop = node, np.int64(-1)
                    degree = end - first
                reached = targets[offsets[current] + below(own, degree)]
                if hop < 0:
                    hop = reached
                # Where a node has two places, walks go on from the same side of the node that was reached.
                current = reached ^ 1 if two_sided else reached
                if counts[reached] >= 0 and reached != twin and reached != node:
                    if counts[reached] == 0:
                        seen[found] = reached
                        through[reached] = hop
                        found += 1
                    counts[reached] += 1
        top = 0.0
        for _ in range(min(upto - (end - first), found)):
            best = -1
            for i in range(found):
                reached = seen[i]
                if counts[reached] > 0 and (
                    best < 0
                    or counts[reached] > counts[best]
                    or (counts[reached] == counts[best] and reached < best)
                ):
                    best = reached
            if best < 0:
                break
            top = max(top, float(counts[best]))
            source[made], target[made], via[made] = node, best, through[best]
            share[made] = counts[best] / top
            counts[best] = 0
            made += 1
        for i in range(found):
            counts[seen[i]] = 0
        for edge in range(first, end):
            counts[targets[edge]] = 0
    return source[:made], target[:made], share[:made], via[:made]
