"""`blade.dual`: dual embeddings over a directed graph of products."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_blade.configs import DualConfig
from prodmatch_blade.walks import walked
from prodmatch_core.components.encoder import Encoder, FitData
from prodmatch_core.components.graph_encoder import GraphEncoder, nodes_of
from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import DataError
from prodmatch_core.graph.csr import Graph
from prodmatch_core.graph.messages import Messages, weighted_mean
from prodmatch_core.graph.nodes import Nodes
from prodmatch_core.graph.surroundings import Surroundings, node_texts
from prodmatch_core.training import seeds

FOLLOWS, CO_VIEW = "follows", "co_view"
"Relations of the graph: the directed edges, and those without direction."


class DualEncoder(GraphEncoder):
    """Source vectors read the target vectors of what follows, target vectors the source vectors of what leads there.

    s_u = f([s_u; mean of t_v over u -> v]), t_v = f([t_v; mean of s_u over u -> v]). With two places a product, one
    that asks and one that is offered, this is one network over one graph, and any sampler serves it.

    All vectors are of one length, so that the cosine, which products are ranked by, is the inner product but for a
    factor.
    """

    def __init__(
        self, config: DualConfig, surroundings: Surroundings, network: NodeEncoder, text: Encoder | None
    ) -> None:
        """Put the parts together; offsets from a shared vector begin as none."""
        super().__init__(config, surroundings, network, text)
        self.offsets = nn.ModuleDict()
        if config.vectors == "shared":
            for side in surroundings.sides:
                offset = nn.Linear(network.width, network.width, bias=False)
                nn.init.zeros_(offset.weight)
                self.offsets[side] = offset

    @classmethod
    def two_sided(cls, config: DualConfig) -> bool:
        """Return whether a product has a place for each side."""
        return config.vectors == "dual"

    @classmethod
    def surround(cls, config: DualConfig, data: FitData) -> Surroundings:
        """Return the known edges between products, with those that walks and co-views add.

        Raises:
            DataError: a co-view relation is not there.
        """
        nodes = nodes_of(data)
        graph = directed_graph(data.dataset, nodes, data.relation, config.co_view, cls.two_sided(config))
        texts = node_texts(nodes, data.dataset, data.corpus)
        if not config.upto:
            return Surroundings(nodes, graph, texts, cls.two_sided(config))
        # Walks are part of the graph, not of the run's chance: the same graph has the same ones.
        found = walked(
            graph,
            config.upto,
            config.walks,
            config.steps,
            config.restart,
            cls.two_sided(config),
            seeds.rng(0, "walks"),
        )
        return WalkedSurroundings(nodes, found.graph, texts, cls.two_sided(config), found.via)

    @classmethod
    def make_network(
        cls, config: DualConfig, surroundings: Surroundings, rng: np.random.Generator
    ) -> NodeEncoder:
        """Return the layers."""
        return DualNetwork.build(config, GraphShape.of(surroundings.graph, config.width), rng)

    @classmethod
    def load_network(cls, config: DualConfig, folder: Path) -> NodeEncoder:
        """Return the layers that were saved."""
        return DualNetwork.load(config, folder)

    def finished(self, side: str, vectors: Tensor) -> Tensor:
        """Return vectors of the length `radius`, whose inner products are the scores, (n, width) float32."""
        if side in self.offsets:
            vectors = vectors + self.offsets[side](vectors)
        return functional.normalize(vectors, dim=1) * self.config.radius


class DualNetwork(NodeEncoder):
    """The layers: an own vector, the mean along directed edges and walks, and that along co-views."""

    def __init__(self, config: DualConfig, shape: GraphShape) -> None:
        """Make the layers, a set for each side where sides have vectors of their own."""
        super().__init__(config, shape)
        self.width, self.layers = config.width, config.layers
        self.viewed = shape.relations.index(CO_VIEW) if CO_VIEW in shape.relations else None
        sides = ("query", "product") if config.vectors == "dual" else ("query",)
        size = config.width * (2 if self.viewed is None else 3)
        self.mix = nn.ModuleDict(
            {
                side: nn.ModuleList(nn.Linear(size, config.width) for _ in range(config.layers))
                for side in sides
            }
        )
        if "product" in self.mix:
            # Both sides begin as one network: what looks alike is near before anything is learnt.
            self.mix["product"].load_state_dict(self.mix["query"].state_dict())
        self.dropout = nn.Dropout(config.dropout)

    def layer(self, number: int, messages: Messages, vectors: Tensor) -> Tensor:
        """Return the seeds' vectors, (seeds, width) float32."""
        read = [vectors[: messages.seeds]]
        if self.viewed is None:
            read.append(weighted_mean(messages, vectors))
        else:
            viewed = (messages.relation == self.viewed).to(messages.weight)
            read += [weighted_mean(messages, vectors, mask) for mask in (1 - viewed, viewed)]
        told = torch.cat(read, dim=1)
        mixed = self._mix("query", number)(told)
        if "product" in self.mix:
            offered = (messages.inputs[: messages.seeds] % 2 == 1)[:, None]
            mixed = torch.where(offered, self._mix("product", number)(told), mixed)
        return mixed if number + 1 == self.layers else self.dropout(functional.relu(mixed))

    def _mix(self, side: str, number: int) -> nn.Module:
        layers = self.mix[side]
        assert isinstance(layers, nn.ModuleList)
        return layers[number]


