from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.training.batches import budget_batches, class_batches, epoch_batches

lengths = st.lists(st.integers(0, 60), max_size=200).map(lambda v: np.array(v, dtype=np.int64))


@given(lengths, st.integers(1, 17), st.integers(0, 5))
def test_every_row_is_in_exactly_one_batch_of_an_epoch(values: np.ndarray, size: int, seed: int) -> None:
    batches = list(epoch_batches(values, size, np.random.default_rng(seed), window=3))
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(values)))
    assert all(0 < len(batch) <= size for batch in batches)


@given(lengths, st.integers(1, 200))
def test_padded_size_stays_within_the_budget_unless_a_single_row_exceeds_it(
    values: np.ndarray, budget: int
) -> None:
    batches = list(budget_batches(values, budget))
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(values)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(values[batch].max(), 1) <= budget


def test_rows_of_similar_length_share_a_batch() -> None:
    values = np.arange(1024) % 64
    spread = [np.ptp(values[batch]) for batch in epoch_batches(values, 32, np.random.default_rng(0))]
    assert max(spread) <= 3


def test_two_seeds_give_two_orders_and_one_seed_gives_one() -> None:
    values = np.zeros(100, dtype=np.int64)
    first, again, other = (
        np.concatenate(list(epoch_batches(values, 8, np.random.default_rng(s)))) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_class_batches_hold_every_row_once_and_rows_of_one_class_together() -> None:
    labels = np.repeat(np.arange(30), [1, 2, 3, 4, 5, 13, *[4] * 24])
    batches = list(class_batches(labels, batch_size=16, per_class=4, rng=np.random.default_rng(0)))
    rows = np.concatenate(batches)
    assert sorted(rows.tolist()) == list(range(len(labels)))
    assert {len(batch) for batch in batches[:-1]} == {16}
    # A set of four is broken only where a batch ends: 27 sets of four classes give nearly all their pairs.
    pairs = sum(int((labels[b][:, None] == labels[b][None]).sum()) - len(b) for b in batches)
    assert pairs >= 24 * 12 * 0.8


def test_class_batches_depend_on_the_seed_alone() -> None:
    labels = np.arange(40) // 3
    first, again, other = (
        np.concatenate(list(class_batches(labels, 8, 3, np.random.default_rng(seed)))) for seed in (0, 0, 1)
    )
    assert first.tolist() == again.tolist() != other.tolist()


def test_class_batches_of_nothing_are_none() -> None:
    assert list(class_batches(np.empty(0, dtype=np.int64), 8, 4, np.random.default_rng(0))) == []
