"""The tests that the method's page asks for, by its numbers; the seventh is the evidence on real listings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.tasks.embed import SAME
from prodmatch_tcm.histograms import class_histograms
from prodmatch_tcm.margin import MarginLoss
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import MarginConfig
from prodmatch_tcm.term import Margins, term
from prodmatch_tcm.utility import Calibration, Curves, curves_at, curves_of, opis, opis_worst, threshold_range

E = torch.tensor([[0.0, 1.0], [0.43, 0.9], [1.0, 0.0], [0.5, 0.5]])
Y = torch.tensor([0, 0, 1, 1])


def pairs_of(similarity: Tensor, labels: Tensor, own: bool = True) -> Pairs:
    ones = similarity.new_ones(len(labels))
    return Pairs(similarity, labels, labels, ones, ones, own=own)


def cosines() -> Tensor:
    unit = functional.normalize(E.double(), dim=1)
    return unit @ unit.T


def constant(*heights: float, points: int = 11) -> Curves:
    """Return curves whose utility is the same at every threshold: acceptance and rejection are both `height`."""
    shares = np.repeat(np.array(heights)[:, None], points, axis=1)
    count = len(heights)
    return Curves(np.arange(count), np.full(count, 2), np.linspace(0.2, 0.6, points), shares, shares)


def test_spec_1_the_worked_example() -> None:
    loss = MarginLoss.build(MarginConfig(), Learnt(SAME, 2, 2))
    output = Output(labels=Y, weights=torch.ones(4), embeddings=E)
    assert loss(output).item() == pytest.approx(0.51788, abs=5e-6)
    s = cosines()
    near = term([pairs_of(s, Y)], Margins(negative_weight=0.0)).item()
    far = term([pairs_of(s, Y)], Margins(positive_weight=0.0)).item()
    assert (near, far) == pytest.approx((0.19289, 0.32498), abs=5e-6)


def test_spec_2_the_gradient_is_one_over_the_number_of_hard_pairs() -> None:
    s = cosines().requires_grad_()
    term([pairs_of(s, Y)], Margins(positive_weight=2.0, negative_weight=3.0)).backward()
    hard_near, hard_far = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    for i, j in itertools.permutations(range(4), 2):
        value = float(s.detach()[i, j])
        hard_near[i, j] = Y[i] == Y[j] and value <= 0.9
        hard_far[i, j] = Y[i] != Y[j] and value >= 0.5
    assert (hard_near.sum(), hard_far.sum()) == (2, 4)
    expected = -2.0 / 2 * hard_near + 3.0 / 4 * hard_far
    assert s.grad is not None
    torch.testing.assert_close(s.grad, expected.double())


def test_spec_2_ordered_and_unordered_pairs_are_one_loss() -> None:
    ordered = term([pairs_of(cosines(), Y)], Margins())
    # Each unordered pair once: a matrix whose lower half belongs to neither side of any margin.
    once = cosines()
    lower = torch.ones(4, 4).tril(-1).bool()
    same = Y[:, None] == Y
    once[lower & same], once[lower & ~same] = 1.0, -1.0
    assert term([pairs_of(once, Y)], Margins()).item() == pytest.approx(ordered.item())


def test_spec_3_without_a_hard_pair_the_loss_is_zero_and_backward_works() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0], [-1.0, 0.01]], requires_grad=True)
    loss = MarginLoss.build(MarginConfig(), Learnt(SAME, 2, 2))
    value = loss(Output(labels=Y, weights=torch.ones(4), embeddings=vectors))
    assert value.item() == 0
    value.backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, torch.zeros(4, 2))


def test_spec_4_two_constant_curves() -> None:
    assert opis(constant(0.9, 0.5)) == pytest.approx(0.04)


def test_spec_4_identical_curves_are_consistent_whatever_their_shape() -> None:
    shape = np.linspace(1, 0, 11)
    same = Curves(
        np.arange(3), np.full(3, 2), np.linspace(0, 1, 11), np.tile(shape, (3, 1)), np.tile(1 - shape, (3, 1))
    )
    assert opis(same) == pytest.approx(0, abs=1e-15)


def test_spec_4_relabelling_classes_changes_nothing() -> None:
    random = np.random.default_rng(0)
    vectors, labels = random.normal(size=(60, 3)), random.integers(10, size=60)
    names = random.permutation(1000)[:10]
    found = [
        opis(curves_of(class_histograms(cosine_scorer(vectors, vectors), np.arange(60), y)))
        for y in (labels, names[labels])
    ]
    assert found[0] == pytest.approx(found[1])


def test_spec_4_constant_but_different_curves_are_inconsistent() -> None:
    # The mean over thresholds of each class alone, which some take instead of the mean over classes, finds nothing.
    assert opis(constant(0.9, 0.8, 0.7)) > 0


def test_spec_5_the_worst_tenth_on_constant_curves() -> None:
    heights = [0.4, *[0.9] * 6, 0.8, 0.8, 0.8]
    assert opis_worst(constant(*heights)) == pytest.approx((0.4 - np.mean(heights[1:])) ** 2)


def exact_curves(vectors: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> Curves:
    """Every pair's similarity in memory, every share counted: N x N, for tests only."""
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    s = (unit @ unit.T).astype(np.float64)
    classes, count = np.unique(labels, return_counts=True)
    classes = classes[count > 1]
    accepted, rejected = [], []
    for own in classes:
        inside = labels == own
        off = ~np.eye(int(inside.sum()), dtype=bool)
        near = np.sort(s[np.ix_(inside, inside)][off])
        far = np.sort(s[np.ix_(inside, ~inside)].ravel())
        accepted.append(1 - np.searchsorted(near, thresholds) / len(near))
        rejected.append(np.searchsorted(far, thresholds) / len(far))
    return Curves(classes, count[count > 1], thresholds, np.array(accepted), np.array(rejected))


def test_spec_6_histograms_agree_with_all_pairs_within_a_bins_mass() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(300, size=2000)
    vectors = random.normal(size=(300, 16))[labels] + 0.7 * random.normal(size=(2000, 16))
    found = class_histograms(cosine_scorer(vectors, vectors), np.arange(2000), labels)
    low, high = threshold_range(found, Calibration())
    thresholds = np.linspace(low, high, 201)
    ours, exact = curves_at(found, thresholds), exact_curves(vectors, labels, thresholds)
    assert np.array_equal(ours.classes, exact.classes)
    # A share is off by no more than what lies in the bin that its threshold cuts; utility has slope at most 2 in each.
    place = np.minimum(((thresholds + 1) * found.bins / 2).astype(int), found.bins - 1)
    mass = {}
    for name in ("positive", "negative"):
        counts = getattr(found, name)
        around = np.maximum(counts[:, place], np.maximum(counts[:, place - 1], counts[:, place + 1]))
        mass[name] = around / counts.sum(axis=1, keepdims=True)
    assert (np.abs(ours.accepted - exact.accepted) <= mass["positive"] + 1e-12).all()
    assert (np.abs(ours.rejected - exact.rejected) <= mass["negative"] + 1e-12).all()
    bound = 2 * (mass["positive"] + mass["negative"])
    assert (np.abs(ours.utility - exact.utility) <= bound + 1e-12).all()
    # |U^2 - V^2| <= 2 |U - V|, for the mean of squares and for the square of the mean.
    assert abs(opis(ours) - opis(exact)) <= 4 * float(bound.mean(axis=0) @ ours.lengths)
    assert opis(ours) == pytest.approx(opis(exact), rel=2e-3)
    assert opis_worst(ours) == pytest.approx(opis_worst(exact), rel=2e-3)
