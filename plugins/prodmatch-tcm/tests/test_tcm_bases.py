from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses
from torch.nn import functional

from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_core.tasks.embed import SAME
from prodmatch_tcm import plugin
from prodmatch_tcm.contrastive import ContrastiveLoss
from prodmatch_tcm.multi_similarity import MultiSimilarityLoss
from prodmatch_tcm.proxy_anchor import ProxyAnchorLoss
from prodmatch_tcm.recall_surrogate import RecallSurrogateLoss
from prodmatch_tcm.smooth_ap import SmoothAPLoss

LEARNT = Learnt(SAME, 5, 4)
SHARED: dict[str, tuple[type[Loss], Any]] = {
    "contrastive": (ContrastiveLoss, plugin.ContrastiveConfig()),
    "multi_similarity": (MultiSimilarityLoss, plugin.MultiSimilarityConfig()),
    "smooth_ap": (SmoothAPLoss, plugin.SmoothAPConfig(temperature=0.1)),
    "recall_surrogate": (RecallSurrogateLoss, plugin.RecallSurrogateConfig(k=(1, 2), temperature=0.1)),
}
ALL: dict[str, tuple[type[Loss], Any]] = {
    **SHARED,
    "proxy_anchor": (ProxyAnchorLoss, plugin.ProxyAnchorConfig()),
}


def made(name: str) -> Loss:
    factory, config = ALL[name]
    torch.manual_seed(0)
    return factory.build(config, LEARNT)


def batch(
    seed: int = 0, labels: tuple[int, ...] = (0, 0, 0, 1, 1, 2, 2, 3, 4), weights: torch.Tensor | None = None
) -> Output:
    vectors = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    heft = torch.ones(len(labels)) if weights is None else weights
    return Output(labels=torch.tensor(labels), weights=heft, embeddings=vectors.requires_grad_())


