from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.components.encoder import gather_ragged, pad_ragged
from prodmatch_core.components.loss import Output, PointwiseLoss
from prodmatch_core.components.negatives import KnownPairs
from prodmatch_core.data.corpus import Examples
from prodmatch_core.graph.csr import Graph

ragged = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=12)


def flat(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([value for row in rows for value in row], dtype=np.int64)
    return values, np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)


@given(ragged, st.data())
def test_gathered_rows_are_the_rows_asked_for(rows: list[list[int]], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    values, offsets = gather_ragged(*flat(rows), np.array(wanted, dtype=np.int64))
    got = [values[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert got == [rows[row] for row in wanted]


@given(ragged)
def test_padding_keeps_every_value_and_marks_the_rest(rows: list[list[int]]) -> None:
    padded, mask = pad_ragged(*flat(rows), fill=-1)
    assert [row[m].tolist() for row, m in zip(padded, mask, strict=True)] == rows
    assert (padded[~mask] == -1).all()


def examples(pairs: list[tuple[int, int]]) -> Examples:
    query, product = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Examples(query, product, np.zeros(len(query), np.int64), np.ones(len(query), np.float32))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=20))
def test_a_pair_is_known_exactly_if_it_was_judged(pairs: list[tuple[int, int]]) -> None:
    known = KnownPairs(examples(pairs), products=8)
    every = np.array([(q, p) for q in range(6) for p in range(8)])
    assert known.known(every[:, 0], every[:, 1]).tolist() == [
        tuple(pair) in set(pairs) for pair in every.tolist()
    ]
    assert all(pair in known for pair in pairs)


edges = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40)


@given(edges)
def test_a_graph_holds_every_edge_sorted_within_its_node(pairs: list[tuple[int, int]]) -> None:
    source, target = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = Graph.from_edges(source, target, nodes=7)
    held = [(v, int(t)) for v in range(7) for t in graph.targets[graph.offsets[v] : graph.offsets[v + 1]]]
    assert held == sorted(pairs)
    assert graph.degree().sum() == graph.edges == len(pairs)


@given(edges)
def test_reversing_twice_gives_the_graph_back(pairs: list[tuple[int, int]]) -> None:
    source, target = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = Graph.from_edges(source, target, nodes=7)
    back = graph.reverse().reverse()
    assert np.array_equal(graph.offsets, back.offsets)
    assert np.array_equal(graph.targets, back.targets)


def test_weights_follow_their_edges() -> None:
    graph = Graph.from_edges(
        np.array([1, 0, 1]), np.array([2, 1, 0]), nodes=3, weights=np.array([5.0, 6.0, 7.0])
    )
    assert graph.weights.tolist() == [6.0, 7.0, 5.0]


def test_an_edge_to_nowhere_is_named() -> None:
    with pytest.raises(ValueError, match="edge 1: target 9 is not one of the 3 nodes"):
        Graph.from_edges(np.array([0, 1]), np.array([1, 9]), nodes=3)


def test_similarity_is_cosine_in_float32_and_computed_once() -> None:
    rows = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.bfloat16)
    output = Output(labels=torch.zeros(2, dtype=torch.long), weights=torch.ones(2), embeddings=rows)
    torch.testing.assert_close(output.similarity, torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    assert output.similarity.dtype == torch.float32
    assert output.similarity is output.similarity


def test_two_towers_compare_queries_with_products() -> None:
    output = Output(
        labels=torch.zeros(1, dtype=torch.long),
        weights=torch.ones(1),
        embeddings=torch.tensor([[1.0, 0.0]]),
        references=torch.tensor([[0.0, 2.0]]),
    )
    assert output.similarity.tolist() == [[0.0]]


class Label(PointwiseLoss):
    def per_example(self, output: Output) -> torch.Tensor:
        return output.labels.float()


def test_a_pointwise_loss_is_the_weighted_mean_of_its_examples() -> None:
    output = Output(labels=torch.tensor([1, 4, 10]), weights=torch.tensor([2.0, 1.0, 0.0]))
    assert Label()(output).item() == pytest.approx((2 * 1 + 4) / 3)


def test_a_batch_whose_weights_are_all_zero_has_loss_zero() -> None:
    assert Label()(Output(labels=torch.tensor([1, 4]), weights=torch.zeros(2))).item() == 0
