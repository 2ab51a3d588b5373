from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor
from torch.nn import functional

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.tasks.embed import SAME
from prodmatch_tcm import hard
from prodmatch_tcm.library import ThresholdConsistentMarginLoss
from prodmatch_tcm.margin import MarginLoss
from prodmatch_tcm.pairs import Pairs
from prodmatch_tcm.plugin import MarginConfig
from prodmatch_tcm.term import Margins, term

PAIR = LabelScheme("pair", ("match", "mismatch"), (1.0, 0.0), ("match",))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    return functional.normalize(left, dim=-1) @ functional.normalize(right, dim=-1).T


def batch_pairs(vectors: Tensor, labels: Tensor, weights: Tensor | None = None) -> Pairs:
    heft = vectors.new_ones(len(vectors)) if weights is None else weights
    return Pairs(cosine(vectors, vectors), labels, labels, heft, heft, own=True)


def margin_loss(learnt: Learnt | None = None, **fields: object) -> MarginLoss:
    return MarginLoss.build(MarginConfig(**fields), learnt or Learnt(SAME, 8, 4))  # type: ignore[arg-type]


def items(seed: int = 0, n: int = 12, width: int = 4, classes: int = 4) -> Output:
    vectors = torch.randn(n, width, generator=generator(seed))
    labels = torch.arange(n) % classes
    return Output(labels=labels, weights=torch.ones(n), embeddings=vectors.requires_grad_())


def by_loops(s: Tensor, positive: Tensor, negative: Tensor, weights: Tensor, margins: Margins) -> float:
    """The term as the paper writes it, pair by pair."""
    total = 0.0
    for mask, sign, margin, factor in (
        (positive, 1, margins.positive, margins.positive_weight),
        (negative, -1, margins.negative, margins.negative_weight),
    ):
        above = below = 0.0
        for i, j in mask.nonzero().tolist():
            gap = sign * (margin - s[i, j].item())
            if gap >= 0:
                above += float(weights[i, j]) * gap
                below += float(weights[i, j])
        total += factor * above / below if below else 0.0
    return total


def test_the_library_agrees_on_200_random_batches_to_a_millionth() -> None:
    random = generator(1)
    ours, theirs = ThresholdConsistentMarginLoss(), losses.ThresholdConsistentMarginLoss()
    compared = 0
    for _ in range(200):
        n, width = (int(torch.randint(low, high, (1,), generator=random)) for low, high in ((4, 80), (2, 16)))
        vectors = torch.randn(n, width, generator=random).requires_grad_()
        labels = torch.randint(0, max(2, n // 4), (n,), generator=random)
        found, expected = ours(vectors, labels), theirs(vectors, labels)
        assert found.item() == pytest.approx(torch.as_tensor(expected).item(), abs=1e-6)
        if torch.is_tensor(expected) and expected.requires_grad:
            gradients = [torch.autograd.grad(value, vectors)[0] for value in (found, expected)]
            torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
            compared += 1
    assert compared > 190


def test_the_library_agrees_on_the_pairs_a_miner_chose() -> None:
    output = items(n=30)
    mined = miners.MultiSimilarityMiner()(output.embeddings, output.labels)
    found = ThresholdConsistentMarginLoss()(output.embeddings, output.labels, mined)
    assert found.item() == pytest.approx(
        losses.ThresholdConsistentMarginLoss()(output.embeddings, output.labels, mined).item(), abs=1e-6
    )


def test_a_second_set_of_vectors_is_read_where_the_library_ignores_it() -> None:
    left, right = torch.randn(6, 4, generator=generator(2)), torch.randn(5, 4, generator=generator(3))
    mine, yours = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 2, 3, 3])
    found = ThresholdConsistentMarginLoss()(left, mine, ref_emb=right, ref_labels=yours)
    same = mine[:, None] == yours
    expected = by_loops(cosine(left, right), same, ~same, torch.ones(6, 5), Margins())
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_a_reducer_is_given_every_hard_pair() -> None:
    from pytorch_metric_learning.reducers import MeanReducer

    output = items()
    plain = ThresholdConsistentMarginLoss()(output.embeddings, output.labels)
    reduced = ThresholdConsistentMarginLoss(reducer=MeanReducer())(output.embeddings, output.labels)
    assert reduced.item() == pytest.approx(plain.item(), abs=1e-6)


