"""The runtime half of law 5: every registered loss takes per-example weights."""

from __future__ import annotations

import pytest
import torch

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.records import LossSpec
from prodmatch_core.registry import default_registry

LOSSES = [spec for spec in default_registry().specs("loss") if isinstance(spec, LossSpec)]


def output(rows: list[int], weights: list[float]) -> Output:
    """Return the rows of one fixed random batch that are asked for, under the given weights."""
    generator = torch.Generator().manual_seed(5)
    logits, queries, products = (torch.randn(6, size, generator=generator) for size in (4, 8, 8))
    labels = torch.tensor([0, 1, 0, 3, 2, 0])
    return Output(
        labels=labels[rows],
        weights=torch.tensor(weights),
        logits=logits[rows],
        embeddings=queries[rows],
        references=products[rows],
    )


@pytest.mark.parametrize("spec", LOSSES, ids=lambda spec: spec.name)
def test_law_5_every_loss_takes_weights_weight_2_is_a_row_twice(spec: LossSpec) -> None:
    loss = spec.load().build(spec.config(), Learnt(ESCI, 4, 8))
    heavy = loss(output([0, 1, 2, 3, 4, 5], [1, 1, 2, 1, 2, 1]))
    twice = loss(output([0, 1, 2, 2, 3, 4, 4, 5], [1.0] * 8))
    torch.testing.assert_close(heavy, twice)


@pytest.mark.parametrize("spec", LOSSES, ids=lambda spec: spec.name)
def test_law_5_every_loss_takes_weights_weight_0_is_no_row(spec: LossSpec) -> None:
    loss = spec.load().build(spec.config(), Learnt(ESCI, 4, 8))
    torch.testing.assert_close(
        loss(output([0, 1, 2, 3, 4, 5], [1, 0, 1, 1, 0, 1])), loss(output([0, 2, 3, 5], [1.0] * 4))
    )
