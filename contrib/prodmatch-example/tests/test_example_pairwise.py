from __future__ import annotations

import math

import pytest
import torch

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_example.pairwise import PairwiseLoss
from prodmatch_example.plugin import PairwiseConfig

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def loss(
    scores: list[float], labels: list[int], weights: list[float] | None = None, margin: float = 0.0
) -> float:
    """Return the loss of rows whose log-odds of a match are `scores`."""
    logits = torch.stack([torch.tensor(scores), torch.zeros(len(scores))], dim=1)
    output = Output(torch.tensor(labels), torch.tensor(weights or [1.0] * len(scores)), logits)
    return PairwiseLoss.build(PairwiseConfig(margin=margin), Learnt(BINARY, 2, 4))(output).item()


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_loss_of_one_pair_is_the_softmax_cross_entropy_of_its_scores() -> None:
    assert loss([2.0, 0.5], [0, 1]) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + math.exp(0.5))))


def test_loss_is_the_mean_over_pairs_of_better_and_worse() -> None:
    expected = (softplus(0.5 - 2) + softplus(1 - 2)) / 2
    assert loss([2.0, 0.5, 1.0], [0, 1, 1]) == pytest.approx(expected)


def test_margin_is_what_the_better_row_must_lead_by() -> None:
    assert loss([2.0, 0.5], [0, 1], margin=3.0) == pytest.approx(softplus(3 + 0.5 - 2))


def test_weight_two_is_a_row_twice_and_weight_zero_a_row_absent() -> None:
    assert loss([2.0, 0.5, 1.0], [0, 1, 1], [1, 2, 0]) == pytest.approx(loss([2.0, 0.5, 0.5], [0, 1, 1]))
    assert loss([2.0, 0.5, 1.0], [0, 1, 1], [1, 2, 0]) == pytest.approx(loss([2.0, 0.5], [0, 1]))


def test_graded_pairs_count_by_the_difference_of_their_gains() -> None:
    logits = torch.tensor([[0.0, 0, 0, 0], [2.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    output = Output(torch.tensor([0, 1, 3]), torch.ones(3), logits)
    score = logits[:, 0] - math.log(3)
    pairs = [(0, 1, 0.9), (0, 2, 1.0), (1, 2, 0.1)]
    expected = sum(g * softplus(float(score[b] - score[a])) for a, b, g in pairs) / sum(g for *_, g in pairs)
    found = PairwiseLoss.build(PairwiseConfig(), Learnt(ESCI, 4, 4))(output)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_without_a_pair_the_loss_is_zero_and_has_a_gradient() -> None:
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0]], requires_grad=True)
    output = Output(torch.tensor([0, 0]), torch.ones(2), logits)
    found = PairwiseLoss.build(PairwiseConfig(), Learnt(BINARY, 2, 4))(output)
    found.backward()
    assert found.item() == 0
    assert logits.grad is not None and logits.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_loss_is_float32_under_autocast() -> None:
    logits = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = PairwiseLoss.build(PairwiseConfig(), Learnt(BINARY, 2, 4))(
            Output(torch.tensor([0, 1]), torch.ones(2), logits)
        )
    assert found.dtype == torch.float32
