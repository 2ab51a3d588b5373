"""The graph view of `salam.fusion` by the networks of another distribution, named in the pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundata import read_dataset
from prodmatch_core.runner import run_pipeline
from prodmatch_core.training import seeds


def tree(network: str) -> dict[str, Any]:
    encoder = {
        "use": "salam.fusion",
        "text": {"use": "core.ngram", "width": 8, "buckets": 4096},
        "graph": {"use": network, "width": 16, "layers": 2, "dropout": 0.0},
        "features": {"use": "core.ngram", "mode": "two_tower", "width": 16, "buckets": 4096},
        "width": 16,
        "node_width": 16,
    }
    phases = [{"name": "everywhere", "epochs": 1}, {"name": "region", "epochs": 1, "per_locale": True}]
    return {
        "pipeline": {"name": "fused"},
        "data": {"use": "shop.synthetic", "size": 1000},
        "member": [
            {
                "name": "fused",
                "encoder": encoder,
                "sampler": {"use": "dgl.neighbor", "fanouts": [5, 5]},
                "loss": [
                    {"use": "core.cross_entropy"},
                    {"use": "salam.link", "weight": 0.3, "phases": ["everywhere"]},
                ],
                "training": {"learning_rate": 0.01, "phase": phases},
            }
        ],
        "evaluation": {"replicates": 100, "baselines": []},
    }


def moved(network: str) -> float:
    """Return how much node vectors change when the relations of the shop's engagements are permuted."""
    pipeline = load_pipeline(tree(network))
    dataset = read_dataset(pipeline, ReadContext())
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    part = pipeline.member[0].encoder
    with seeds.torch_seed(0, "weights"):
        made = part.spec.load().build(part.config, data, seeds.rng(0, "build")).eval()
    assert type(made.network).__module__ == "prodmatch_dgl.networks"
    graph = made.surroundings.graph
    mixed = attrs.evolve(graph, relation=seeds.rng(0, "mix").permutation(graph.relation))
    assert (mixed.relation != graph.relation).mean() > 0.5
    with torch.inference_mode():
        before = made.node_vectors()
        made.surroundings, made._known = attrs.evolve(made.surroundings, graph=mixed), None
        return float((made.node_vectors() - before).abs().max())


def test_permuting_relations_changes_dgl_rgcn() -> None:
    assert moved("dgl.rgcn") > 1e-3


@pytest.mark.parametrize("network", ["dgl.gcn", "dgl.sage", "dgl.gatv2"])
def test_permuting_relations_changes_no_network_that_does_not_read_them(network: str) -> None:
    assert moved(network) == 0


def test_a_run_with_dgl_rgcn_as_graph_view_scores_as_it_was_evaluated(
    tmp_path: Path,
) -> None:
    pipeline = load_pipeline(tree("dgl.rgcn"))
    run = run_pipeline(pipeline, out=tmp_path / "run")
    dataset = read_dataset(pipeline, ReadContext())
    assert dataset.queries is not None and dataset.products is not None
    rows = run.decisions.filter(split="test").select("query_id", "product_id", "locale", "score")
    rows = rows.join(dataset.queries.select("query_id", query="text"), on="query_id", maintain_order="left")
    titles = dataset.products.select("product_id", "locale", "title")
    rows = rows.join(titles, on=["product_id", "locale"], maintain_order="left")
    found = Pipeline.load(run.path, precision="fp32").predict(rows.drop("score"))
    np.testing.assert_allclose(found["score"].to_numpy(), rows["score"].to_numpy(), atol=1e-4)
