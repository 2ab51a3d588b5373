from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch

from prodmatch_core.components.node_encoder import GraphShape, NodeEncoder
from prodmatch_core.config import load_pipeline
from prodmatch_core.graph.messages import all_neighbours, pack, unpack
from prodmatch_core.registry import default_registry
from prodmatch_core.structure import Structurer
from prodmatch_core.testing.benches import nodes
from prodmatch_core.testing.worlds import world
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member


def built(name: str, **fields: Any) -> NodeEncoder:
    part = Structurer(default_registry()).part({"use": name, "width": 8, **fields}, "encoder")
    with seeds.torch_seed(0, "weights"):
        shape = GraphShape.of(nodes.graph(), nodes.INPUTS)
        return part.spec.load().build(part.config, shape, np.random.default_rng(0)).eval()


@pytest.mark.parametrize(("name", "told"), [("dgl.rgcn", True), ("dgl.gcn", False), ("dgl.sage", False)])
def test_swapping_relations_changes_rgcn_and_no_other(name: str, told: bool) -> None:
    encoder, graph = built(name), nodes.graph()
    layers = unpack(pack(all_neighbours(graph, nodes.WANTED, 2), graph))
    swapped = [attrs.evolve(layer, relation=1 - layer.relation) for layer in layers]
    vectors = nodes.first()[layers[0].inputs]
    with torch.inference_mode():
        assert torch.allclose(encoder(layers, vectors), encoder(swapped, vectors), atol=1e-6) != told


def test_a_gcn_of_one_layer_is_the_weighted_mean_mapped() -> None:
    encoder, graph = built("dgl.gcn", layers=1), nodes.graph()
    node = int(nodes.WANTED[0])
    (layer,) = unpack(pack(all_neighbours(graph, np.array([node]), 1), graph))
    table, row = nodes.first(), slice(graph.offsets[node], graph.offsets[node + 1])
    weights = torch.from_numpy(graph.weights[row].copy())
    count = len(weights)
    mean = (table[graph.targets[row]] * weights[:, None]).sum(0) / weights.sum()
    mixed = (table[node] + count * mean) / (count + 1)
    convolution = encoder.convolutions[0]
    with torch.inference_mode():
        expected = mixed @ convolution.weight + convolution.bias
        assert torch.allclose(encoder([layer], table[layer.inputs])[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["dgl.gcn", "dgl.sage", "dgl.gatv2", "dgl.rgcn"])
def test_every_network_learns_the_tiny_graph_and_is_saved_with_its_member(name: str, tmp_path: Any) -> None:
    found = world("relate")
    tree = {
        "pipeline": {"name": "graph", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "member": {
            "name": "nodes",
            "encoder": {"use": "core.graph_nodes", "nodes": {"use": name, "width": 16}, "width": 16},
            "sampler": {"use": "dgl.neighbor", "fanouts": [5, 5]},
            "training": {"batch_size": 32, "epochs": 12, "learning_rate": 0.02, "patience": 0},
        },
    }
    member = load_pipeline(tree).member[0]
    losses: list[float] = []
    fitted = fit_member(
        member, found.fit, found.task, default_registry(), 0, lambda figures: losses.append(figures["loss"])
    )
    assert losses[-1] < 0.85 * losses[0]
    fitted.save(tmp_path / "member")
    again = FittedMember.load(member, found.task, found.data.scheme, tmp_path / "member")
    reads = [("query", np.arange(48)), ("product", np.arange(10))]
    corpus = found.fit.corpus
    for left, right in zip(fitted.vectors(corpus, reads), again.vectors(corpus, reads), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)
