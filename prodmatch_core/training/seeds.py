"""Random numbers by purpose: every consumer gets its own stream, derived from the run's seed and a name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator for one purpose: the same seed and purpose give the same numbers, others unrelated ones."""
    words = [item if isinstance(item, int) else zlib.crc32(item.encode()) for item in purpose]
    return np.random.default_rng([seed, *words])


@contextmanager
def torch_seed(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's generators for initial weights and dropout, and put their state back afterwards."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(rng(seed, *purpose).integers(2**63)))
        yield