def test_multi_similarity_is_the_librarys() -> None:
    output = batch()
    found = made("multi_similarity")(output)
    expected = losses.MultiSimilarityLoss()(output.embeddings, output.labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = [torch.autograd.grad(value, output.embeddings)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_contrastive_is_the_librarys_by_cosine() -> None:
    from pytorch_metric_learning.distances import CosineSimilarity

    output = batch()
    expected = losses.ContrastiveLoss(pos_margin=1, neg_margin=0.5, distance=CosineSimilarity())
    assert made("contrastive")(output).item() == pytest.approx(
        expected(output.embeddings, output.labels).item(), rel=1e-5
    )


def test_proxy_anchor_is_the_librarys() -> None:
    output, loss = batch(), made("proxy_anchor")
    theirs = losses.ProxyAnchorLoss(5, 4)
    theirs.proxies.data = loss.proxies.data.clone()
    assert loss(output).item() == pytest.approx(theirs(output.embeddings, output.labels).item(), rel=1e-5)


def ranks(output: Output, temperature: float) -> list[tuple[int, float, float, int]]:
    """Row, soft rank among all, soft rank among right ones and number of right ones, of every positive pair."""
    s = output.similarity.detach()
    n, labels = len(s), output.labels.tolist()
    found = []
    for i in range(n):
        right = [j for j in range(n) if j != i and labels[j] == labels[i]]
        for j in right:
            before = {
                k: 1 / (1 + math.exp(-(float(s[i, k]) - float(s[i, j])) / temperature))
                for k in range(n)
                if k not in (i, j)
            }
            found.append((i, 1 + sum(before.values()), 1 + sum(before.get(k, 0) for k in right), len(right)))
    return found


def test_smooth_ap_by_loops() -> None:
    output = batch()
    found = ranks(output, 0.1)
    rows = {i for i, *_ in found}
    expected = 1 - sum(right / every / count for _, every, right, count in found) / len(rows)
    assert made("smooth_ap")(output).item() == pytest.approx(expected, rel=1e-5)


def test_recall_surrogate_by_loops() -> None:
    output = batch()
    found = ranks(output, 0.1)
    rows = {i for i, *_ in found}
    total = sum(
        1 / (1 + math.exp(every - k)) / min(k, count) / 2 for _, every, _, count in found for k in (1, 2)
    )
    assert made("recall_surrogate")(output).item() == pytest.approx(1 - total / len(rows), rel=1e-5)


def test_smooth_ap_of_a_perfect_ranking_is_nothing() -> None:
    vectors = functional.one_hot(torch.tensor([0, 0, 1, 1])).float()
    output = Output(labels=torch.tensor([0, 0, 1, 1]), weights=torch.ones(4), embeddings=vectors)
    loss = SmoothAPLoss.build(plugin.SmoothAPConfig(), LEARNT)
    assert loss(output).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", SHARED)
def test_the_gradient_of_the_shared_matrix_is_the_numerical_one(name: str) -> None:
    loss = made(name)
    vectors = torch.randn(8, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    labels, weights = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3]), torch.linspace(0.5, 2, 8, dtype=torch.float64)

    def value(v: torch.Tensor) -> torch.Tensor:
        output = Output(labels=labels, weights=weights, embeddings=v)
        unit = functional.normalize(v, dim=1)
        output.__dict__["similarity"] = unit @ unit.T  # in float64, which a member never has
        return loss(output)

    assert torch.autograd.gradcheck(value, vectors.requires_grad_())


@pytest.mark.parametrize("name", ALL)
def test_weight_zero_is_a_row_left_out_of(name: str) -> None:
    loss, whole = made(name), batch()
    assert whole.embeddings is not None
    rows = torch.tensor([i for i in range(9) if i not in (2, 7)])
    light = torch.ones(9)
    light[[2, 7]] = 0
    without = Output(labels=whole.labels[rows], weights=torch.ones(7), embeddings=whole.embeddings[rows])
    weighted = Output(labels=whole.labels, weights=light, embeddings=whole.embeddings)
    assert loss(weighted).item() == pytest.approx(loss(without).item(), rel=1e-5)


def test_equal_weights_of_any_size_are_one_contrastive_loss() -> None:
    loss = made("contrastive")
    assert loss(batch(weights=torch.full((9,), 3.0))).item() == pytest.approx(loss(batch()).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["smooth_ap", "recall_surrogate", "proxy_anchor"])
def test_a_negative_of_weight_two_is_two_negatives(name: str) -> None:
    """The last row is alone in its class, so it is others' negative and no row of the mean."""
    loss, once = made(name), batch(labels=(0, 0, 1, 1, 2))
    assert once.embeddings is not None
    heavy = Output(labels=once.labels, weights=torch.tensor([1.0, 1, 1, 1, 2]), embeddings=once.embeddings)
    labels = torch.tensor([0, 0, 1, 1, 2, 2 if name == "proxy_anchor" else 3])
    twice = Output(labels=labels, weights=torch.ones(6), embeddings=once.embeddings[[0, 1, 2, 3, 4, 4]])
    assert loss(heavy).item() == pytest.approx(loss(twice).item(), rel=1e-5)
    assert loss(heavy).item() != pytest.approx(loss(once).item(), rel=1e-4)


@pytest.mark.parametrize("name", SHARED)
def test_a_batch_without_positives_has_a_gradient(name: str) -> None:
    output = batch(labels=(0, 1, 2, 3))
    value = made(name)(output)
    value.backward()
    assert output.embeddings is not None and output.embeddings.grad is not None
    assert torch.isfinite(value) and torch.isfinite(output.embeddings.grad).all()
    if name in ("smooth_ap", "recall_surrogate"):
        assert value.item() == 0


@pytest.mark.parametrize("name", SHARED)
def test_two_towers_compare_queries_with_products(name: str) -> None:
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    queries = vectors[[0, 0, 1, 2]]
    output = Output(
        labels=torch.tensor([0, 1, 0, 0]), weights=torch.ones(4), embeddings=queries, references=vectors[2:]
    )
    loss = made(name)
    value = loss(output).item()
    # A product whose pair does not match is a negative: nearer to the query, the loss is no lower.
    nearer = vectors[2:].clone()
    nearer[1] = vectors[0]
    worse = Output(labels=output.labels, weights=output.weights, embeddings=queries, references=nearer)
    assert loss(worse).item() > value


def test_proxies_and_two_towers_are_refused() -> None:
    output = Output(
        labels=torch.tensor([0]),
        weights=torch.ones(1),
        embeddings=torch.eye(4)[:1],
        references=torch.eye(4)[:1],
    )
    with pytest.raises(ValueError, match=r"tcm\.proxy_anchor needs items labelled by group, one vector each"):
        made("proxy_anchor")(output)


def test_chunks_change_no_rank_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made("smooth_ap")(batch())
    monkeypatch.setattr("prodmatch_tcm.ranks.CHUNK", 9)
    assert made("smooth_ap")(batch()).item() == pytest.approx(whole.item(), rel=1e-6)
