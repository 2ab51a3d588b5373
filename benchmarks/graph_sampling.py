"""How fast neighbourhoods are drawn: the native sampler beside DGL's, docs/explanation/benchmarks-graphs.md.

    python benchmarks/graph_sampling.py [--sizes 100000:2000000 1000000:20000000] [--batches N]

1,024 seeds, two hops, power-law graphs. Every candidate runs in a process of its own, on one thread, and hands out
blocks that are the caller's; features are not gathered. Figures are batches per second of processor time, the median
of five rounds, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.graph.files import load_graph, save_graph

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "benchmarks-graphs.md"
SEEDS, FANOUT, MOST, ROUNDS = 1024, 10, 20, 5
SIZES = ("10000:200000", "100000:2000000", "1000000:20000000")
TITLES = {
    "gather": "random reads of as many edges (bound)",
    "native": "`core.uniform_sampler`, fixed",
    "dgl": "DGL, fixed, fused",
    "dgl-unfused": "DGL, fixed, not fused",
    "adaptive": "`blade.adaptive`, alpha 0.5",
    "dgl-buckets": "DGL, a call for each fan-out",
}
Drawing = Callable[[np.ndarray, np.random.Generator], int]
"Draws a batch; returns how many edges it has."


def power_law(nodes: int, edges: int) -> Graph:
    """Return a graph whose degrees fall with the power 2.2; targets are drawn as popular nodes are."""
    rng = np.random.default_rng(0)
    chances = (1.0 + np.arange(nodes)) ** (-1 / 1.2)
    running = np.cumsum(chances / chances.sum())
    shuffle = rng.permutation(nodes)
    ends = [shuffle[np.minimum(np.searchsorted(running, rng.random(edges)), nodes - 1)] for _ in range(2)]
    # Every node has an edge, so that every seed has something to draw.
    ends[0][:nodes] = np.arange(nodes)
    return Graph.from_edges(ends[0], ends[1], nodes)


def candidate(name: str, graph: Graph) -> Drawing:
    """Return what draws a batch."""
    from prodmatch_blade.adaptive import AdaptiveSampler
    from prodmatch_blade.configs import AdaptiveConfig
    from prodmatch_core.builtin.configs import UniformSamplerConfig
    from prodmatch_core.builtin.neighbour_samplers import UniformSampler

    law = AdaptiveConfig(fanouts=(MOST, MOST), alpha=0.5, least=2)
    if name in ("native", "adaptive"):
        part = (
            UniformSampler.build(UniformSamplerConfig((FANOUT, FANOUT)), graph)
            if name == "native"
            else AdaptiveSampler.build(law, graph)
        )
        return lambda seeds, rng: edges_of(part.sample(seeds, rng))
    if name == "gather":
        plain = UniformSampler.build(UniformSamplerConfig((FANOUT, FANOUT)), graph)
        count = edges_of(plain.sample(np.arange(SEEDS), np.random.default_rng(0)))
        places = np.random.default_rng(1).integers(graph.edges, size=(64, count))
        return lambda seeds, rng: len(graph.targets[places[int(rng.integers(64))]])
    return of_dgl(name, graph, law)


def of_dgl(name: str, graph: Graph, law: object) -> Drawing:
    """Return a candidate on DGL."""
    import torch

    from prodmatch_blade.adaptive import neighbours
    from prodmatch_dgl.library import dgl, dgl_graph

    held = dgl_graph(graph)
    held.create_formats_()
    if name != "dgl-buckets":
        drawing = dgl.dataloading.NeighborSampler([FANOUT, FANOUT], fused=name == "dgl")

        def fixed(seeds: np.ndarray, rng: np.random.Generator) -> int:
            return sum(b.num_edges() for b in drawing.sample_blocks(held, torch.from_numpy(seeds))[2])

        return fixed
    limits = neighbours(graph.degree(), MOST, law)  # type: ignore[arg-type]

    def buckets(seeds: np.ndarray, rng: np.random.Generator) -> int:
        nodes, total = torch.from_numpy(seeds), 0
        for _ in range(2):
            wanted = limits[nodes.numpy()]
            sources, targets = [], []
            for most in np.unique(wanted):
                mine = nodes[torch.from_numpy(wanted == most)]
                found = held.sample_neighbors(mine, int(most)).edges()
                sources.append(found[0])
                targets.append(found[1])
            frontier = dgl.graph((torch.cat(sources), torch.cat(targets)), num_nodes=graph.nodes)
            block = dgl.to_block(frontier, nodes)
            nodes, total = block.srcdata[dgl.NID], total + block.num_edges()
        return total

    return buckets


def edges_of(blocks: list[Block]) -> int:
    return sum(len(block.edge) for block in blocks)


def measure(name: str, folder: Path, batches: int) -> dict[str, float]:
    """Return batches a second of processor time, edges a batch and the memory the process grew by."""
    graph = load_graph(folder)
    started = time.process_time()
    draw = candidate(name, graph)
    rng = np.random.default_rng(0)
    draw(rng.choice(graph.nodes, SEEDS, replace=False), rng)
    ready = time.process_time() - started
    rates, edges = [], 0
    for _ in range(ROUNDS):
        seeds = [rng.choice(graph.nodes, SEEDS, replace=False) for _ in range(batches)]
        begun = time.process_time()
        for nodes in seeds:
            edges += draw(nodes, rng)
        rates.append(batches / (time.process_time() - begun))
    return {
        "rate": float(np.median(rates)),
        "edges": edges / (ROUNDS * batches),
        "ready": ready,
        "megabytes": peak(),
    }


def peak() -> float:
    """Return the most memory this process has held, in MB; getrusage would tell its parent's if that is more."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), metavar="NODES:EDGES")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "graph-sampling.jsonl")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure[0], Path(chosen.measure[1]), chosen.batches)))
        return
    chosen.rows.parent.mkdir(parents=True, exist_ok=True)
    done = read(chosen.rows)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    for size in chosen.sizes:
        missing = [name for name in TITLES if (size, name) not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            graph = power_law(*map(int, size.split(":")))
            built = time.process_time() - started
            save_graph(graph, Path(folder))
            for name in missing:
                command = [
                    sys.executable,
                    __file__,
                    "--measure",
                    name,
                    folder,
                    "--batches",
                    str(chosen.batches),
                ]
                answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                row = {
                    "size": size,
                    "name": name,
                    "built": built,
                    **json.loads(answer.stdout.splitlines()[-1]),
                }
                print(row, flush=True)
                with chosen.rows.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
    found = sorted(read(chosen.rows).items(), key=lambda item: int(item[0][0].split(":")[0]))
    PAGE.write_text(page(dict(found)), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def read(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(row["size"], row["name"]): row for row in map(json.loads, lines)}


def page(rows: dict[tuple[str, str], dict[str, float]]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Benchmarks: drawing neighbourhoods",
        "",
        *(line.strip() for line in (__doc__ or "").splitlines()[4:]),
        "",
        "    python benchmarks/graph_sampling.py",
        "",
        "Floors: fixed fan-outs at least 1.8 times the best correct DGL configuration, degree-adaptive at least 6",
        f"times DGL called for each fan-out. Fixed: {FANOUT} neighbours a node and hop; adaptive: {MOST}, falling",
        "with the degree to 2.",
        "DGL's graphs have numbers of 64 bits; with 32 its fused sampler is wrong.",
    ]
    for size in dict.fromkeys(size for size, _ in rows):
        nodes, edges = map(int, size.split(":"))
        mine = {name: rows[size, name] for name in TITLES if (size, name) in rows}
        lines += [
            "",
            f"## {nodes:,} nodes, {edges:,} edges",
            "",
            "| candidate | batches/s | edges a batch | million edges/s | process, MB | ratio |",
            "|---|---:|---:|---:|---:|---|",
        ]
        for name, row in mine.items():
            lines.append(
                f"| {TITLES[name]} | {row['rate']:.1f} | {row['edges']:,.0f} | {row['rate'] * row['edges'] / 1e6:.1f} "
                f"| {row['megabytes']:,.0f} | {ratio(name, mine)} |"
            )
    lines += ["", "## Laws", "", *growth(rows), ""]
    lines += [
        "A graph holds 8 bytes a node and 12 an edge, 14 where edges have relations; the file is mapped, so a process",
        "holds what it touches. Weighted sampling adds 8 an edge, a sampler 4 a node for each thread. By this law 10^8",
        "edges over 10^7 nodes are 1.3 GB, mapped.",
        "",
        "Making the graph from edge lists is two counting sorts. Seconds of processor time, drawing edges included: "
        + ", ".join(
            f"{row['built']:.1f} for {int(size.split(':')[1]):,}"
            for (size, name), row in rows.items()
            if name == "native"
        )
        + ".",
        "",
    ]
    return "\n".join(lines)


def growth(rows: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    """Return what an epoch costs by the graph's edges, taken apart: edges a seed draws, and time an edge drawn."""
    sizes = [size for size, name in rows if name == "native" and (size, "gather") in rows]
    if not sizes:
        return []
    lines = [
        "An epoch that asks for every edge's source once costs a batch for each 1,024 edges. It would be linear in",
        "edges if a seed drew as many edges in every graph, and if drawing one took as long. Fixed fan-out, processor",
        "time:",
        "",
        "| edges of the graph | epoch, us an edge | edges a seed draws | ns an edge drawn | ns a random read | ratio |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    told = []
    for size in sizes:
        ours, bound = rows[size, "native"], rows[size, "gather"]
        drawn = ours["edges"] / SEEDS
        each, read = (1e9 / (row["rate"] * row["edges"]) for row in (ours, bound))
        told.append((1e6 / (ours["rate"] * SEEDS), drawn, each, read))
        lines.append(
            f"| {int(size.split(':')[1]):,} | {told[-1][0]:.2f} | {drawn:.0f} | {each:.1f} | {read:.1f} "
            f"| {each / read:.1f} |"
        )
    first, last = told[0], told[-1]
    whole, drawn, each, read = (end / start for start, end in zip(first, last, strict=True))
    memory = (
        "no faster than the memory's own random reads slow down: the growth is the memory's"
        if each <= read
        else "faster than the memory's own random reads slow down"
    )
    return [
        *lines,
        "",
        f"From the smallest to the largest graph an epoch's cost an edge grows {whole:.1f} times. Of that, {drawn:.1f}",
        "times is that a seed draws more edges: in a small graph two hops meet the same nodes again, and each is",
        f"expanded once. The rest, {each:.1f} times, is the time of an edge drawn; that of a random read grows",
        f"{read:.1f} times. Drawing slows down {memory}.",
        "Seeds visited in order of their numbers, and neighbours held in 32 bits, were tried and change little.",
    ]


def ratio(name: str, rows: dict[str, dict[str, float]]) -> str:
    """Return how a candidate stands to the one it replaces."""
    if name == "native" and {"dgl", "dgl-unfused", "gather"} <= rows.keys():
        best = max(rows["dgl"]["rate"], rows["dgl-unfused"]["rate"])
        bound = rows["gather"]["rate"] / rows["native"]["rate"]
        return f"{rows['native']['rate'] / best:.2f} times DGL; the bound is {bound:.1f} times away"
    if name == "adaptive" and "dgl-buckets" in rows:
        return f"{rows['adaptive']['rate'] / rows['dgl-buckets']['rate']:.2f} times DGL"
    return ""


if __name__ == "__main__":
    main()
