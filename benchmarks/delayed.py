"""Delayed feedback, how fast: streams built from Parquet, and what importance weights cost a training step.

    python benchmarks/delayed.py [--events 1000000]

Streams: `prodmatch_delayed.pieces` beside the same rows by a loop over events in plain Python with a heap of what is
not known yet, both to the same table; most memory is the process's own peak. Training: one course of the shop's events
with each method beside `vanilla` on the same rows, in turns, the median of the rounds; the network is the
literature's 256-256-128. Writes docs/explanation/benchmarks-delayed.md.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.data.streams import HOUR
from prodmatch_core.tasks.convert import CONVERSION
from prodmatch_delayed.configs import METHODS, ImportanceConfig
from prodmatch_delayed.importance import ImportanceLoss
from prodmatch_delayed.pieces import frame_of, pieces, streamed

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/benchmarks-delayed.md"
WINDOW = 72 * HOUR
FLOOR_RATIO = 1.6
FLOOR_EVENTS = 200_000
"Events a second: a million to a stream within five seconds."
BATCH, ROUNDS, STEPS = 1024, 9, 12


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        streams = stream_figures(Path(folder), options.events)
    steps = step_figures()
    text = "\n".join(page(streams, steps))
    if options == parser.parse_args([]):
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def log_of(path: Path, events: int) -> None:
    """Write a log of 60 days at the canonical columns."""
    rng = np.random.default_rng(0)
    shown = np.sort(rng.integers(0, 60 * 24 * HOUR, events))
    delay = (rng.exponential(24, events) * HOUR).astype(np.int64)
    converts = rng.random(events) < 0.15
    there = rng.random(events) < 0.3
    signal = (rng.random(events) * 6 * HOUR).astype(np.int64)

    def moments(values: np.ndarray, where: np.ndarray) -> pl.Series:
        return pl.Series(values).set(pl.Series(~where), None).cast(pl.Datetime("us"))

    pl.DataFrame(
        {
            "event_id": pl.Series(np.arange(events)).cast(pl.String),
            "shown_at": pl.Series(shown).cast(pl.Datetime("us")),
            "engaged_at": moments(shown + signal, there),
            "converted_at": moments(shown + delay, converts),
        }
    ).write_parquet(path, row_group_size=1 << 16)


def vectorised(path: Path) -> int:
    """Return the rows of a stream that is read, worked out and made into tables."""
    parts = (piece.part for piece in pieces(path, WINDOW))
    return sum(frame_of(rows).height for rows in streamed(parts, "exact", 1.0, WINDOW))


def plain(path: Path) -> int:
    """Return the same rows by a loop over events with a heap, as one would write it by hand."""
    frame = pl.read_parquet(path, columns=["shown_at", "converted_at", "engaged_at"])
    columns = [frame[name].cast(pl.Datetime("us")).to_physical().to_list() for name in frame.columns]

    def rows() -> Iterator[tuple[int, int, int, bool]]:
        waiting: list[tuple[int, int, int, bool]] = []
        for event, (shown, converted, _) in enumerate(zip(*columns, strict=True)):
            while waiting and waiting[0][0] < shown:
                yield heapq.heappop(waiting)
            late = converted is not None and converted - shown <= WINDOW
            heapq.heappush(waiting, (shown + HOUR, event, 0, late and converted <= shown + HOUR))
            if late and converted > shown + HOUR:
                heapq.heappush(waiting, (converted, event, 1, True))
        while waiting:
            yield heapq.heappop(waiting)

    names = ["at", "event", "kind", "converted"]
    return pl.DataFrame(list(rows()), schema=names, orient="row").height


def peak(path: Path) -> int:
    """Return the bytes that a stream of `path` adds to the process at its most."""
    before = highest()
    vectorised(path)
    return highest() - before


def highest() -> int:
    """Return the bytes of memory this program has held at its most; Linux tells since it was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def stream_figures(folder: Path, events: int) -> list[tuple[int, float, float, int, int]]:
    """Return events, seconds, seconds of the loop, rows and bytes of memory, for a log and one four times as long."""
    found = []
    for count in (events // 4, events):
        path = folder / f"{count}.parquet"
        log_of(path, count)
        times: list[float] = []
        for _ in range(3):
            started = time.process_time()
            rows = vectorised(path)
            times.append(time.process_time() - started)
        started = time.process_time()
        assert plain(path) == rows
        loop = time.process_time() - started
        command = [sys.executable, __file__, "--peak", str(path)]
        memory = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        found.append((count, min(times), loop, rows, memory))
    return found


class Network(torch.nn.Module):
    """The literature's network over nine hashed columns and eight numbers, and a head."""

    def __init__(self) -> None:
        """Make its layers."""
        super().__init__()
        self.vectors = torch.nn.Embedding(65_536, 8)
        size, layers = 80, []
        for units in (256, 256, 128):
            layers += [torch.nn.Linear(size, units), torch.nn.LayerNorm(units), torch.nn.GELU()]
            size = units
        self.layers = torch.nn.Sequential(*layers)
        self.head = torch.nn.Linear(128, 2)

    def forward(self, categories: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return vectors and logits."""
        found = self.layers(torch.cat([self.vectors(categories).flatten(1), numbers], dim=1))
        return found, self.head(found)


def step_figures() -> dict[str, float]:
    """Return the time of a training step of each method as a ratio to vanilla's: the median over rounds, in turns."""
    generator = torch.Generator().manual_seed(0)
    categories = torch.randint(0, 65_536, (BATCH, 9), generator=generator)
    numbers = torch.randn(BATCH, 8, generator=generator)
    late = torch.rand(BATCH, generator=generator) < 0.1
    labels = torch.where(late, 0, (torch.rand(BATCH, generator=generator) < 0.9).long())
    facts = {
        "kind": torch.where(late, 1, 0),
        "elapsed": torch.ones(BATCH),
        "delay": torch.rand(BATCH, generator=generator),
        "signal": torch.rand(BATCH, generator=generator) - 0.5,
        "trains": torch.ones(BATCH),
    }
    made = {}
    for method in METHODS:
        if method == "oracle":
            continue
        network = Network()
        loss = ImportanceLoss.build(ImportanceConfig(method=method), Learnt(CONVERSION, 2, 128))
        optimiser = torch.optim.AdamW([*network.parameters(), *loss.parameters()], lr=1e-3, fused=True)
        made[method] = (network, loss, optimiser)

    def steps(method: str) -> float:
        network, loss, optimiser = made[method]
        started = time.process_time()
        for _ in range(STEPS):
            vectors, logits = network(categories, numbers)
            output = Output(labels, torch.ones(BATCH), logits, vectors=vectors, facts=facts)
            loss(output).backward()
            torch.nn.utils.clip_grad_norm_([*network.parameters(), *loss.parameters()], 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return time.process_time() - started

    for method in made:
        steps(method)
    ratios: dict[str, list[float]] = {method: [] for method in made}
    for _ in range(ROUNDS):
        base = steps("vanilla")
        for method in made:
            ratios[method].append((steps(method) if method != "vanilla" else base) / base)
    return {method: statistics.median(values) for method, values in ratios.items()}


def page(streams: list[tuple[int, float, float, int, int]], steps: dict[str, float]) -> list[str]:
    """Return the lines of the page."""
    lines = [
        "# Benchmarks: delayed feedback",
        "",
        "    python benchmarks/delayed.py",
        "",
        "Seconds of one processor core, measured in one process.",
        "",
        "## Streams",
        "",
        "From a Parquet log of 60 days to the rows of `exact` in order of time, in pieces of 131,072 events, beside a",
        "loop over events with a heap, as one would write it by hand. Memory is what the work adds to the process.",
        "",
        "| events | rows | seconds | events a second | loop, seconds | times as fast | memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {n:,} | {rows:,} | {s:.2f} | {n / s:,.0f} | {loop:.2f} | {loop / s:.1f} | {memory / 1e6:,.0f} MB |"
        for n, s, loop, rows, memory in streams
    ]
    rate = streams[-1][0] / streams[-1][1]
    worst = max(steps.values())
    lines += [
        "",
        f"Floor: {FLOOR_EVENTS:,} events a second: {'held' if rate >= FLOOR_EVENTS else 'MISSED'}.",
        "",
        "## Importance weights",
        "",
        f"A training step of the 256-256-128 network on {BATCH:,} rows with each method's weight models, as a ratio to",
        f"`vanilla`: the median of {ROUNDS} rounds of {STEPS} steps, in turns.",
        "",
        "| method | ratio |",
        "|---|---:|",
        *(f"| {method} | {ratio:.2f} |" for method, ratio in steps.items()),
        "",
        f"Ceiling: {FLOOR_RATIO} times `vanilla`: {'held' if worst <= FLOOR_RATIO else 'MISSED'}.",
        "",
        "A method's stream may have more rows than another's: `defer` tells every event twice, where `exact` and most",
        "others tell late conversions twice. That is not part of the ratio.",
        "",
    ]
    return lines


if __name__ == "__main__":
    main()
