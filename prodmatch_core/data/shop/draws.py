"""Random numbers that depend on what they are for, never on the order or the thread they are drawn in."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def generator(seed: int, purpose: str, part: int = 0) -> np.random.Generator:
    """Return a generator of its own for one purpose and one part of the work."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), part)))
    )


def bits(seed: int, purpose: str, items: npt.NDArray[np.integer]) -> UInts:
    """Return 64 random bits for each item number: a pure function of (seed, purpose, item) (SplitMix64).

    Args:
        seed: of the shop.
        purpose: names the decision; different purposes are independent.
        items: (n,) item numbers.

    Returns:
        (n,) uint64.
    """
    key = _mix(np.array([seed % 2**64], dtype=np.uint64)) ^ np.uint64(zlib.crc32(purpose.encode()))
    return _mix((items.astype(np.uint64) + np.uint64(1)) * _STEP + _mix(key))


def uniform(seed: int, purpose: str, items: npt.NDArray[np.integer]) -> Floats:
    """Return a number in [0, 1) for each item number: a pure function of (seed, purpose, item)."""
    return (bits(seed, purpose, items) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choice(seed: int, purpose: str, items: npt.NDArray[np.integer], options: int) -> Ints:
    """Return one of `options` numbers 0.. for each item number."""
    return (uniform(seed, purpose, items) * options).astype(np.int64)


def _mix(state: UInts) -> UInts:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def distinct(keys: Ints) -> Ints:
    """Return the distinct keys, ascending: a sort, which for integers is faster than a hash table."""
    keys = np.sort(keys)
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def zipf_weights(count: int, exponent: float) -> Floats:
    """Return (count,) weights proportional to rank^-exponent, summing to 1."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()
