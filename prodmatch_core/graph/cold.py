"""Neighbourhoods of nodes that have none: those of the nodes whose texts are nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prodmatch_core.graph.csr import Graph

BLOCK = 1024
"Cold nodes whose similarities are computed at once."


def borrowed(graph: Graph, places: np.ndarray, texts: Sequence[str], near: int) -> Graph:
    """Return the graph in which nodes without an edge read the neighbours of the nodes nearest by text.

    Nearness is the cosine of character n-gram TF-IDF. An edge weighs what it does for its owner times the nearness.

    Args:
        graph: edges of all nodes.
        places: (n,) int64 nodes that have texts.
        texts: n texts.
        near: how many nodes lend their neighbours; only those with any text in common do.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    degree = graph.degree()[places]
    cold, warm = np.flatnonzero(degree == 0), np.flatnonzero(degree > 0)
    told = np.array(texts, dtype=object)
    if not len(cold) or not len(warm):
        return graph
    try:
        vectorizer = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), dtype=np.float32, sublinear_tf=True
        )
        known = vectorizer.fit_transform(told[warm])
    except ValueError:  # not one word in all texts
        return graph
    asked = vectorizer.transform(told[cold])
    receivers, owners, nearness = [], [], []
    for start in range(0, len(cold), BLOCK):
        found = (asked[start : start + BLOCK] @ known.T).toarray()
        best = np.argsort(-found, axis=1, kind="stable")[:, :near]
        score = np.take_along_axis(found, best, axis=1)
        row, column = np.nonzero(score > 0)
        receivers.append(places[cold[start + row]])
        owners.append(places[warm[best[row, column]]])
        nearness.append(score[row, column])
    receiver, owner, factor = map(np.concatenate, (receivers, owners, nearness))
    counts = graph.degree()[owner]
    edge = np.arange(counts.sum()) + np.repeat(graph.offsets[owner] - (np.cumsum(counts) - counts), counts)
    old = np.repeat(np.arange(graph.nodes), graph.degree())
    relation = graph.relation
    return Graph.from_edges(
        np.concatenate([old, np.repeat(receiver, counts)]),
        np.concatenate([graph.targets, graph.targets[edge]]),
        graph.nodes,
        np.concatenate([graph.weights, graph.weights[edge] * np.repeat(factor, counts)]),
        None if relation is None else np.concatenate([relation, relation[edge]]),
        graph.relations,
    )
