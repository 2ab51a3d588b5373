"""Members side by side as far as memory goes, and members asked for some pairs alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from prodmatch_core import side_by_side
from prodmatch_core.components.aggregator import Cost, MemberPredictions, Pairs
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.pipeline import taken

GIGABYTE = 2.0**30


class Running:
    """A process that holds some memory."""

    def __init__(self, held: float) -> None:
        self.held = held
        self.process = self
        self.pid = int(held)


@pytest.mark.parametrize(
    ("free", "running", "room"),
    [
        (1.0, [], True),  # alone a member is always tried
        (5.0, [3.0], True),  # one of 3 runs at its full size, and one more fits
        (3.5, [1.0], False),  # the one that runs will grow by 2, and then 1.5 are left
        (5.5, [1.0], True),
    ],
)
def test_a_member_begins_beside_others_only_where_memory_holds_one_more_of_the_largest(
    monkeypatch: pytest.MonkeyPatch, free: float, running: list[float], room: bool
) -> None:
    held = {f"/proc/{int(size * GIGABYTE)}/status": size * GIGABYTE for size in running}
    known = {"/proc/meminfo": free * GIGABYTE, **held}
    monkeypatch.setattr(side_by_side, "_bytes", lambda file, field: known[file])
    children = [Running(size * GIGABYTE) for size in running]
    assert side_by_side._room(children, 3 * GIGABYTE) is room  # type: ignore[arg-type]


def test_pairs_that_are_taken_bring_the_texts_they_need_and_no_others() -> None:
    frame = pl.DataFrame({"query": ["a", "b", "a", "c"], "title": ["x", "y", "z", "x"]})
    found = taken(Pairs(*frame_examples(frame)), np.array([3, 2]))
    texts, titles = found.corpus.query_texts(), found.corpus.product_texts()
    assert [texts[row] for row in found.examples.query] == ["c", "a"]
    assert [titles[row] for row in found.examples.product] == ["x", "z"]
    assert sorted(texts) == ["a", "c"] and sorted(titles) == ["x", "z"]


def test_predictions_of_some_members_keep_their_costs_and_doubts() -> None:
    table = np.arange(24.0).reshape(2, 3, 4)
    said = MemberPredictions(
        ("a", "b", "c"), table, np.array([0, 1]), np.array([0, 0]), np.ones(2), np.array([[1.0, 2, 3]] * 2),
        costs=(Cost(1, 1, 1), Cost(2, 2, 2), Cost(3, 3, 3)),
    )  # fmt: skip
    found = said.of(["c", "a"])
    np.testing.assert_array_equal(found.probabilities, table[:, [2, 0]])
    assert found.uncertainty.tolist() == [[3, 1], [3, 1]]
    assert [cost.p50_ms for cost in found.costs] == [3, 1]
    assert found.take(np.array([1])).labels.tolist() == [1]
