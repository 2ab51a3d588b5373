from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prodmatch_core.builtin.bce import BinaryCrossEntropyLoss
from prodmatch_core.builtin.configs import CrossEntropyConfig, FocalConfig, InBatchSoftmaxConfig
from prodmatch_core.builtin.cross_entropy import CrossEntropyLoss
from prodmatch_core.builtin.focal import FocalLoss
from prodmatch_core.builtin.in_batch_softmax import InBatchSoftmaxLoss
from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import ConfigError
from prodmatch_core.records import NoConfig

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))
LOG = math.log


def learnt(scheme: LabelScheme) -> Learnt:
    return Learnt(scheme, len(scheme.labels), 5)


LOSSES: dict[str, Callable[[], Loss]] = {
    "cross_entropy": lambda: CrossEntropyLoss.build(
        CrossEntropyConfig(label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 3.0)), learnt(ESCI)
    ),
    "bce": lambda: BinaryCrossEntropyLoss.build(NoConfig(), learnt(ESCI)),
    "focal": lambda: FocalLoss.build(FocalConfig(class_weights=(1.0, 2.0, 0.5, 3.0)), learnt(ESCI)),
    "in_batch_softmax": lambda: InBatchSoftmaxLoss.build(InBatchSoftmaxConfig(temperature=0.5), learnt(ESCI)),
}


def binary(probabilities: list[float], labels: list[int], weights: list[float] | None = None) -> Output:
    p = torch.tensor(probabilities)
    return Output(
        labels=torch.tensor(labels),
        weights=torch.tensor(weights or [1.0] * len(labels)),
        logits=torch.stack([p.log(), (1 - p).log()], dim=1),
    )