def test_the_librarys_cross_batch_memory_takes_the_term(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its list of losses names classes; ours goes by the name of none of them.
    monkeypatch.setattr(losses.CrossBatchMemory, "check_loss_support", classmethod(lambda cls, name: None))
    memory = losses.CrossBatchMemory(ThresholdConsistentMarginLoss(), embedding_size=4, memory_size=24)
    first, second = items(0), items(1)
    memory(first.embeddings, first.labels)
    found = memory(second.embeddings, second.labels)
    kept = torch.cat([first.embeddings, second.embeddings]).detach()  # type: ignore[list-item]
    labels = torch.cat([first.labels, second.labels])
    same = second.labels[:, None] == labels
    itself = torch.zeros_like(same)
    itself[:, 12:] = torch.eye(12, dtype=torch.bool)
    expected = by_loops(cosine(second.embeddings, kept), same & ~itself, ~same, torch.ones(12, 24), Margins())  # type: ignore[arg-type]
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("margins", [Margins(), Margins(0.3, -0.2, 2.0, 0.5), Margins(-0.5, 0.9)])
def test_the_gradient_in_closed_form_is_the_numerical_one(margins: Margins) -> None:
    vectors = torch.randn(14, 5, generator=generator(4), dtype=torch.float64).requires_grad_()
    weights = torch.rand(14, generator=generator(5), dtype=torch.float64)
    labels = torch.arange(14) // 3
    assert torch.autograd.gradcheck(lambda v: term([batch_pairs(v, labels, weights)], margins), vectors)


def test_two_blocks_share_one_mean() -> None:
    vectors = torch.randn(8, 3, generator=generator(6), dtype=torch.float64).requires_grad_()
    memory = torch.randn(5, 3, generator=generator(7), dtype=torch.float64)
    labels, other = torch.arange(8) // 2, torch.tensor([0, 1, 2, 9, 9])

    def blocks(v: Tensor) -> list[Pairs]:
        ones = v.new_ones(8)
        return [
            batch_pairs(v, labels),
            Pairs(cosine(v, memory), labels, other, ones, v.new_ones(5), own=False),
        ]

    assert torch.autograd.gradcheck(lambda v: term(blocks(v), Margins()), vectors)
    both = torch.cat([cosine(vectors, vectors), cosine(vectors, memory)], dim=1)
    same = torch.cat([labels[:, None] == labels, labels[:, None] == other], dim=1)
    itself = torch.eye(8, 13, dtype=torch.bool)
    expected = by_loops(both, same & ~itself, ~same, torch.ones(8, 13), Margins())
    assert term(blocks(vectors), Margins()).item() == pytest.approx(expected)


@pytest.mark.parametrize("margins", [Margins(0.9, 0.6), Margins(0.9, -0.9)], ids=["listed", "matrix"])
def test_hard_pairs_are_the_same_listed_and_as_a_matrix(
    margins: Margins, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.rand(40, generator=generator(8))
    pairs = batch_pairs(torch.randn(40, 16, generator=generator(9)), torch.arange(40) // 2, weights)
    found = hard.find(pairs, margins.positive, margins.negative)
    assert found.listed == (margins.negative > 0)
    monkeypatch.setattr(hard, "listed", lambda pairs, low, high: None)
    matrix = hard.find(pairs, margins.positive, margins.negative)
    for name in ("short", "near_weight", "excess", "far_weight"):
        assert getattr(found, name) == pytest.approx(getattr(matrix, name), rel=1e-5), name
    expected = hard.gradient(pairs, matrix, margins.negative, 0.3, 0.7)
    torch.testing.assert_close(hard.gradient(pairs, found, margins.negative, 0.3, 0.7), expected)
    listed = hard.gradient(pairs, found, margins.negative, 0.3, 0.7, sparse=True)
    assert listed.is_sparse == found.listed
    torch.testing.assert_close(listed.to_dense(), expected)


def test_a_sparse_gradient_joins_a_dense_one_and_stands_alone() -> None:
    vectors = torch.randn(40, 16, generator=generator(10))
    labels, margins = torch.arange(40) // 2, Margins(0.9, 0.6)
    found = []
    for sparse in (True, False):
        for factor in (0.0, 1.0):
            leaf = vectors.clone().requires_grad_()
            output = Output(labels=labels, weights=torch.ones(40), embeddings=leaf)
            value = term([Pairs.of(output, torch.tensor([0]))], margins, sparse=sparse)
            if factor:
                value = value + output.similarity.square().mean()
            value.backward()
            found.append(leaf.grad)
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[3])
    assert not torch.equal(found[0], found[1])


def test_similarities_that_are_no_numbers_show_in_the_loss() -> None:
    vectors = torch.ones(4, 2)
    vectors[0, 0] = torch.nan
    assert math.isnan(term([batch_pairs(vectors, torch.tensor([0, 0, 1, 1]))], Margins()).item())


def test_labels_beyond_32_bits_are_told_apart() -> None:
    vectors = torch.randn(6, 3, generator=generator(11))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    far = labels * 2**40
    assert term([batch_pairs(vectors, far)], Margins()) == term([batch_pairs(vectors, labels)], Margins())


def test_weight_two_is_a_row_twice() -> None:
    # A row's copy is a positive of similarity 1, which is not hard.
    once, rows = items(), torch.tensor([*range(12), 3, 7])
    heavy = torch.ones(12)
    heavy[[3, 7]] = 2
    loss = margin_loss()
    assert once.embeddings is not None
    weighted = Output(labels=once.labels, weights=heavy, embeddings=once.embeddings)
    twice = Output(labels=once.labels[rows], weights=torch.ones(14), embeddings=once.embeddings[rows])
    assert loss(weighted).item() == pytest.approx(loss(twice).item(), rel=1e-5)


def test_weight_zero_is_a_row_left_out() -> None:
    once = items()
    assert once.embeddings is not None
    light = torch.ones(12)
    light[5] = 0
    rows = torch.tensor([i for i in range(12) if i != 5])
    without = Output(labels=once.labels[rows], weights=torch.ones(11), embeddings=once.embeddings[rows])
    weighted = Output(labels=once.labels, weights=light, embeddings=once.embeddings)
    assert margin_loss()(weighted).item() == pytest.approx(margin_loss()(without).item(), rel=1e-5)


def test_queries_are_compared_with_products() -> None:
    # Query 0 stands in rows 0 and 1; row 2's product matches no query, yet counts against all.
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    products = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.8, 0.6]])
    output = Output(
        labels=torch.tensor([0, 0, 1]), weights=torch.ones(3), embeddings=queries, references=products
    )
    s = cosine(queries, products)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=torch.bool)
    expected = by_loops(s, same, ~same, torch.ones(3, 3), Margins())
    assert margin_loss(Learnt(PAIR, 2, 2))(output).item() == pytest.approx(expected)


