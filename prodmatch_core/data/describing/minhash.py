"""Texts that nearly repeat another: MinHash signatures in bands, every candidate checked exactly.

Two texts are near when the Jaccard similarity of their sets of character trigrams reaches a threshold. A
trigram of Unicode characters fits 63 bits, so the sets are compared as they are, not by hash. Candidates come
from locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998): texts that agree in every row of one
band of their MinHash signatures. Memory is linear in the characters; no list of pairs is ever kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import attrs
import numba
import numpy as np
import numpy.typing as npt
import polars as pl

HASHES = 128
"Length of a signature: what is compared of it is `bands(similarity)` bands."
RECALL = 0.99
"Chance that a pair just at the threshold becomes a candidate, at least."
WINDOW = 32
"Followers in a band that a text is compared with; more than that share a band only where texts are templates."
_CHUNK = 2_000_000  # characters worked on at a time

Codes = npt.NDArray[np.uint32]
Grams = npt.NDArray[np.uint64]


def bands(similarity: float) -> tuple[int, int]:
    """Return (bands, rows a band): the longest bands that find a pair at the threshold with `RECALL`."""
    for rows in range(HASHES, 1, -1):
        if 1 - (1 - similarity**rows) ** (HASHES // rows) >= RECALL:
            return HASHES // rows, rows
    return HASHES, 1


@attrs.frozen(eq=False)
class Neighbours:
    """What was found of each of n texts."""

    near: npt.NDArray[np.bool_]
    "(n,) whether another text is near."
    around: npt.NDArray[np.uint8]
    "(n,) union of the marks of the texts that are near."
    partner: npt.NDArray[np.int64]
    "(n,) the nearest of those compared, -1 where there is none."
    similarity: npt.NDArray[np.float64]
    "(n,) Jaccard similarity to the partner, exact."


def near_neighbours(
    texts: pl.Series, marks: npt.NDArray[np.uint8], similarity: float, generator: np.random.Generator
) -> Neighbours:
    """Find which of different texts have a near one, and what marks those carry.

    Args:
        texts: n different normalised texts without nulls.
        marks: (n,) uint8 bit sets, e.g. the splits a text is in.
        similarity: Jaccard threshold above 0 and at most 1.
        generator: of the hash functions.
    """
    count = len(texts)
    found = Neighbours(
        near=np.zeros(count, dtype=np.bool_),
        around=np.zeros(count, dtype=np.uint8),
        partner=np.full(count, -1, dtype=np.int64),
        similarity=np.zeros(count),
    )
    how_many, rows = bands(similarity)
    factors, shifts = _hash_functions(generator, how_many * rows)
    grams, starts, keys = [], [np.zeros(1, dtype=np.int64)], []
    total = 0
    for first, last in _chunks(texts):
        some, ends = trigrams(texts[first:last])
        grams.append(some)
        keys.append(_band_keys(some, ends, factors, shifts, how_many))
        starts.append(ends[1:] + total)
        total += len(some)
    if count < 2:
        return found
    all_grams, all_starts, all_keys = np.concatenate(grams), np.concatenate(starts), np.concatenate(keys)
    for band in range(how_many):
        # Ties of a band are put in the order of the next, so that the window holds the likeliest first.
        order = np.lexsort((all_keys[:, (band + 1) % how_many], all_keys[:, band]))
        _compare(
            order,
            all_keys[order, band],
            all_grams,
            all_starts,
            marks,
            similarity,
            found.near,
            found.around,
            found.partner,
            found.similarity,
        )
    return found


def sample(texts: pl.Series, share: float, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which texts a sample of `share` keeps, rounded down; near texts mostly stay together.

    Texts are taken in the order of their least trigram under one hash function, which two texts have in common
    with a chance equal to their Jaccard similarity: of a text kept, a near one is kept more often than not,
    where a sample of single texts would tear most pairs apart.
    """
    key = np.uint64(generator.integers(1 << 63))
    kept = np.zeros(len(texts), dtype=np.bool_)
    least = [_least(*trigrams(texts[first:last]), key) for first, last in _chunks(texts)]
    if least:
        kept[np.argsort(np.concatenate(least), kind="stable")[: int(share * len(texts))]] = True
    return kept


def trigrams(texts: pl.Series) -> tuple[Grams, npt.NDArray[np.int64]]:
    """Return the sorted distinct trigrams of each text, one after the other, and where each text starts.

    A text is read with a blank on either side, so that one character makes a trigram and ends count.

    Returns:
        uint64 trigrams, three code points of 21 bits each, and int64 borders of length n + 1.
    """
    joined = "".join(f" {text} " for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = np.cumsum(texts.str.len_chars().to_numpy().astype(np.int64) + 2)
    grams: tuple[Grams, npt.NDArray[np.int64]] = _trigrams(codes, ends)
    return grams


def _chunks(texts: pl.Series) -> list[tuple[int, int]]:
    part = texts.str.len_chars().cast(pl.Int64).cum_sum().to_numpy() // _CHUNK
    borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)]
    return [(a, b) for a, b in itertools.pairwise(borders) if b > a]


