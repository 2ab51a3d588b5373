from __future__ import annotations

import pickle
from pathlib import Path

import attrs
import numpy as np
import pytest

from prodmatch_core.builtin.configs import LogisticConfig, MeanConfig
from prodmatch_core.builtin.logistic import LogisticAggregator
from prodmatch_core.builtin.mean import MeanAggregator
from prodmatch_core.components.aggregator import MemberPredictions
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.errors import ConfigError, RunError

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def members(probabilities: np.ndarray, labels: np.ndarray | None = None) -> MemberPredictions:
    n, count, _ = probabilities.shape
    return MemberPredictions(
        tuple(f"m{i}" for i in range(count)),
        probabilities,
        np.full(n, -1) if labels is None else labels,
        np.arange(n),
        np.ones(n),
    )


def noisy(seed: int = 0, n: int = 400) -> MemberPredictions:
    """Return a member that knows, one that guesses, and labels; four classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    good = 0.6 * np.eye(4)[labels] + 0.4 * rng.dirichlet(np.ones(4), size=n)
    return members(np.stack([good, rng.dirichlet(np.ones(4), size=n)], axis=1), labels)


def test_mean_and_disagreement_by_hand() -> None:
    combined = MeanAggregator.build(MeanConfig(), BINARY).combine(
        members(np.array([[[0.9, 0.1], [0.5, 0.5]]]))
    )
    np.testing.assert_allclose(combined.probabilities, [[0.7, 0.3]])
    np.testing.assert_allclose(combined.uncertainty, [0.04])


def test_weighted_mean_and_disagreement_by_hand() -> None:
    aggregator = MeanAggregator.build(MeanConfig(weights=(3.0, 1.0)), BINARY)
    combined = aggregator.combine(members(np.array([[[0.9, 0.1], [0.5, 0.5]]])))
    np.testing.assert_allclose(combined.probabilities, [[0.8, 0.2]])
    np.testing.assert_allclose(combined.uncertainty, [0.75 * 0.01 + 0.25 * 0.09])


def test_a_single_member_has_nobody_to_disagree_with() -> None:
    combined = MeanAggregator.build(MeanConfig(), BINARY).combine(members(np.array([[[0.9, 0.1]]])))
    np.testing.assert_array_equal(combined.probabilities, [[0.9, 0.1]])
    assert np.isnan(combined.uncertainty).all()


def test_weights_must_be_one_per_member() -> None:
    with pytest.raises(ConfigError) as caught:
        MeanAggregator.build(MeanConfig(weights=(1.0, 2.0, 3.0)), BINARY).combine(noisy())
    assert str(caught.value) == "aggregator.weights: expected 2 numbers, one each for m0, m1; got 3"


def test_logistic_believes_the_member_that_knows() -> None:
    aggregator = LogisticAggregator.build(LogisticConfig(), ESCI)
    aggregator.fit(noisy(0), np.random.default_rng(0))
    test = noisy(1)
    rows = np.arange(len(test.labels))

    def nll(probabilities: np.ndarray) -> float:
        return float(-np.log(probabilities[rows, test.labels]).mean())

    combined = aggregator.combine(test)
    assert nll(combined.probabilities) < nll(test.probabilities[:, 0])
    assert nll(combined.probabilities) < nll(
        MeanAggregator.build(MeanConfig(), ESCI).combine(test).probabilities
    )
    np.testing.assert_allclose(combined.probabilities.sum(axis=1), 1)
    assert np.isfinite(combined.uncertainty).all()


def test_logistic_leaves_out_unknown_labels_and_rows_without_weight() -> None:
    known = noisy()
    labels, weights = known.labels.copy(), known.weights.copy()
    labels[:50], labels[50:100], weights[50:100] = -1, 0, 0
    part = attrs.evolve(
        known,
        probabilities=known.probabilities[100:],
        labels=known.labels[100:],
        groups=known.groups[100:],
        weights=known.weights[100:],
    )
    fitted = []
    for rows in (attrs.evolve(known, labels=labels, weights=weights), part):
        aggregator = LogisticAggregator.build(LogisticConfig(), ESCI)
        aggregator.fit(rows, np.random.default_rng(0))
        fitted.append(aggregator.combine(noisy(1)).probabilities)
    np.testing.assert_allclose(fitted[0], fitted[1], atol=1e-12)


def test_logistic_does_not_look_at_labels_when_combining() -> None:
    aggregator = LogisticAggregator.build(LogisticConfig(), ESCI)
    aggregator.fit(noisy(0), np.random.default_rng(0))
    test = noisy(1)
    blind = attrs.evolve(test, labels=np.full(len(test.labels), -1))
    np.testing.assert_array_equal(
        aggregator.combine(test).probabilities, aggregator.combine(blind).probabilities
    )


def test_logistic_loads_to_the_same_output_without_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aggregator = LogisticAggregator.build(LogisticConfig(), ESCI)
    aggregator.fit(noisy(0), np.random.default_rng(0))
    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, None)
    aggregator.save(tmp_path)
    loaded = LogisticAggregator.load(LogisticConfig(), ESCI, tmp_path)
    np.testing.assert_array_equal(
        loaded.combine(noisy(1)).probabilities, aggregator.combine(noisy(1)).probabilities
    )


def test_logistic_refuses_members_it_has_not_learnt_from() -> None:
    aggregator = LogisticAggregator.build(LogisticConfig(), ESCI)
    aggregator.fit(noisy(0), np.random.default_rng(0))
    with pytest.raises(RunError) as caught:
        aggregator.combine(attrs.evolve(noisy(1), names=("m1", "m0")))
    assert str(caught.value) == (
        "core.logistic has learnt from m0, m1 and is asked to combine m1, m0. Run the pipeline again."
    )
