"""Speed of decision boundaries on a million rows: docs/explanation/benchmarks-uncertainty.md.

    python benchmarks/uncertainty.py [--rows 1000000]

Processor time, best of five, kernels compiled before the clock starts. With these
rows the table goes into the page.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prodmatch_uncertainty import knapsack
from prodmatch_uncertainty.grid import count
from prodmatch_uncertainty.methods import METHODS, Settings, relax, units
from prodmatch_uncertainty.sample import Goal, Sample

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-uncertainty.md"
GOAL = Goal("recall", 0.8)
WANTED = {
    "binning, 5 x 100": 0.5,
    "binning, 100 x 100": 0.5,
    "dynamic programme with back-tracking, 100 x 100": 0.1,
    "dynamic programme with back-tracking, 300 x 300": 2.0,
    "Lagrangian with bound, 300 x 300": 0.005,
}
"Seconds that are not to be exceeded."


def best(work: Callable[[], Any], times: int = 5) -> tuple[Any, float]:
    found, least = work(), float("inf")  # the first call compiles
    for _ in range(times):
        started = time.process_time()
        found = work()
        least = min(least, time.process_time() - started)
    return found, least


def sample(rows: int) -> Sample:
    """Return rows whose positivity at a score falls with uncertainty."""
    rng = np.random.default_rng(0)
    score, unsure = rng.random(rows), rng.random(rows)
    return Sample.of(score, unsure, rng.random(rows) < score ** (1 + 2 * unsure))


def measure(rows: int) -> list[tuple[str, float]]:
    made = sample(rows)
    lines = []
    for levels, bins in ((5, 100), (100, 100), (300, 300)):
        shape = f"{levels} x {bins}"
        grid, seconds = best(lambda levels=levels, bins=bins: count(made, levels, bins))
        lines.append((f"binning, {shape}", seconds))
        cumulated, positives = grid.cumulated()
        steps, _ = units(cumulated, grid, "equal")

        def programme(steps: Any = steps, positives: Any = positives, grid: Any = grid) -> np.ndarray:
            solved = knapsack.solve(steps, positives, grid.bins)
            return solved.cuts(len(solved.frontier) // 2)

        lines.append((f"dynamic programme with back-tracking, {shape}", best(programme)[1]))
        lines.append((f"Lagrangian with bound, {shape}", best(lambda grid=grid: relax(grid, GOAL))[1]))
    boundary = METHODS["dp"].best(made, Settings(), GOAL)
    lines.append(
        (f"deciding {rows:,} rows, 5 levels", best(lambda: boundary.accepts(made.score, made.uncertainty))[1])
    )
    read = best(lambda: made.score + made.uncertainty)[1]
    lines.append((f"for comparison: adding two columns of {rows:,} numbers", read))
    for name, method in METHODS.items():
        lines.append(
            (
                f"`uncertainty.{name}` from rows to boundary",
                best(lambda method=method: method.best(made, Settings(), GOAL), 2)[1],
            )
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    table = ["| | CPU seconds | not to exceed |", "|---|---:|---:|"]
    for name, seconds in measure(options.rows):
        wanted = WANTED.get(name)
        digits = 5 if seconds < 0.01 else 3
        table.append(f"| {name} | {seconds:.{digits}f} | {'' if wanted is None else f'{wanted:g}'} |")
    print("\n".join(table))
    if options == parser.parse_args([]):
        text = [
            "# Speed of decision boundaries",
            "",
            f"{options.rows:,} rows with score, uncertainty and label; processor time of one core of {os.cpu_count()}",
            f"({platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}), best of five.",
            "Grids are levels x bins. A part's time is from rows to boundary, with 5 levels of 100 bins. Deciding is",
            "to be as fast as memory: beside it stands the sum of two columns.",
            "",
            "    python benchmarks/uncertainty.py",
            "",
            *table,
            "",
        ]
        PAGE.write_text("\n".join(text), encoding="utf-8")
        print(f"written: {PAGE.name}")


if __name__ == "__main__":
    main()
