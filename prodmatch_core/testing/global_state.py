"""The random state of the process, which no part may read or change. Only this module touches it, to see who does."""
# ruff: noqa: NPY002

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed the process's generators of `random`, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def states() -> dict[str, Any]:
    """Return the state of each library's generator, comparable by `==`."""
    numpy: Any = np.random.get_state()
    return {
        "random": random.getstate(),
        "NumPy": (numpy[1].tobytes(), *numpy[2:]),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@contextmanager
def restored() -> Iterator[None]:
    """Put the states back as they were."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
