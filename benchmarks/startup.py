"""How long the command line takes to start, against the least it could: importing click and pluggy.

    python benchmarks/startup.py [--runs 15]

Candidates take turns, so that a machine that slows down slows all of them. The aim is a ratio of at most 3
for `prodmatch --help` and `prodmatch plugins`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BASE = "import click, pluggy"
START = "import sys; from prodmatch_core.cli import main; sys.argv[0] = 'prodmatch'; main()"
CANDIDATES = {
    "pass": ("pass",),
    BASE: (BASE,),
    "prodmatch --version": (START, "--version"),
    "prodmatch --help": (START, "--help"),
    "prodmatch plugins": (START, "plugins"),
    "prodmatch validate": (START, "validate", "absent.toml"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for turn in range(runs + 1):
        for name, (code, *arguments) in CANDIDATES.items():
            started = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
            if "Traceback" in done.stderr:  # a candidate that crashes is fast
                sys.exit(f"{name}: {done.stderr}")
            if turn:  # the first turn fills the disk cache and writes byte code
                seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds[BASE])
    print(f"{'candidate':<24}{'median ms':>10}{'min ms':>10}{'max ms':>10}{'ratio':>8}")
    for name, times in seconds.items():
        median = statistics.median(times)
        figures = "".join(f"{1e3 * value:>10.1f}" for value in (median, min(times), max(times)))
        print(f"{name:<24}{figures}{median / base:>8.2f}")


if __name__ == "__main__":
    main()