def test_one_half_alone() -> None:
    output = items()
    both = margin_loss()(output).item()
    halves = [margin_loss(**{f"{side}_weight": 0.0})(output).item() for side in ("positive", "negative")]
    assert min(halves) > 0
    assert sum(halves) == pytest.approx(both, rel=1e-6)


def test_quantile_margins_are_the_quantiles_of_what_was_seen() -> None:
    loss = margin_loss(margins="quantile", false_reject=0.25, false_accept=0.1, momentum=0.5)
    output = items(n=120, width=16)
    loss(output)
    s = output.similarity.detach()
    same = output.labels[:, None] == output.labels
    off = ~torch.eye(120, dtype=torch.bool)
    assert loss.margins.positive == pytest.approx(s[same & off].quantile(0.25).item(), abs=2e-3)
    assert loss.margins.negative == pytest.approx(s[~same].quantile(0.9).item(), abs=2e-3)


def test_quantile_margins_leave_out_rows_of_weight_zero() -> None:
    once = items()
    light = torch.ones(12)
    light[[2, 7]] = 0
    rows = torch.tensor([i for i in range(12) if i not in (2, 7)])
    assert once.embeddings is not None
    found = []
    for output in (
        Output(labels=once.labels, weights=light, embeddings=once.embeddings),
        Output(labels=once.labels[rows], weights=torch.ones(10), embeddings=once.embeddings[rows]),
    ):
        loss = margin_loss(margins="quantile")
        found.append((loss(output).item(), loss.margins.positive, loss.margins.negative))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_quantile_margins_follow_the_data() -> None:
    loss = margin_loss(margins="quantile", momentum=0.5)
    close = Output(
        labels=torch.arange(12) % 4,
        weights=torch.ones(12),
        embeddings=torch.ones(12, 4) + 0.1 * torch.randn(12, 4, generator=generator(12)),
    )
    loss(items())
    before = loss.margins
    for _ in range(20):
        loss(close)
    assert loss.margins.positive > before.positive
    assert loss.margins.positive > 0.9


