"""Several processes on one job: who writes, and how the others follow. Alone, everything here does nothing."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def count() -> int:
    """Return how many processes `torchrun` or `accelerate launch` started for this job; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return whether this process is the one that writes and speaks."""
    return count() == 1 or int(os.environ.get("RANK", "0")) == 0


def agreed(value: T) -> T:
    """Return the main process's `value` in every process; a plain value, because it is sent as such."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _join()
    return broadcast_object_list([value])[0]


def wait() -> None:
    """Wait until every process has come here."""
    if count() > 1:
        from accelerate import PartialState

        _join()
        PartialState().wait_for_everyone()


def _join() -> None:
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())
