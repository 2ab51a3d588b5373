"""What a member costs does not depend on what else the machine does meanwhile."""

from __future__ import annotations

import itertools
import time

import polars as pl
import pytest

from prodmatch_core.rundir import Run
from prodmatch_core.serving import costs
from prodmatch_core.training.fitted import FittedMember


@pytest.fixture
def pairs() -> pl.DataFrame:
    count = costs.BATCH * 5
    return pl.DataFrame({"query": ["red mug"] * count, "title": ["mug in red"] * count})


def test_a_batch_that_was_interrupted_once_is_not_dear(
    served: Run, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def interrupted(self: FittedMember, corpus: object, examples: object) -> None:
        if next(calls) == 3:  # a batch of the first pass
            time.sleep(0.3)

    monkeypatch.setattr(FittedMember, "predict", interrupted)
    name = next((served.path / "members").iterdir()).name
    found = costs.measure(served.path, name, pairs)
    assert next(calls) == costs.PASSES * 5
    assert found.p95_ms < 0.3e3 / costs.BATCH / 2


def test_a_slow_member_is_passed_over_once(
    served: Run, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    monkeypatch.setattr(costs, "ENOUGH", 0.0)
    monkeypatch.setattr(FittedMember, "predict", lambda self, corpus, examples: next(calls))
    name = next((served.path / "members").iterdir()).name
    costs.measure(served.path, name, pairs)
    assert next(calls) == 5
