"""How long the command line takes to start, against the least it could: importing click and pluggy.

    python benchmarks/startup.py [--runs 15]

Candidates take turns, so that a machine that slows down slows all of them; seconds are of the processor. Writes
docs/explanation/benchmarks-startup.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-startup.md"
BASE = "import click, pluggy"
START = "import sys; from prodmatch_core.cli import main; sys.argv[0] = 'prodmatch'; main()"
CANDIDATES = {
    "python -c pass": ("pass",),
    BASE: (BASE,),
    "prodmatch --version": (START, "--version"),
    "prodmatch --help": (START, "--help"),
    "prodmatch plugins": (START, "plugins"),
    "prodmatch validate": (START, "validate", "absent.toml"),
}
WANTED = 3
"Times the least, at most, for `prodmatch --help` and `prodmatch plugins`."


def main() -> None:
    """Measure, print the page, and write it where the runs are the default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for turn in range(options.runs + 1):
        for name, (code, *arguments) in CANDIDATES.items():
            taken = spent(code, *arguments)
            if turn:  # the first turn fills the disk cache and writes byte code
                seconds[name].append(taken)
    text = page(seconds, options.runs)
    print(text)
    if options == parser.parse_args([]):
        PAGE.write_text(text, encoding="utf-8")


def spent(code: str, *arguments: str) -> float:
    """Return the processor seconds of a fresh interpreter."""
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    after = os.times()
    if "Traceback" in done.stderr:  # a candidate that crashes is fast
        sys.exit(f"{arguments or code}: {done.stderr}")
    return after.children_user + after.children_system - before.children_user - before.children_system


def page(seconds: dict[str, list[float]], runs: int) -> str:
    """Return the page as Markdown."""
    base = statistics.median(seconds[BASE])
    lines = [
        "# Starting the command line",
        "",
        f"A fresh interpreter, {runs} times in turn with the others; milliseconds of the processor",
        f"({platform.machine()}, Python {platform.python_version()}). Asked for is a ratio of at most {WANTED} for "
        "`prodmatch --help` and",
        "`prodmatch plugins`: listing and validating load nothing heavy.",
        "",
        "    python benchmarks/startup.py",
        "",
        "| | median ms | min | max | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, times in seconds.items():
        median = statistics.median(times)
        figures = " | ".join(f"{1e3 * value:.0f}" for value in (median, min(times), max(times)))
        lines.append(f"| `{name}` | {figures} | {median / base:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
