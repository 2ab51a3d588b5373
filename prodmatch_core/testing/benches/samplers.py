"""Graph samplers at work: on a graph of 30 nodes, some of which have no edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import Bench, Subject
from prodmatch_core.training import seeds

NODES = 30


def graph() -> Graph:
    """Return 150 different weighted edges; the last three nodes have none."""
    rng = seeds.rng(0, "kit", "graph")
    code = rng.choice((NODES - 3) * NODES, size=150, replace=False)
    return Graph.from_edges(code // NODES, code % NODES, NODES, rng.integers(1, 9, size=150))


def wanted() -> np.ndarray:
    """Return the nodes whose neighbourhoods are asked for, (n,) int64; the last has no edge."""
    return np.array([4, 0, 17, 9, 22, NODES - 1], dtype=np.int64)


def flat(blocks: Sequence[Block]) -> dict[str, np.ndarray]:
    """Return all arrays of blocks by name."""
    return {
        f"{layer}.{name}": np.asarray(getattr(block, name))
        for layer, block in enumerate(blocks)
        for name in ("inputs", "seeds", "source", "target", "edge")
    }


class SamplerBench(Bench):
    """Builds a sampler for the graph and asks it for blocks."""

    contract = (GraphSampler,)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the sampler."""
        return subject.factory.build(subject.config, graph())

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the blocks of some nodes."""
        return flat(made.sample(wanted(), seeds.rng(seed, "kit", "sample")))

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask for the neighbourhoods of no node."""
        blocks = made.sample(np.empty(0, dtype=np.int64), seeds.rng(0, "kit", "sample"))
        assert all(len(block.edge) == 0 for block in blocks)
