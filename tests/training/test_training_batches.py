from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.training.batches import budget_batches, epoch_batches

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
