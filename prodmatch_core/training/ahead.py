"""Work done ahead of whoever asks for it, by threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(items: Iterable[T], work: Callable[[int, T], U], threads: int) -> Iterator[U]:
    """Yield `work(number, item)` of every item, in order.

    Args:
        items: read by the caller's thread alone, at most `threads` further than what was yielded.
        work: of an item's number, from 0, and the item. It must release the interpreter lock to gain anything.
        threads: how many items are worked on at once; 0: each when it is asked for, in the caller's thread.
    """
    if not threads:
        for number, item in enumerate(items):
            yield work(number, item)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[U]] = deque()
        try:
            for number, item in enumerate(items):
                waiting.append(pool.submit(work, number, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
