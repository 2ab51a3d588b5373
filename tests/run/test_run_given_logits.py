from __future__ import annotations

import numpy as np
import pytest
import torch

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.predictions import MemberTable
from prodmatch_core.tasks.base import load_task


@pytest.mark.parametrize("name", ["match", "convert"])
def test_an_encoder_with_a_head_of_its_own_says_logits_and_uncertainty(name: str) -> None:
    task, own = load_task(name), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    encoding = Encoding(logits=own, uncertainty=own[:, 0])
    head = task.head(7, frozenset({"logits", "uncertainty"}), ESCI)
    output = task.output(head, encoding, torch.zeros(3, dtype=torch.int64), torch.ones(3))
    assert output.logits is own
    assert torch.equal(output.uncertainty, own[:, 0])
    assert list(head.parameters()) == []


def test_members_that_do_not_say_how_unsure_they_are_have_nan() -> None:
    said = {"valid": np.full((2, 4), 0.25), "valid.uncertainty": np.array([0.1, 0.2])}
    table = MemberTable(("a", "b"), [said, {"valid": np.full((2, 4), 0.25)}])
    assert table.uncertainty_of(0, "valid").tolist() == [0.1, 0.2]
    assert np.isnan(table.uncertainty_of(1, "valid")).all()
    assert table.splits == ("valid",)
