"""The plain parts for groups, graphs and events."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pytorch_metric_learning import losses
from safetensors.torch import load_file, save_file
from torch import Tensor

from prodmatch_core.builtin.event_features import EventFeaturesEncoder
from prodmatch_core.builtin.metric import MetricLoss
from prodmatch_core.builtin.node_vectors import NodeVectorsEncoder
from prodmatch_core.builtin.structure_configs import EventFeaturesConfig, MetricConfig, NodeVectorsConfig
from prodmatch_core.components.encoder import Encoder, FitData
from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.errors import ConfigError, DataError
from prodmatch_core.tasks.embed import SAME

PAIRS = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def items(labels: list[int], weights: list[float] | None = None, references: bool = False) -> Output:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(2, len(labels), 4, generator=generator)
    return Output(
        labels=torch.tensor(labels),
        weights=torch.tensor(weights or [1.0] * len(labels)),
        embeddings=vectors[0].requires_grad_(),
        references=vectors[1].requires_grad_() if references else None,
    )


@pytest.mark.parametrize(
    "name", ["ContrastiveLoss", "MultiSimilarityLoss", "TripletMarginLoss", "NTXentLoss"]
)
def test_a_loss_by_name_is_the_librarys_own(name: str) -> None:
    output = items([0, 0, 1, 1, 2, 1])
    ours = MetricLoss.build(MetricConfig(loss=name), Learnt(SAME, 3, 4))(output)
    assert output.embeddings is not None
    torch.testing.assert_close(ours, getattr(losses, name)()(output.embeddings, output.labels))


def test_a_miner_chooses_the_pairs() -> None:
    output = items([0, 0, 1, 1, 2, 1])
    config = MetricConfig(
        loss="ContrastiveLoss", miner="MultiSimilarityMiner", miner_options={"epsilon": 0.0}
    )
    mined = MetricLoss.build(config, Learnt(SAME, 3, 4))(output)
    whole = MetricLoss.build(MetricConfig(loss="ContrastiveLoss"), Learnt(SAME, 3, 4))(output)
    assert float(mined) != pytest.approx(float(whole))


def test_a_loss_with_weights_of_its_own_gets_its_sizes_and_learns() -> None:
    loss = MetricLoss.build(MetricConfig(loss="ProxyAnchorLoss"), Learnt(SAME, 7, 4))
    assert {tuple(p.shape) for p in loss.parameters()} == {(7, 4)}
    loss(items([0, 0, 6])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())


def test_two_towers_compare_queries_with_products_of_matching_pairs() -> None:
    output = items([0, 1, 0], references=True)
    loss = MetricLoss.build(MetricConfig(loss="ContrastiveLoss"), Learnt(PAIRS, 2, 4))(output)
    assert output.embeddings is not None and output.references is not None
    distance = losses.ContrastiveLoss().distance(output.embeddings, output.references)
    positive = torch.stack([distance[0, 0], distance[2, 2]]).clamp_min(0)
    negative = torch.stack(
        [distance[i, j] for i in range(3) for j in range(3) if (i, j) not in [(0, 0), (2, 2)]]
    )
    hinge = (1 - negative).clamp_min(0)
    # The library averages over the pairs that contribute.
    torch.testing.assert_close(loss, positive[positive > 0].mean() + hinge[hinge > 0].mean())


def test_products_that_match_the_same_query_are_no_negatives() -> None:
    query = torch.tensor([[1.0, 0.0]]).repeat(2, 1).requires_grad_()
    output = Output(
        labels=torch.tensor([0, 0]),
        weights=torch.ones(2),
        embeddings=query,
        references=torch.tensor([[1.0, 0.0], [0.9, 0.1]]),
    )
    config = MetricConfig(loss="ContrastiveLoss", options={"neg_margin": 10.0})
    assert float(MetricLoss.build(config, Learnt(PAIRS, 2, 2))(output)) < 0.2


@pytest.mark.parametrize("labels", [[0, 1, 2], [0]])
def test_a_batch_without_a_pair_of_one_class_has_a_loss_and_a_gradient(labels: list[int]) -> None:
    output = items(labels)
    MetricLoss.build(MetricConfig(loss="TripletMarginLoss"), Learnt(SAME, 3, 4))(output).backward()
    assert output.embeddings is not None and output.embeddings.grad is not None
    assert torch.isfinite(output.embeddings.grad).all()


def test_all_weights_zero_is_zero_with_a_gradient() -> None:
    output = items([0, 0, 1], [0.0, 0.0, 0.0])
    loss = MetricLoss.build(MetricConfig(), Learnt(SAME, 2, 4))(output)
    loss.backward()
    assert float(loss) == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            MetricConfig(loss="TripletMarginLos"),
            'core.metric: pytorch-metric-learning has no loss "TripletMarginLos"; did you mean "TripletMarginLoss"?',
        ),
        (
            MetricConfig(miner="TripletMargin"),
            'core.metric: pytorch-metric-learning has no miner "TripletMargin"; did you mean "TripletMarginMiner"?',
        ),
    ],
)
def test_a_name_the_library_does_not_know_names_the_nearest(config: MetricConfig, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        MetricLoss.build(config, Learnt(SAME, 2, 4))
    assert str(error.value) == message


def test_an_argument_the_loss_does_not_know_lists_its_own() -> None:
    with pytest.raises(
        ConfigError, match=r"ContrastiveLoss cannot be made .* Its own arguments: pos_margin, neg_margin"
    ):
        MetricLoss.build(MetricConfig(loss="ContrastiveLoss", options={"margin": 1}), Learnt(SAME, 2, 4))


def node_data(ids: list[str]) -> FitData:
    products = pl.DataFrame({"product_id": ids, "locale": ["en"] * len(ids), "title": ids})
    corpus = Corpus(products.rename({"product_id": "query_id"}), products)
    return FitData(corpus, Examples.empty(), Examples.empty(), PAIRS, Dataset("none"))


def reloaded(encoder: Encoder, config: object, folder: Path) -> Encoder:
    encoder.save_assets(folder)
    save_file(encoder.state_dict(), folder / "weights.safetensors")
    again = type(encoder).load(config, folder)
    again.load_state_dict(load_file(folder / "weights.safetensors"))
    return again.eval()


def test_a_products_source_and_target_vectors_differ_and_follow_it_into_another_corpus(
    tmp_path: Path,
) -> None:
    config = NodeVectorsConfig(width=6)
    encoder = NodeVectorsEncoder.build(config, node_data(["a", "b", "c"]), np.random.default_rng(0)).eval()
    rows = np.array([0, 2])
    here = encoder(encoder.prepare(node_data(["a", "b", "c"]).corpus).batch(rows, rows))
    assert not torch.equal(here.query, here.product)
    again = reloaded(encoder, config, tmp_path)
    there = again(
        again.prepare(node_data(["c", "new", "a"]).corpus).batch(np.array([2, 0]), np.array([2, 0]))
    )
    assert torch.equal(here.query, there.query) and torch.equal(here.product, there.product)


def test_one_side_is_read_alone() -> None:
    encoder = NodeVectorsEncoder.build(NodeVectorsConfig(), node_data(["a"]), np.random.default_rng(0))
    encoding = encoder(encoder.prepare(node_data(["a"]).corpus).batch(None, np.array([0])))
    assert encoding.query is None and encoding.product is not None


def event_data(train: int = 4, **columns: list[object]) -> FitData:
    count = len(next(iter(columns.values())))
    shown = [datetime(2024, 5, 1) + timedelta(hours=i) for i in range(count)]
    queries = pl.DataFrame(
        {
            "query_id": list(map(str, range(count))),
            "locale": ["en"] * count,
            "text": [""] * count,
            "shown_at": shown,
        }
        | columns
    )
    corpus = Corpus(queries, pl.DataFrame({"product_id": [""], "locale": ["en"], "title": [""]}))
    rows = np.arange(train)
    examples = Examples(rows, np.zeros(train), np.ones(train), np.ones(train))
    return FitData(corpus, examples, Examples.empty(), PAIRS, Dataset("none"))


def vectors(encoder: EventFeaturesEncoder, data: FitData, rows: list[int]) -> Tensor:
    prepared = encoder.prepare(data.corpus)
    with torch.no_grad():
        pair = encoder.eval()(prepared.batch(np.array(rows), np.zeros(len(rows), dtype=np.int64))).pair
    assert pair is not None
    return pair


def test_numbers_are_scaled_by_the_training_events_alone() -> None:
    price = [1.0, 2.0, 3.0, 4.0, 1e9]
    small, large = (
        EventFeaturesEncoder.build(EventFeaturesConfig(), data, np.random.default_rng(0)).scales["price"]
        for data in (event_data(price=price), event_data(price=[*price[:4], -5.0]))
    )
    assert small == large
    assert small[0] == pytest.approx(np.log1p([1, 2, 3, 4]).mean())


def test_events_alike_in_every_feature_have_one_vector_and_others_do_not(tmp_path: Path) -> None:
    data = event_data(device=["a", "a", "b", None, "a"], price=[1.0, 1.0, 1.0, 1.0, None])
    config = EventFeaturesConfig(hour=False)
    encoder = EventFeaturesEncoder.build(config, data, np.random.default_rng(0))
    first, same, device, none, price = vectors(encoder, data, [0, 1, 2, 3, 4])
    assert torch.equal(first, same)
    assert not any(torch.equal(first, other) for other in (device, none, price))
    again = reloaded(encoder, config, tmp_path)
    assert isinstance(again, EventFeaturesEncoder)
    torch.testing.assert_close(vectors(again, data, [0, 2]), torch.stack([first, device]))


def test_the_hour_is_read_unless_switched_off() -> None:
    data = event_data(device=["a"] * 5)
    with_hour = EventFeaturesEncoder.build(EventFeaturesConfig(), data, np.random.default_rng(0))
    first, second = vectors(with_hour, data, [0, 1])
    assert not torch.equal(first, second)


def test_a_feature_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError) as error:
        EventFeaturesEncoder.build(
            EventFeaturesConfig(columns=("devise",)), event_data(device=["a"] * 5), np.random.default_rng(0)
        )
    assert str(error.value) == 'events have no feature "devise"; did you mean "device"?'