def test_a_large_batch_is_sampled_and_the_margins_stay() -> None:
    output = items(n=600, width=8, classes=150)
    loss = margin_loss(margins="quantile", false_accept=0.05)
    loss(output)
    same = output.labels[:, None] == output.labels
    assert loss.margins.negative == pytest.approx(
        output.similarity.detach()[~same].quantile(0.95).item(), abs=0.01
    )


def test_evaluation_moves_no_margin() -> None:
    loss = margin_loss(margins="quantile", memory=8).eval()
    loss(items())
    assert loss.margins == Margins(0.9, 0.5)
    assert loss.memory is not None
    assert int(loss.memory.count) == 0


def test_what_was_tracked_is_in_the_checkpoint() -> None:
    loss = margin_loss(margins="quantile", memory=8)
    loss(items())
    again = margin_loss(margins="quantile", memory=8)
    again.load_state_dict(loss.state_dict())
    assert again.margins == loss.margins
    assert again(items(1)).item() == loss(items(1)).item()


def test_memory_adds_the_pairs_with_earlier_batches() -> None:
    loss = margin_loss(memory=20)
    first, second = items(0), items(1)
    alone = margin_loss()(second).item()
    loss(first)
    found = loss(second).item()
    s = torch.cat([second.similarity, cosine(second.embeddings, first.embeddings)], dim=1).detach()  # type: ignore[arg-type]
    same = torch.cat([second.labels[:, None] == second.labels, second.labels[:, None] == first.labels], dim=1)
    expected = by_loops(s, same & ~torch.eye(12, 24, dtype=torch.bool), ~same, torch.ones(12, 24), Margins())
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != pytest.approx(alone)


def test_a_memory_that_wraps_round_keeps_the_gradient_of_what_was_compared() -> None:
    loss, plain = margin_loss(memory=12), margin_loss(memory=100)
    for each in (loss, plain):
        each(items(0))
    gradients = []
    for each in (loss, plain):  # the first overwrites all it was compared with
        output = items(1)
        each(output).backward()
        gradients.append(output.embeddings.grad)  # type: ignore[union-attr]
    torch.testing.assert_close(*gradients)


def test_a_full_memory_forgets_the_oldest() -> None:
    loss = margin_loss(memory=20)
    for seed in range(3):
        loss(items(seed))
    assert loss.memory is not None
    newest = functional.normalize(items(2).embeddings, dim=1)  # type: ignore[arg-type]
    kept = loss.memory.vectors
    assert (kept[:, None] == newest).all(dim=2).any(dim=0).all()
    oldest = functional.normalize(items(0).embeddings, dim=1)  # type: ignore[arg-type]
    assert not (kept[:, None] == oldest).all(dim=2).any()


def test_memory_and_two_towers_are_refused() -> None:
    output = Output(
        labels=torch.tensor([0, 1]), weights=torch.ones(2), embeddings=torch.eye(2), references=torch.eye(2)
    )
    with pytest.raises(ValueError, match="memory needs items labelled by group") as caught:
        margin_loss(Learnt(PAIR, 2, 2), memory=4)(output)
    assert str(caught.value) == (
        "tcm.margin: memory needs items labelled by group; a query's matches are known within its batch only. "
        "Set memory = 0."
    )


def test_similarities_are_float32_under_mixed_precision() -> None:
    output = items()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = margin_loss()(output)
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(margin_loss()(items()).item(), abs=1e-7)