@attrs.frozen(eq=False)
class WalkedSurroundings(Surroundings):
    """Surroundings that know through which neighbour a walk reached its end."""

    via: np.ndarray = attrs.field(factory=lambda: np.empty(0, dtype=np.int64))
    "(edges,) int64 place, -1 for edges that no walk made."

    def between(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the edges between the places of pairs, and those of walks that went from one through the other."""
        found = [super().between(query, product)]
        for start, through in ((query, product), (product, query)):
            first, counts = self.graph.offsets[start], self.graph.degree()[start]
            edge = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
            found.append(edge[self.via[edge] == np.repeat(through, counts)])
        return np.unique(np.concatenate(found))


def directed_graph(
    dataset: Dataset, nodes: Nodes, relation: str, co_view: Sequence[str], two_sided: bool
) -> Graph:
    """Return the edges of a relation between products as places read them, and co-views where they are asked for.

    Args:
        dataset: its engagements.
        nodes: the numbering of products.
        relation: the directed one.
        co_view: relations without a direction.
        two_sided: an asking place reads the offered places its edges lead to, an offered one the asking places they
            come from; co-views join places of one side. Otherwise edges are read both ways.

    Raises:
        DataError: a co-view relation is not there.
    """
    assert dataset.engagements is not None
    between = dataset.engagements.filter(
        (pl.col("src_kind") == "product") & (pl.col("dst_kind") == "product")
    )
    there = set(between["relation"].unique())
    if missing := sorted(set(co_view) - there):
        known = ", ".join(sorted(there - {relation})) or "none"
        raise DataError(
            f'{dataset.source}: no co-view relation "{missing[0]}" between products; there is {known}. Correct '
            "co_view of blade.dual."
        )
    parts: list[tuple[Any, Any, int]] = []
    for kind, names in enumerate(((relation,), tuple(co_view))):
        rows = between.filter(pl.col("relation").is_in(names) & (pl.col("src") != pl.col("dst")))
        rows = rows.unique(["src", "dst"], maintain_order=True)
        source, target = (nodes.find("product", rows[side]) for side in ("src", "dst"))
        if not two_sided:
            parts += [(source, target, kind), (target, source, kind)]
        elif kind == 0:
            parts += [(2 * source, 2 * target + 1, kind), (2 * target + 1, 2 * source, kind)]
        else:
            for side in (0, 1):
                parts += [
                    (2 * source + side, 2 * target + side, kind),
                    (2 * target + side, 2 * source + side, kind),
                ]
    sources, targets = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    kinds = np.concatenate([np.full(len(part[0]), part[2], dtype=np.int64) for part in parts])
    count = nodes.count * (2 if two_sided else 1)
    # An edge known both ways is one where places have no side.
    code = np.unique((kinds * count + sources) * count + targets)
    kinds, rest = np.divmod(code, count * count)
    sources, targets = np.divmod(rest, count)
    names = (FOLLOWS, CO_VIEW) if co_view else (FOLLOWS,)
    return Graph.from_edges(sources, targets, count, None, kinds, names)
