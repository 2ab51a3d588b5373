"""The margin term and OPIS: speed, beside pytorch-metric-learning and beside the bare matrix product.

    OMP_NUM_THREADS=1 python benchmarks/tcm.py [--items 100000] [--classes 10000] [--threads 2]

Steps are forward and backward from vectors in memory, in one process with one torch thread, every arm in turn in every
round; the median of the rounds is told. Histograms are of unit vectors in memory. With the default arguments
the tables go into docs/explanation/benchmarks-tcm.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import __version__ as library
from pytorch_metric_learning import losses
from threadpoolctl import threadpool_limits
from torch import Tensor

from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.tasks.embed import SAME
from prodmatch_tcm.histograms import class_histograms
from prodmatch_tcm.margin import MarginLoss
from prodmatch_tcm.multi_similarity import MultiSimilarityLoss
from prodmatch_tcm.plugin import MarginConfig, MultiSimilarityConfig
from prodmatch_tcm.utility import curves_of, opis, opis_worst

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-tcm.md"
WIDTH, PER_CLASS = 128, 4


def naive(vectors: Tensor, labels: Tensor, low: float = 0.9, high: float = 0.5) -> Tensor:
    """The term as one writes it down: masks over a matrix of its own."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    s = unit @ unit.T
    same = labels[:, None] == labels
    near = same & ~torch.eye(len(s), dtype=torch.bool) & (s <= low)
    far = ~same & (s >= high)
    short, excess = ((low - s) * near).sum() / near.sum(), ((s - high) * far).sum() / far.sum()
    return torch.where(near.any(), short, 0.0 * s.sum()) + torch.where(far.any(), excess, 0.0 * s.sum())


def arms(batch: int) -> dict[str, Callable[[], None]]:
    """Return one step of each arm, on the same vectors."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(batch // PER_CLASS, WIDTH, generator=draw)
    labels = torch.arange(batch) // PER_CLASS
    vectors = (centres[labels] + torch.randn(batch, WIDTH, generator=draw)).requires_grad_()
    weights, learnt = torch.ones(batch), Learnt(SAME, batch // PER_CLASS, WIDTH)
    base = MultiSimilarityLoss.build(MultiSimilarityConfig(), learnt)
    fixed = MarginLoss.build(MarginConfig(), learnt)
    quantile = MarginLoss.build(MarginConfig(margins="quantile", false_accept=0.01), learnt)
    theirs = losses.MultiSimilarityLoss()

    def step(*terms: Loss) -> Callable[[], None]:
        def run() -> None:
            vectors.grad = None
            output = Output(labels=labels, weights=weights, embeddings=vectors)
            torch.stack([each(output) for each in terms]).sum().backward()

        return run

    def of_library(*terms: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            vectors.grad = None
            torch.stack([each(vectors, labels) for each in terms]).sum().backward()

        return run

    own = losses.ThresholdConsistentMarginLoss()
    return {
        "library": of_library(theirs),
        "library + naive term": of_library(theirs, naive),
        "library + its own term": of_library(theirs, own),
        "ours": step(base),
        "ours + fixed": step(base, fixed),
        "ours + quantile": step(base, quantile),
    }


def steps_table(rounds: int) -> list[str]:
    lines = [
        "| batch | library | + naive term | + its own term | ours | + fixed | + quantile | ours / library, naive | "
        "added, fixed | added, quantile |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for batch in (256, 512, 1024):
        made = arms(batch)
        slow = made.pop("library + its own term")
        seconds: dict[str, list[float]] = {name: [] for name in made}
        for run in (*made.values(), slow):
            run()
        for _ in range(rounds):
            for name, run in made.items():
                seconds[name].append(timed(run))
        ms = {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
        # Both arms of a difference in the same round see the same machine.
        added = {
            name: statistics.median(a / b - 1 for a, b in zip(seconds[name], seconds["ours"], strict=True))
            for name in ("ours + fixed", "ours + quantile")
        }
        own = 1e3 * statistics.median(timed(slow) for _ in range(3))
        ratio = statistics.median(
            a / b for a, b in zip(seconds["ours + fixed"], seconds["library + naive term"], strict=True)
        )
        cells = [
            ms["library"],
            ms["library + naive term"],
            own,
            ms["ours"],
            ms["ours + fixed"],
            ms["ours + quantile"],
        ]
        shown = " | ".join(f"{value:.1f}" for value in cells)
        lines.append(
            f"| {batch} | {shown} | {ratio:.2f} | {added['ours + fixed']:+.0%} | {added['ours + quantile']:+.0%} |"
        )
        print(lines[-1], flush=True)
    return lines


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def histogram_table(items: int, classes: int, bins: int, threads: int) -> list[str]:
    draw = np.random.default_rng(0)
    labels = draw.integers(classes, size=items)
    centres = draw.normal(size=(classes, WIDTH)).astype(np.float32)
    vectors = centres[labels] + draw.normal(size=(items, WIDTH)).astype(np.float32)
    score, rows = cosine_scorer(vectors, vectors), np.arange(items)
    class_histograms(score, rows[:64], labels, bins, threads=threads)  # compiles

    def product() -> None:
        with threadpool_limits(threads):
            for start in range(0, items, 160):
                score(rows[start : start + 160])

    bare = timed(product)
    started = time.perf_counter()
    found = class_histograms(score, rows, labels, bins, threads=threads)
    counted = time.perf_counter() - started
    curves = curves_of(found)
    value, worst = opis(curves), opis_worst(curves)
    whole = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        f"{items:,} items of {classes:,} classes, {bins:,} bins, {threads} threads: OPIS {value:.3e}, of the "
        f"worst tenth {worst:.3e}.",
        "",
        "| step | s |",
        "|---|---|",
        f"| the bare product, in blocks of rows | {bare:.1f} |",
        f"| product and histograms | {counted:.1f} |",
        f"| with the curves, OPIS and 10%-OPIS | {whole:.1f} |",
        "",
        f"{whole / bare:.2f} times the bare product; the process held {memory:.1f} GB at most.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--bins", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    # First, because its memory is told, and the library's own term takes a lot.
    histograms = histogram_table(options.items, options.classes, options.bins, options.threads)
    steps = steps_table(options.rounds)
    lines = [
        "# The margin term and OPIS: speed",
        "",
        "Made by `OMP_NUM_THREADS=1 python benchmarks/tcm.py`; do not edit.",
        "",
        f"pytorch-metric-learning {library}, torch {torch.__version__}, NumPy {np.__version__}; "
        f"{os.cpu_count()} cores, {platform.machine()}.",
        f"The machine did other things too (load {load:.1f} at the start): trust ratios, which are of the same "
        "process and round, before times.",
        "",
        "## A training step",
        "",
        f"Milliseconds of forward and backward, width {WIDTH}, {PER_CLASS} rows a class, one thread, median of "
        f"{options.rounds} rounds. The base loss is multi-similarity. *Naive* is the term with masks over a similarity "
        "matrix of its own; the library's own class gathers two vectors a pair.",
        "",
        *steps,
        "",
        "*Added* is what the term costs over our base loss alone; quantile margins also track the quantiles.",
        "",
        "## OPIS of many items",
        "",
        *histograms,
        "",
    ]
    print("\n".join(lines))
    if options == parser.parse_args([]):
        PAGE.write_text("\n".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
