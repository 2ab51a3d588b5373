from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.builtin.configs import UniformSamplerConfig
from prodmatch_core.builtin.graph_configs import WeightedSamplerConfig
from prodmatch_core.builtin.neighbour_samplers import UniformSampler, WeightedSampler
from prodmatch_core.graph.csr import Graph


def random_graph(seed: int, nodes: int = 30, edges: int = 200) -> Graph:
    rng = np.random.default_rng(seed)
    return Graph.from_edges(rng.integers(nodes, size=edges), rng.integers(nodes, size=edges), nodes)


def sampler(graph: Graph, *fanouts: int) -> UniformSampler:
    return UniformSampler.build(UniformSamplerConfig(fanouts), graph)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8), st.integers(0, 150))
def test_blocks_hold_existing_allowed_edges_within_the_fanout(
    seed: int, first: int, second: int, excluded: int
) -> None:
    graph, rng = random_graph(seed), np.random.default_rng(seed)
    source = np.repeat(np.arange(graph.nodes), graph.degree())
    exclude = np.sort(rng.choice(graph.edges, size=excluded, replace=False))
    seeds = rng.choice(graph.nodes, size=7, replace=False)
    blocks = sampler(graph, first, second).sample(seeds, rng, exclude)
    allowed = np.bincount(np.delete(source, exclude), minlength=graph.nodes)
    wanted = seeds
    for block, fanout in zip(reversed(blocks), (first, second), strict=True):
        receivers, senders = block.inputs[block.target], block.inputs[block.source]
        np.testing.assert_array_equal(block.inputs[: block.seeds], wanted)
        np.testing.assert_array_equal(graph.targets[block.edge], senders)
        np.testing.assert_array_equal(source[block.edge], receivers)
        assert len(np.unique(block.edge)) == len(block.edge)
        assert not np.isin(block.edge, exclude).any()
        taken = np.bincount(block.target, minlength=block.seeds)
        np.testing.assert_array_equal(taken, np.minimum(allowed[wanted], fanout))
        assert len(np.unique(block.inputs)) == len(block.inputs)
        assert set(block.inputs[block.seeds :]) <= set(senders)
        wanted = block.inputs


def test_every_subset_of_neighbours_is_equally_likely() -> None:
    subsets = {subset: index for index, subset in enumerate(combinations(range(1, 7), 3))}
    graph = Graph.from_edges(np.zeros(6, dtype=np.int64), np.arange(1, 7), 7)
    part, rng = sampler(graph, 3), np.random.default_rng(0)
    counts = np.zeros(len(subsets))
    for _ in range(20_000):
        (block,) = part.sample(np.array([0]), rng)
        counts[subsets[tuple(sorted(block.inputs[1:].tolist()))]] += 1
    expected = counts.sum() / len(subsets)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # 99.9 % point at 19 degrees of freedom


@pytest.mark.parametrize("fanout", [3, 65, 90])
def test_a_large_fanout_takes_every_neighbour_as_often(fanout: int) -> None:
    graph = Graph.from_edges(np.zeros(100, dtype=np.int64), np.arange(1, 101), 101)
    part, rng = sampler(graph, fanout), np.random.default_rng(0)
    counts = np.zeros(101)
    for _ in range(2000):
        (block,) = part.sample(np.array([0]), rng)
        assert len(block.edge) == len(np.unique(block.edge)) == fanout
        counts[block.inputs[1:]] += 1
    share = fanout / 100
    z = (counts[1:] - 2000 * share) / np.sqrt(2000 * share * (1 - share))
    assert np.abs(z).max() < 4.5


def test_weighted_pairs_are_drawn_one_after_the_other() -> None:
    weights = np.array([8.0, 4.0, 2.0, 1.0, 1.0])
    graph = Graph.from_edges(np.zeros(5, dtype=np.int64), np.arange(1, 6), 6, weights)
    part = WeightedSampler.build(WeightedSamplerConfig((2,)), graph)
    share = weights / weights.sum()
    expected = {
        (a, b): share[a] * share[b] / (1 - share[a]) + share[b] * share[a] / (1 - share[b])
        for a, b in combinations(range(5), 2)
    }
    rng, counts, draws = np.random.default_rng(3), dict.fromkeys(expected, 0), 20_000
    for _ in range(draws):
        (block,) = part.sample(np.array([0]), rng)
        counts[tuple(sorted((block.inputs[1:] - 1).tolist()))] += 1
    chi_square = sum((counts[p] - draws * expected[p]) ** 2 / (draws * expected[p]) for p in expected)
    assert chi_square < 27.9  # 99.9 % point at 9 degrees of freedom


