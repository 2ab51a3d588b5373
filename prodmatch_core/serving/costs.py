"""What a member's predictions cost: time per pair and memory, measured in a process that does nothing else.

    python -m prodmatch_core.serving.costs DRAFT MEMBER PAIRS

prints the figures of one member of a run directory as JSON; `measured_costs` calls it for each member.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.aggregator import Cost
from prodmatch_core.errors import RunError
from prodmatch_core.writing import write_json, write_parquet

FILE = "cost.json"
BATCH = 64
"Pairs of a batch that is timed, as many as a page or two of results hold."
BATCHES = 32
"Batches that are timed, after one that warms up."
PASSES, ENOUGH = 5, 5.0
"Passes over the batches at the most, and seconds after which no further one begins."


def measured_costs(run: Path, members: Sequence[str], pairs: pl.DataFrame) -> tuple[Cost, ...]:
    """Return what each member costs, measured where that has not been done, and kept beside it as cost.json.

    Args:
        run: a run directory, finished or in the making, whose members are fitted.
        members: their names.
        pairs: pairs as `Pipeline.predict` takes them; as many as BATCHES + 1 batches hold are used.

    Raises:
        RunError: a member cannot be loaded, or not predict, in a process of its own.
    """
    found = []
    for name in members:
        path = run / "members" / name / FILE
        if not path.exists():
            with tempfile.TemporaryDirectory() as folder:
                table = Path(folder) / "pairs.parquet"
                write_parquet(table, pairs.head(BATCH * (BATCHES + 1)))
                command = [sys.executable, "-m", "prodmatch_core.serving.costs", str(run), name, str(table)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
                raise RunError(
                    f"member {name}: its cost cannot be measured: {last}. Take the budget out of [aggregator], or "
                    "correct the member."
                )
            write_json(path, json.loads(done.stdout))
        found.append(Cost(**json.loads(path.read_text(encoding="utf-8"))))
    return tuple(found)


def measure(run: Path, name: str, pairs: pl.DataFrame) -> Cost:
    """Return what one member costs, measured in this process, which should have done nothing else before."""
    import torch

    from prodmatch_core.config import load_pipeline
    from prodmatch_core.data.corpus import frame_examples
    from prodmatch_core.rundir import Run
    from prodmatch_core.tasks.base import load_task
    from prodmatch_core.training.fitted import FittedMember

    pipeline, scheme = load_pipeline(run / "resolved.toml"), Run(run).scheme
    member = next(member for member in pipeline.member if member.name == name)
    member.encoder.spec.load()
    torch.zeros(8, 8).matmul(torch.zeros(8, 8))
    frame_examples(pairs.head(BATCH))  # what any member takes, whichever it is
    before = _resident()
    fitted = FittedMember.load(member, load_task("match"), scheme, run / "members" / name)
    # Of several passes a batch's quickest counts: what else the machine did in between is no cost of the member.
    passes = list[list[float]]()
    started = time.perf_counter()
    while not passes or (len(passes) < PASSES and time.perf_counter() - started < ENOUGH):
        passes.append([])
        for start in range(0, pairs.height, BATCH):
            part = pairs[start : start + BATCH]
            began = time.perf_counter()
            fitted.predict(*frame_examples(part))
            passes[-1].append((time.perf_counter() - began) / part.height)
    seconds = np.min(passes, axis=0)
    timed = (seconds[1:] if len(seconds) > 1 else seconds) * 1e3
    return Cost(
        float(np.percentile(timed, 50)), float(np.percentile(timed, 95)), max(_peak() - before, 0.0) / 2**20
    )


def _resident() -> float:
    """Return the bytes this process holds in memory; its greatest number so far where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return _peak()
    return 1024.0 * int(status.partition("VmRSS:")[2].split()[0])


def _peak() -> float:
    import resource

    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    _run, _name, _table = sys.argv[1:]
    print(json.dumps(attrs.asdict(measure(Path(_run), _name, pl.read_parquet(_table)))))
