from __future__ import annotations

import threading
from typing import Any, Self

import attrs
import numpy as np

from mutants.configs import Fanouts
from mutants.mutant import Mutant, mutant
from prodmatch_core.components.sampler import GraphSampler
from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.records import GraphSamplerSpec


class Healthy(GraphSampler):
    """Some neighbours, node by node."""

    def __init__(self, config: Fanouts, graph: Graph) -> None:
        self.config, self.graph = config, graph

    @classmethod
    def build(cls, config: Fanouts, graph: Graph) -> Self:
        return cls(config, graph)

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> list[Block]:
        blocks: list[Block] = []
        for layer, fanout in enumerate(self.config.fanouts):
            blocks.insert(0, self.layer(seeds, self.take(fanout), rng, self.excluded(layer, exclude)))
            seeds = blocks[0].inputs
        return blocks

    def layer(self, seeds: np.ndarray, fanout: int, rng: np.random.Generator, exclude: np.ndarray) -> Block:
        edges, target = [], []
        for place, node in enumerate(seeds):
            allowed = np.setdiff1d(np.arange(*self.graph.offsets[node : node + 2]), exclude)
            chosen = self.choose(allowed, min(fanout, len(allowed)), rng)
            edges += chosen.tolist()
            target += [place] * len(chosen)
        edge = np.array(edges, dtype=np.int64)
        senders = self.graph.targets[edge]
        inputs = np.concatenate([seeds, np.setdiff1d(senders, seeds)])
        place_of = {node: place for place, node in enumerate(inputs.tolist())}
        source = np.array([place_of[node] for node in senders.tolist()], dtype=np.int64)
        return Block(inputs, len(seeds), source, np.array(target, dtype=np.int64), edge)

    def choose(self, allowed: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(allowed, count, replace=False) if count else allowed[:0]

    def take(self, fanout: int) -> int:
        return fanout

    def excluded(self, layer: int, exclude: np.ndarray | None) -> np.ndarray:
        return np.empty(0, dtype=np.int64) if exclude is None else exclude

    def chances(self, node: int) -> np.ndarray:
        degree = int(self.graph.degree()[node])
        return np.full(degree, 1 / degree)


class Rolled(Healthy):
    """a sampled edge is not between the nodes its block says. A node's neighbours are its out-neighbours:
    `graph.targets[edge]` sends, and the node whose edge it is receives.
    """

    def layer(self, *arguments: Any) -> Block:
        block = super().layer(*arguments)
        return attrs.evolve(block, source=np.roll(block.source, 1))


class Unplaced(Healthy):
    """a sampled edge has no place among the graph's 150. Return positions."""

    def layer(self, *arguments: Any) -> Block:
        block = super().layer(*arguments)
        edge = block.edge if len(self.config.fanouts) == 1 else block.edge + self.graph.edges
        return attrs.evolve(block, edge=edge)


class InnermostFirst(Healthy):
    """a block does not begin with the nodes the next layer reads. Put the seeds first, in their order, and the outermost
    layer first in the list.
    """

    def sample(self, *arguments: Any) -> list[Block]:
        return super().sample(*arguments)[::-1]


class Repeats(Healthy):
    """a node is among a block's inputs twice. Number the nodes of a block once."""

    def sample(self, *arguments: Any) -> list[Block]:
        outer, *inner = super().sample(*arguments)
        return [attrs.evolve(outer, inputs=np.append(outer.inputs, outer.inputs[-1:])), *inner]


class Idle(Healthy):
    """an input sends nothing along any edge. Leave it out of the block."""

    def sample(self, *arguments: Any) -> list[Block]:
        outer, *inner = super().sample(*arguments)
        others = np.setdiff1d(np.arange(self.graph.nodes), outer.inputs)[:1]
        return [attrs.evolve(outer, inputs=np.append(outer.inputs, others)), *inner]


class OneMore(Healthy):
    """a node receives along 3 edges where the fan-out is 2. The first entry of fanouts is that of the layer next to the
    nodes asked for.
    """

    def take(self, fanout: int) -> int:
        return fanout + 1 if fanout > 1 else fanout


class OneLayer(Healthy):
    """2 fanouts make 1 blocks. Return a block a layer."""

    def sample(self, *arguments: Any) -> list[Block]:
        return super().sample(*arguments)[-1:]


class Leaks(Healthy):
    """an excluded edge was sampled: the model would read what it must predict. Leave `exclude` out in every layer."""

    def excluded(self, layer: int, exclude: np.ndarray | None) -> np.ndarray:
        return super().excluded(layer, None if layer else exclude)


class ByWeight(Healthy):
    """4000 draws take a node's edges [114, 234, 806, 108, 490, 624, 111, 119, 232, 940, 222] times, where chances
    declare [364, 364, 364, 364, 364, 364, 364, 364, 364, 364, 364]. Draw as `chances` says, or correct it.
    """

    def choose(self, allowed: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        weights = self.graph.weights[allowed].astype(np.float64)
        return rng.choice(allowed, count, replace=False, p=weights / weights.sum()) if count else allowed[:0]


class Unsure(Healthy):
    """a node of 11 edges has 11 chances that sum to #, and 4000 draws take 4000 edges. Return a chance for every edge, and
    take one edge where the fan-out is one.
    """

    def chances(self, node: int) -> np.ndarray:
        return 0.75 * super().chances(node)


class Writes(Healthy):
    """the sampler writes to the graph's weights. Work on a copy."""

    @classmethod
    def build(cls, config: Fanouts, graph: Graph) -> Self:
        graph.weights[:] = 1
        return cls(config, graph)


class OfItsThread(Healthy):
    """another thread draws other blocks from the same seed. Draw from the generator that is given, and from nothing that a
    thread has for itself.
    """

    def sample(
        self, seeds: np.ndarray, rng: np.random.Generator, exclude: np.ndarray | None = None
    ) -> list[Block]:
        main = threading.current_thread() is threading.main_thread()
        return super().sample(seeds, rng if main else np.random.default_rng(rng.integers(9) + 1), exclude)


def sampler(check: str, factory: Any) -> Mutant:
    return mutant(check, GraphSamplerSpec, factory, config=Fanouts, needs={"engagements"}, gives={"blocks"})


HEALTHY = [sampler("healthy", Healthy)]
MUTANTS = [
    sampler("every_edge_exists", Rolled),
    sampler("every_edge_exists", Unplaced),
    sampler("seeds_come_first", InnermostFirst),
    sampler("inputs_are_different", Repeats),
    sampler("inputs_are_different", Idle),
    sampler("fanouts_are_respected", OneMore),
    sampler("fanouts_are_respected", OneLayer),
    sampler("excluded_edges_are_never_sampled", Leaks),
    sampler("frequencies_are_as_declared", ByWeight),
    sampler("frequencies_are_as_declared", Unsure),
    sampler("graph_is_not_written_to", Writes),
    sampler("any_thread_draws_the_same", OfItsThread),
]