def test_one_heavy_edge_does_not_keep_the_light_ones_out() -> None:
    weights = np.array([1e9, 1.0, 1.0, 1.0])
    graph = Graph.from_edges(np.zeros(4, dtype=np.int64), np.arange(1, 5), 5, weights)
    part, rng = WeightedSampler.build(WeightedSamplerConfig((3,)), graph), np.random.default_rng(0)
    seen = np.zeros(5)
    for _ in range(300):
        (block,) = part.sample(np.array([0]), rng)
        assert len(block.edge) == 3
        seen[block.inputs[1:]] += 1
    assert seen[1] == 300
    assert seen[2:].min() > 150


def test_batches_drawn_by_many_threads_at_once_are_those_of_one() -> None:
    graph = random_graph(7, nodes=200, edges=4000)
    part = sampler(graph, 4, 3)

    def drawn(seed: int) -> list[int]:
        blocks = part.sample(np.arange(seed % 50, 150), np.random.default_rng(seed))
        return [int(value) for block in blocks for value in (*block.inputs, *block.edge)]

    alone = [drawn(seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(drawn, range(40))) == alone


def test_400_reused_batches_have_no_wrong_edge() -> None:
    graph = random_graph(3, nodes=500, edges=6000)
    starts = np.repeat(np.arange(graph.nodes), graph.degree())
    part, rng = sampler(graph, 5, 5), np.random.default_rng(0)
    for _ in range(400):
        for block in part.sample(rng.choice(graph.nodes, 64, replace=False), rng):
            np.testing.assert_array_equal(graph.targets[block.edge], block.inputs[block.source])
            np.testing.assert_array_equal(starts[block.edge], block.inputs[block.target])


def test_excluding_leaves_the_other_neighbours_equally_likely() -> None:
    graph = Graph.from_edges(np.zeros(8, dtype=np.int64), np.arange(1, 9), 9)
    rng = np.random.default_rng(1)
    part = sampler(graph, 2)
    counts = np.zeros(9)
    for _ in range(3000):
        (block,) = part.sample(np.array([0]), rng, np.array([2, 5]))
        counts[block.inputs[1:]] += 1
    assert counts[[0, 3, 6]].sum() == 0
    allowed = counts[[1, 2, 4, 5, 7, 8]]
    # Two of six are drawn together, so the variance is 4/5 of a multinomial's and the statistic is scaled.
    chi_square = ((allowed - 1000) ** 2 / 1000).sum() * 5 / 4
    assert chi_square < 20.5  # 99.9 % point at 5 degrees of freedom


def test_the_layer_next_to_the_seeds_takes_the_first_fanout() -> None:
    graph = random_graph(0, nodes=5, edges=400)
    outer, inner = sampler(graph, 3, 7).sample(np.array([2]), np.random.default_rng(0))
    assert len(inner.edge) == 3
    assert set(np.bincount(outer.target).tolist()) == {7}


def test_same_seed_same_blocks_and_another_seed_others() -> None:
    graph = random_graph(5)
    edges = [
        sampler(graph, 3, 2).sample(np.arange(5), np.random.default_rng(seed))[0].edge.tolist()
        for seed in (1, 1, 2)
    ]
    assert edges[0] == edges[1] != edges[2]


def test_a_node_without_neighbours_gives_an_empty_block() -> None:
    graph = Graph.from_edges(np.array([0]), np.array([1]), 3)
    (block,) = sampler(graph, 4).sample(np.array([2]), np.random.default_rng(0))
    assert (block.inputs.tolist(), block.seeds, len(block.edge)) == ([2], 1, 0)


def test_no_seeds_give_empty_blocks() -> None:
    blocks = sampler(random_graph(1), 4, 4).sample(np.empty(0, dtype=np.int64), np.random.default_rng(0))
    assert [len(block.inputs) for block in blocks] == [0, 0]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([0, 0], "seeds must be different nodes"), ([30], "seeds must be nodes from 0 to 29")],
)
def test_bad_seeds_are_refused(seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler(random_graph(0), 2).sample(np.array(seeds), np.random.default_rng(0))
