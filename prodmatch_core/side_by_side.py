"""Members fitted side by side, each by a process of its own (`member_process`), as far as memory goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ProdmatchError
from prodmatch_core.progress import Reporter

PAUSE = 0.2
"Seconds between two looks at the processes."


@attrs.define(eq=False)
class _Child:
    """A process that fits a member."""

    name: str
    process: subprocess.Popen[str]
    peak: float = 0.0
    "Bytes it has held at the most."

    def look(self) -> None:
        """Note its memory."""
        self.peak = max(self.peak, _bytes(f"/proc/{self.process.pid}/status", "VmHWM:"))


def fit_side_by_side(
    out: Path, names: Sequence[str], context: ReadContext, jobs: int, reporter: Reporter
) -> dict[str, str]:
    """Fit members of an unfinished run, at most `jobs` at a time and no more than memory holds.

    A member is started beside others only while what is free would hold one more of the largest so far; so on a small
    machine they are fitted in turn.

    Args:
        out: the run directory that is being made; its draft holds resolved.toml.
        names: the members to fit.
        context: where data files are.
        jobs: processes at most.
        reporter: hears who begins and who has finished.

    Returns:
        Why a member could not be fitted, by name; the others are finished stages of the draft.
    """
    waiting, running = list(names), list[_Child]()
    failed: dict[str, str] = {}
    largest = _bytes("/proc/self/status", "VmHWM:")
    try:
        while waiting or running:
            if waiting and len(running) < jobs and _room(running, largest):
                name = waiting.pop(0)
                reporter.message(f"member {name}: begins, beside {len(running)} others")
                running.append(_Child(name, _started(out, name, context, jobs)))
            for child in running:
                child.look()
                largest = max(largest, child.peak)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                if reason := _failure(child.process):
                    failed[child.name] = reason
                reporter.message(f"member {child.name}: {'failed' if reason else 'finished'}")
            time.sleep(PAUSE)
    finally:
        for child in running:
            child.process.kill()
            child.process.wait()
    return failed


def _started(out: Path, name: str, context: ReadContext, jobs: int) -> subprocess.Popen[str]:
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return subprocess.Popen(
        [sys.executable, "-m", "prodmatch_core.member_process", out, name, context_text(context)],
        env={"OMP_NUM_THREADS": threads, **os.environ},
        stdin=subprocess.PIPE,  # closed by the system when this process ends, however it ends
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _failure(process: subprocess.Popen[str]) -> str:
    """Return why an ended process failed, "" where it did not."""
    assert process.stdout is not None and process.stdin is not None
    said = process.stdout.read()
    process.stdout.close()
    process.stdin.close()
    if not process.returncode:
        return ""
    if said.strip():
        return said.strip()
    how = f"signal {-process.returncode}" if process.returncode < 0 else f"code {process.returncode}"
    return f"its process was ended by {how}; out of memory, perhaps"


def _room(running: Sequence[_Child], largest: float) -> bool:
    """Return whether memory holds one more process, those that run grown to the largest so far."""
    free = _bytes("/proc/meminfo", "MemAvailable:")
    if not running or not free:  # alone a member is always tried; not every system says what is free
        return True
    growth = sum(largest - _bytes(f"/proc/{child.process.pid}/status", "VmRSS:") for child in running)
    return free - max(growth, 0.0) > largest


def _bytes(file: str, field: str) -> float:
    """Return a field of a file of Linux that is told in kB, in bytes; 0 where there is none."""
    try:
        found = Path(file).read_text(encoding="ascii").partition(field)[2].split()
    except OSError:  # another system, or the process has just ended
        return 0.0
    return 1024.0 * int(found[0]) if found else 0.0


def context_text(context: ReadContext) -> str:
    """Return how data is read, as the word of a command line."""
    plain: Mapping[str, Any] = {
        "root": None if context.root is None else str(context.root.resolve()),
        "base": str(context.base.resolve()),
        "skip_bad_rows": context.skip_bad_rows,
    }
    return json.dumps(plain)


def context_of(text: str) -> ReadContext:
    """Return what `context_text` wrote."""
    plain = json.loads(text)
    root = None if plain["root"] is None else Path(plain["root"])
    return ReadContext(root=root, base=Path(plain["base"]), skip_bad_rows=plain["skip_bad_rows"])


def reason_of(error: BaseException) -> str:
    """Return in one line why something failed."""
    return str(error) if isinstance(error, ProdmatchError) else f"{type(error).__name__}: {error}"
