from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from prodmatch_core.graph.csr import Graph
from prodmatch_dgl.configs import NeighborConfig
from prodmatch_dgl.library import dgl, dgl_graph
from prodmatch_dgl.neighbor import NeighborSampler


def random_graph(nodes: int = 500, edges: int = 6000) -> Graph:
    rng = np.random.default_rng(3)
    return Graph.from_edges(rng.integers(nodes, size=edges), rng.integers(nodes, size=edges), nodes)


def wrong_edges(sampler: dgl.dataloading.NeighborSampler, held: dgl.DGLGraph, batches: int) -> int:
    """Return how many edges of reused batches are not between the nodes that DGL's block says."""
    sender, receiver = held.edges()
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(batches):
        seeds = torch.from_numpy(rng.choice(held.num_nodes(), 64, replace=False)).to(held.idtype)
        for block in sampler.sample_blocks(held, seeds)[2]:
            source, target = block.edges()
            nodes, edge = block.srcdata[dgl.NID].long(), block.edata[dgl.EID].long()
            inside = (source < len(nodes)) & (target < len(nodes)) & (edge >= 0) & (edge < held.num_edges())
            wrong += int((~inside).sum())
            source, target, edge = source[inside].long(), target[inside].long(), edge[inside]
            wrong += int(((sender[edge] != nodes[source]) | (receiver[edge] != nodes[target])).sum())
    return wrong


def test_400_reused_batches_have_no_wrong_edge() -> None:
    graph = random_graph()
    starts = np.repeat(np.arange(graph.nodes), graph.degree())
    part = NeighborSampler.build(NeighborConfig((5, 5)), graph)
    rng = np.random.default_rng(0)
    for _ in range(400):
        for block in part.sample(rng.choice(graph.nodes, 64, replace=False), rng):
            np.testing.assert_array_equal(graph.targets[block.edge], block.inputs[block.source])
            np.testing.assert_array_equal(starts[block.edge], block.inputs[block.target])


def test_the_same_check_finds_the_wrong_edges_of_a_32_bit_graph() -> None:
    held = dgl_graph(random_graph())
    sampler = dgl.dataloading.NeighborSampler([5, 5])
    assert held.idtype == torch.int64
    assert wrong_edges(sampler, held, 5) == 0
    narrow = dgl.dataloading.NeighborSampler([5, 5])
    assert wrong_edges(narrow, held.int(), 5) > 0, "DGL draws from 32-bit graphs rightly now; allow them"


def test_importing_the_parts_prints_nothing_and_leaves_the_home_folder_alone(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DGLBACKEND"} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import prodmatch_dgl.networks, prodmatch_dgl.neighbor"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert not (tmp_path / ".dgl").exists()


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([0, 0], "seeds must be different nodes"), ([500], "seeds must be nodes from 0 to 499")],
)
def test_bad_seeds_are_refused(seeds: list[int], message: str) -> None:
    part = NeighborSampler.build(NeighborConfig((2,)), random_graph())
    with pytest.raises(ValueError, match=message):
        part.sample(np.array(seeds), np.random.default_rng(0))


def drawn(seed: int) -> list[list[int]]:
    part = NeighborSampler.build(NeighborConfig((5, 5)), random_graph())
    blocks = part.sample(np.arange(0, 500, 7), np.random.default_rng(seed))
    return [block.edge.tolist() for block in blocks]


def test_the_same_seed_draws_the_same_whichever_thread_asks() -> None:
    asked = list(range(8))
    here = [drawn(seed) for seed in asked]
    with ThreadPoolExecutor(4) as threads:
        there = list(threads.map(drawn, asked))
    assert there == here
    assert len({str(each) for each in here}) == len(asked)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_seed_draws_the_same_in_another_process_with_any_number_of_threads(threads: str) -> None:
    code = "import test_dgl_sampler; print(test_dgl_sampler.drawn(3))"
    environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(drawn(3))
