"""A graph encoder in training: what a batch may read, and what it must not depend on."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.components.graph_encoder import GraphEncoder, PreparedGraph
from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import ConfigError
from prodmatch_core.graph.messages import unpack
from prodmatch_core.registry import default_registry
from prodmatch_core.structure import Structurer
from prodmatch_core.tasks.base import load_task
from prodmatch_core.testing.worlds import World, task_pipeline, world
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.ahead import ahead
from prodmatch_core.training.member import fit_member

ENCODER = {"use": "core.graph_nodes", "nodes": {"use": "core.mean_nodes", "width": 16}, "width": 16}


def member(**changes: Any) -> Any:
    tree = {
        "pipeline": {"name": "graph", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "member": {
            "encoder": ENCODER,
            "sampler": {"use": "core.uniform_sampler", "fanouts": [3, 2]},
            "training": {"batch_size": 16, "epochs": 3, "patience": 0, "learning_rate": 0.02},
            **changes,
        },
    }
    return load_pipeline(tree).member[0]


def built(found: World) -> tuple[GraphEncoder, PreparedGraph]:
    part = Structurer(default_registry()).part(ENCODER, "encoder")
    with seeds.torch_seed(0, "weights"):
        encoder = part.spec.load().build(part.config, found.fit, np.random.default_rng(0))
    return encoder, encoder.prepare(found.fit.corpus)


@pytest.mark.parametrize("task", ["relate", "match"])
def test_a_batch_is_learnt_from_without_the_edges_between_its_pairs(task: str) -> None:
    found = world(task)
    _, prepared = built(found)
    train = found.fit.train.take(np.arange(20))
    around = prepared.surroundings
    places = [around.place(side, prepared.rows[side][getattr(train, side)]) for side in around.sides]
    barred = set(around.between(*places).tolist())
    assert barred, "the pairs of this world have edges"
    layers = unpack(prepared.draw(train.query, train.product, np.random.default_rng(0)))
    ends = {
        (int(layer.inputs[a]), int(layer.inputs[b]))
        for layer in layers
        for a, b in zip(layer.source.tolist(), layer.target.tolist(), strict=True)
    }
    for query, product in zip(*(part.tolist() for part in places), strict=True):
        assert (query, product) not in ends and (product, query) not in ends


def test_hidden_edges_are_in_no_graph_and_those_of_other_relations_are() -> None:
    dataset = world("relate").dataset
    assert dataset.engagements is not None
    views = dataset.engagements.with_columns(relation=pl.lit("co_view"))
    both = attrs.evolve(dataset, engagements=pl.concat([dataset.engagements, views]))
    from prodmatch_core.sections import RelateSection

    task = load_task("relate")
    data = task.examples(both, task_pipeline("relate", relate=RelateSection("bought_next")))
    seen = task.visible(both, data).engagements
    assert seen is not None
    by = {name: set(part.select("src", "dst").iter_rows()) for (name,), part in seen.group_by("relation")}
    hidden = {
        pair for split in ("valid", "test") for pair in data.rows[split].select("src", "dst").iter_rows()
    }
    assert hidden and not by["bought_next"] & hidden
    assert by["bought_next"] == set(data.rows["train"].select("src", "dst").iter_rows())
    assert hidden < by["co_view"]


def trained(threads: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    monkeypatch.setattr(loop, "prefetching", lambda prepared: threads)
    found = world("relate")
    fitted = fit_member(member(), found.fit, found.task, default_registry(), seed=5)
    return fitted.model.state_dict()  # type: ignore[union-attr]


def test_the_number_of_threads_that_sample_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    none, one, four = (trained(threads, monkeypatch) for threads in (0, 1, 4))
    for name in none:
        assert torch.equal(none[name], one[name]) and torch.equal(none[name], four[name])


def test_the_members_sampler_is_what_training_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from prodmatch_core.builtin.neighbour_samplers import UniformSampler

    asked = []
    plain = UniformSampler.sample

    def counted(self: Any, nodes: np.ndarray, rng: np.random.Generator, exclude: Any = None) -> Any:
        asked.append(([int(limit[0]) for limit in self.limits], len(exclude)))
        return plain(self, nodes, rng, exclude)

    monkeypatch.setattr(UniformSampler, "sample", counted)
    trained(0, monkeypatch)
    steps = 3 * -(-len(world("relate").fit.train) // 16)
    assert len(asked) == steps
    assert all(fanouts == [3, 2] and excluded > 0 for fanouts, excluded in asked)


def test_work_ahead_keeps_its_order_and_reads_no_further_than_its_threads() -> None:
    read: list[int] = []

    def items() -> Any:
        for number in range(9):
            read.append(number)
            yield number

    found = []
    for value in ahead(items(), lambda number, item: (number, item * item), 3):
        assert len(read) <= len(found) + 4
        found.append(value)
    assert found == [(n, n * n) for n in range(9)]


def test_an_error_in_work_ahead_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ahead(range(3), lambda number, item: 1 // (1 - item), 2))


def test_a_sampler_that_nothing_reads_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        member(encoder={"use": "core.node_vectors"})
    assert str(error.value) == (
        "pipeline: 1 problem\n"
        "  member[0].sampler: nothing in core.node_vectors reads blocks; remove it, or choose an encoder over a graph"
    )


def test_a_graph_encoder_without_a_sampler_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"core.graph_nodes needs blocks \(sampled neighbourhoods"):
        load_pipeline(
            {
                "pipeline": {"name": "graph", "task": "relate"},
                "data": {"use": "core.edges", "path": "none.csv"},
                "member": {"encoder": ENCODER},
            }
        )


def test_validation_sees_the_weights_of_its_epoch() -> None:
    found, figures = world("relate"), []
    fit_member(
        member(
            training={
                "batch_size": 16,
                "epochs": 8,
                "patience": 0,
                "learning_rate": 0.05,
                "measure": "mrr@20",
            }
        ),
        found.fit,
        found.task,
        default_registry(),
        5,
        lambda heard: figures.append(heard["valid"]["mrr@20"]),
    )
    assert len(set(figures)) > 4
