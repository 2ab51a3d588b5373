"""An order that looks random and follows from a seed and the numbers alone, for splits and for ties."""

from __future__ import annotations

import numpy as np


def scramble(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a well-mixed 64-bit number for each value, (n,) uint64; different values never share one.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, section 6): a bijection whose bits are as good as drawn.

    Args:
        values: (n,) int64.
        seed: another order for another seed.
    """
    with np.errstate(over="ignore"):
        mixed = np.asarray(values).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed + 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