def batch(
    rows: Tensor | None = None, weights: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> Output:
    """Return six pairs of different texts, or the given rows of them."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 3, 0, 1, 0, 2])
    logits, query, product = (torch.randn(6, n, generator=generator, dtype=dtype) for n in (4, 5, 5))
    rows = torch.arange(6) if rows is None else rows
    return Output(
        labels=labels[rows],
        weights=torch.ones(len(rows)) if weights is None else weights,
        logits=logits[rows].requires_grad_(),
        embeddings=query[rows].requires_grad_(),
        references=product[rows].requires_grad_(),
    )


def test_cross_entropy_by_hand_with_weights() -> None:
    loss = CrossEntropyLoss.build(CrossEntropyConfig(), learnt(BINARY))
    value = loss(binary([0.8, 0.6], [0, 1], [3.0, 1.0]))
    assert value.item() == pytest.approx((3 * -LOG(0.8) - LOG(0.4)) / 4)


def test_cross_entropy_class_weights_by_hand() -> None:
    loss = CrossEntropyLoss.build(CrossEntropyConfig(class_weights=(1.0, 5.0)), learnt(BINARY))
    value = loss(binary([0.8, 0.6], [0, 1], [3.0, 1.0]))
    assert value.item() == pytest.approx((3 * -LOG(0.8) - 5 * LOG(0.4)) / 8)


def test_cross_entropy_smoothing_by_hand() -> None:
    loss = CrossEntropyLoss.build(CrossEntropyConfig(label_smoothing=0.2), learnt(BINARY))
    assert loss(binary([0.8], [0])).item() == pytest.approx(-0.9 * LOG(0.8) - 0.1 * LOG(0.2))


def test_focal_by_hand() -> None:
    loss = FocalLoss.build(FocalConfig(gamma=2.0), learnt(BINARY))
    value = loss(binary([0.8, 0.6], [0, 1]))
    assert value.item() == pytest.approx((0.2**2 * -LOG(0.8) + 0.6**2 * -LOG(0.4)) / 2)


def test_focal_without_gamma_is_cross_entropy() -> None:
    focal, entropy = (
        FocalLoss.build(FocalConfig(gamma=0.0), learnt(ESCI)),
        CrossEntropyLoss.build(CrossEntropyConfig(), learnt(ESCI)),
    )
    assert focal(batch()).item() == pytest.approx(entropy(batch()).item())


def test_focal_gradient_is_finite_where_the_model_is_certain() -> None:
    output = Output(
        labels=torch.tensor([0]),
        weights=torch.ones(1),
        logits=torch.tensor([[90.0, -90.0]], requires_grad=True),
    )
    FocalLoss.build(FocalConfig(gamma=0.5), learnt(BINARY))(output).backward()
    assert output.logits is not None
    assert torch.isfinite(output.logits.grad).all()


def test_bce_by_hand() -> None:
    output = Output(labels=torch.tensor([1]), weights=torch.ones(1), logits=torch.tensor([[1.0, -2.0]]))
    first, second = math.log1p(math.exp(1)), math.log1p(math.exp(2))
    value = BinaryCrossEntropyLoss.build(NoConfig(), learnt(BINARY))(output)
    assert value.item() == pytest.approx((first + second) / 2)


def test_in_batch_softmax_by_hand() -> None:
    eye = torch.eye(3)
    query, product = eye[[0, 1, 2]], torch.tensor([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0]])
    output = Output(
        labels=torch.tensor([0, 0, 1]),
        weights=torch.tensor([1.0, 3.0, 0.5]),
        embeddings=query,
        references=product,
    )
    near = math.sqrt(0.5)
    first = -LOG(math.exp(2) / (math.exp(2) + 3 * math.exp(2 * near) + 0.5))
    second = -LOG(math.exp(2 * near) / (1 + math.exp(2 * near) + 0.5))
    loss = InBatchSoftmaxLoss.build(InBatchSoftmaxConfig(temperature=0.5), learnt(BINARY))
    assert loss(output).item() == pytest.approx((first + 3 * second) / 4)


def test_in_batch_softmax_leaves_out_other_matches_of_the_query_and_the_pairs_own_product() -> None:
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    product = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
    output = Output(
        labels=torch.tensor([0, 0, 1, 1]), weights=torch.ones(4), embeddings=query, references=product
    )
    loss = InBatchSoftmaxLoss.build(InBatchSoftmaxConfig(temperature=1.0), learnt(BINARY))
    first = -LOG(
        math.e / (math.e + 1)
    )  # against row 2; rows 1 (a match) and 3 (the same product) are left out
    second = -LOG(math.exp(0.6) / (math.exp(0.6) + 1 + math.e))  # against rows 2 and 3
    assert loss(output).item() == pytest.approx((first + second) / 2)


def test_in_batch_softmax_without_a_match_is_zero_with_a_gradient() -> None:
    output = batch(torch.tensor([1, 3, 5]))
    value = LOSSES["in_batch_softmax"]()(output)
    value.backward()
    assert value.item() == 0
    assert output.embeddings is not None
    assert output.embeddings.grad is not None
    assert torch.isfinite(output.embeddings.grad).all()


def test_in_batch_softmax_refuses_a_single_tower() -> None:
    output = Output(labels=torch.tensor([0]), weights=torch.ones(1), embeddings=torch.ones(1, 2))
    with pytest.raises(ValueError, match="one vector per query and one per product"):
        LOSSES["in_batch_softmax"]()(output)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_two_is_a_row_twice(name: str) -> None:
    weights = torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    twice = batch(torch.tensor([0, 1, 2, 3, 4, 5, 0, 1]))
    loss = LOSSES[name]()
    assert loss(batch(weights=weights)).item() == pytest.approx(loss(twice).item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_zero_is_a_row_absent(name: str) -> None:
    weights = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    loss = LOSSES[name]()
    value = loss(batch(weights=weights))
    assert value.item() == pytest.approx(loss(batch(torch.tensor([0, 3, 4, 5]))).item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_all_weights_zero_is_zero_with_a_finite_gradient(name: str) -> None:
    output = batch(weights=torch.zeros(6))
    value = LOSSES[name]()(output)
    value.backward()
    assert value.item() == 0
    gradients = [t.grad for t in (output.logits, output.embeddings) if t is not None and t.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_float32_scalars_in_mixed_precision(name: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSSES[name]()(batch(dtype=torch.bfloat16))
    assert value.dtype == torch.float32
    assert value.shape == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrossEntropyLoss.build(CrossEntropyConfig(class_weights=(1.0, 2.0)), learnt(ESCI)),
        lambda: FocalLoss.build(FocalConfig(class_weights=(1.0, 2.0)), learnt(ESCI)),
    ],
)
def test_class_weights_must_be_one_per_class(make: Callable[[], Loss]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == (
        "class_weights: expected 4 numbers, one each for exact, substitute, complement, irrelevant; got 2"
    )
