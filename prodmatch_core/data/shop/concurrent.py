"""Work on several parts at once, results in order: the number of workers changes how soon, never what."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 4
"Each holds a part in memory; beyond a few, writing is what one waits for."


def in_order(
    work: Callable[[Item], Result], items: Iterator[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield `work(item)` for every item, in their order, with the next ones under way.

    At most `workers + 1` results are unfinished or wait to be fetched. NumPy and Polars let go of the
    interpreter while they work, so threads are enough.

    Args:
        work: a pure function.
        items: taken one by one, in the caller's thread.
        workers: threads; by default one for each processor this process may use, 4 at most.
    """
    workers = workers or min(MOST_WORKERS, _processors())
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the caller stopped, or a part failed
                future.cancel()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere a process may use all there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
