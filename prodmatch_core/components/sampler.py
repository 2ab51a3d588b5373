"""What a graph sampler must do: choose the neighbourhoods a graph network reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from prodmatch_core.graph.csr import Block, Graph


class GraphSampler(ABC):
    """Samples blocks, the outermost layer first, from arrays alone: no graph library is asked for."""

    @classmethod
    @abstractmethod
    def build(cls, config: Any, graph: Graph) -> Self:
        """Make a sampler for one graph, computing once what depends on the graph alone."""

    @abstractmethod
    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> Sequence[Block]:
        """Return one block per layer.

        Args:
            seeds: (n,) int64 different nodes whose vectors are wanted; the last block's seeds.
            rng: source of every random choice.
            exclude: (m,) int64 sorted positions of edges that must not be sampled (the supervised ones), or None.
        """

    def chances(self, node: int) -> np.ndarray | None:
        """Return the chance of each edge of `node` to be the one taken where one is taken, (degree,) float64.

        They sum to 1 and are in the order of the graph's arrays. The default, None, leaves it unsaid. The conformance
        kit holds what is drawn with a fan-out of one against it.
        """
        return None
