"""A world in which what the method presumes is true, for tests and measurements."""

from __future__ import annotations

import numpy as np
import polars as pl

from prodmatch_core.data.dataset import Dataset

GROUPS, SIZE = 20, 20
RELATION = "next"


def power_law_world(seed: int, groups: int = GROUPS, size: int = SIZE) -> Dataset:
    """Return products in groups, followed by later ones of their group; degrees fall by a power, half the titles lie.

    What follows what follows a product may follow it too: random walks along edges find what is like a neighbour.

    Args:
        seed: of all that is drawn.
        groups: how many there are, at most 26.
        size: products of a group.
    """
    rng = np.random.default_rng(seed)
    count = groups * size
    group, order = rng.permutation(count) % groups, rng.random(count)
    degree = np.minimum(2 + (rng.pareto(1.2, size=count) * 1.2).astype(int), size)
    edges = set()
    for node in range(count):
        later = np.flatnonzero((group == group[node]) & (order > order[node]))
        chosen = rng.choice(later, min(degree[node], len(later)), replace=False)
        edges |= {(node, int(target)) for target in chosen}
    told = np.where(rng.random(count) < 0.5, group, rng.integers(groups, size=count))
    titles = [f"kind{chr(97 + g) * 3} stage{int(3 * o)}" for g, o in zip(told, order, strict=True)]
    ends = np.array(sorted(edges))
    names = np.array([f"p{node:04}" for node in range(count)])
    return Dataset(
        "power-law",
        products=pl.DataFrame({"product_id": names, "title": titles}).with_columns(locale=pl.lit("en")),
        engagements=pl.DataFrame({"src": names[ends[:, 0]], "dst": names[ends[:, 1]]}).with_columns(
            src_kind=pl.lit("product"),
            dst_kind=pl.lit("product"),
            relation=pl.lit(RELATION),
            count=pl.lit(1.0),
        ),
        source="made",
    )