def _hash_functions(generator: np.random.Generator, count: int) -> tuple[Codes, Codes]:
    factors = generator.integers(1 << 32, size=count, dtype=np.uint32) | np.uint32(1)
    return factors, generator.integers(1 << 32, size=count, dtype=np.uint32)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel and keep it for the next process, or only for this one where nothing can be written."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(function)


@_compiled
def _mix(state: Any) -> Any:  # SplitMix64
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@_compiled
def _trigrams(codes: Any, ends: Any) -> Any:
    grams = np.empty(len(codes), dtype=np.uint64)
    starts = np.zeros(len(ends) + 1, dtype=np.int64)
    first, written = 0, 0
    for text in range(len(ends)):
        count = max(ends[text] - first - 2, 0)
        own = np.empty(count, dtype=np.uint64)
        for i in range(count):
            at = first + i
            own[i] = (
                (np.uint64(codes[at]) << np.uint64(42))
                | (np.uint64(codes[at + 1]) << np.uint64(21))
                | np.uint64(codes[at + 2])
            )
        own.sort()
        for i in range(count):
            if i == 0 or own[i] != own[i - 1]:
                grams[written] = own[i]
                written += 1
        starts[text + 1] = written
        first = ends[text]
    return grams[:written].copy(), starts


@_compiled
def _band_keys(grams: Any, starts: Any, factors: Any, shifts: Any, bands: int) -> Any:
    hashes = len(factors)
    rows = hashes // bands
    keys = np.empty((len(starts) - 1, bands), dtype=np.uint64)
    least = np.empty(hashes, dtype=np.uint32)
    for text in range(len(starts) - 1):
        least[:] = np.uint32(0xFFFFFFFF)
        for i in range(starts[text], starts[text + 1]):
            mixed = np.uint32(_mix(grams[i]) >> np.uint64(32))
            for k in range(hashes):
                value = np.uint32((mixed ^ shifts[k]) * factors[k])
                least[k] = min(value, least[k])
        for band in range(bands):
            key = np.uint64(band)
            for k in range(band * rows, (band + 1) * rows):
                key = _mix(key ^ np.uint64(least[k]))
            keys[text, band] = key
    return keys


@_compiled
def _least(grams: Any, starts: Any, key: Any) -> Any:
    least = np.empty(len(starts) - 1, dtype=np.uint64)
    for text in range(len(starts) - 1):
        best = np.uint64(0xFFFFFFFFFFFFFFFF)
        for i in range(starts[text], starts[text + 1]):
            best = min(best, _mix(grams[i] ^ key))
        least[text] = _mix(best)  # the least of many is small: mixed again, it is uniform
    return least


@_compiled
def _jaccard(grams: Any, a: int, a_end: int, b: int, b_end: int, similarity: float) -> float:
    """Return the Jaccard similarity of two sorted sets, 0.0 as soon as it cannot reach the threshold."""
    both, one, other = 0, a_end - a, b_end - b
    # similarity <= both / (one + other - both); the slack keeps rounding from losing a pair at the border.
    needed = similarity / (1 + similarity) * (one + other) - 1e-9
    while a < a_end and b < b_end:
        if both + min(a_end - a, b_end - b) < needed:
            return 0.0
        if grams[a] == grams[b]:
            both += 1
            a += 1
            b += 1
        elif grams[a] < grams[b]:
            a += 1
        else:
            b += 1
    return both / (one + other - both) if both >= needed else 0.0


@_compiled
def _compare(
    order: Any,
    keys: Any,
    grams: Any,
    starts: Any,
    marks: Any,
    similarity: float,
    near: Any,
    around: Any,
    partner: Any,
    best: Any,
) -> None:
    for i in range(len(order)):
        p = order[i]
        for j in range(i + 1, min(i + 1 + WINDOW, len(order))):
            if keys[j] != keys[i]:
                break
            q = order[j]
            new_p, new_q = around[p] | marks[q], around[q] | marks[p]
            if near[p] and near[q] and new_p == around[p] and new_q == around[q]:
                continue  # nothing this pair could add
            found = _jaccard(grams, starts[p], starts[p + 1], starts[q], starts[q + 1], similarity)
            if found > 0.0:
                near[p] = near[q] = True
                around[p], around[q] = new_p, new_q
                if found > best[p]:
                    best[p], partner[p] = found, q
                if found > best[q]:
                    best[q], partner[q] = found, p


def recall(similarity: float) -> float:
    """Return the chance that a pair of this similarity becomes a candidate at this threshold."""
    how_many, rows = bands(similarity)
    return 1 - math.pow(1 - similarity**rows, how_many)
