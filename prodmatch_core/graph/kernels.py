"""The native sampler: neighbours of a layer's nodes without replacement, numbered in the same pass.

Compiled by numba and free of the interpreter lock. Random numbers are SplitMix64 (Steele, Lea and Flood, OOPSLA 2014,
figure 19), one stream a call, so that a batch depends on its own seed and on no thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

FEW = 64
"Neighbours up to which repetitions are looked for one by one; beyond, a node's edges are passed over once."
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)


@njit(nogil=True, cache=True, inline="always")
def _next(state: np.ndarray) -> Any:
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * _ONE
    z = (z ^ (z >> np.uint64(27))) * _TWO
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def one_of_many(seed: Any, number: int) -> Any:
    """Return the state of stream `number` of a seed, uint64: streams do not follow one another."""
    state = np.empty(1, dtype=np.uint64)
    state[0] = seed + np.uint64(number) * _GOLDEN
    return _next(state)


@njit(nogil=True, cache=True, inline="always")
def below(state: np.ndarray, count: int) -> Any:
    """Return a whole number from 0 to count - 1, for counts below 2**32."""
    return np.int64(((_next(state) >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@njit(nogil=True, cache=True, inline="always")
def unit(state: np.ndarray) -> float:
    """Return a number above 0 and at most 1."""
    return (np.float64(_next(state) >> np.uint64(11)) + 1.0) * (1.0 / 9007199254740992.0)


@njit(nogil=True, cache=True)
def _first_at_least(values: np.ndarray, wanted: int) -> int:
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True, inline="always")
def _allowed(number: int, first: int, exclude: np.ndarray, low: int, high: int) -> int:
    """Return the position of a node's allowed edge number `number`, counted as if the excluded ones were not there."""
    position = first + number
    for i in range(low, high):
        if exclude[i] > position:
            break
        position += 1
    return position


@njit(nogil=True, cache=True)
def _uniform(
    state: np.ndarray,
    first: int,
    count: int,
    take: int,
    exclude: np.ndarray,
    low: int,
    high: int,
    out: np.ndarray,
) -> None:
    """Write `take` of `count` allowed edges to `out`, every subset being equally likely."""
    if take == count:
        for i in range(count):
            out[i] = _allowed(i, first, exclude, low, high)
    elif take <= FEW:
        # Floyd's algorithm (Bentley and Floyd, CACM 30(9), 1987).
        for step in range(take):
            top = count - take + step
            drawn = below(state, top + 1)
            for i in range(step):
                if out[i] == drawn:
                    drawn = top
                    break
            out[step] = drawn
        if high > low:
            for i in range(take):
                out[i] = _allowed(out[i], first, exclude, low, high)
        else:
            for i in range(take):
                out[i] += first
    else:
        # Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S.
        done = 0
        for number in range(count):
            if below(state, count - number) < take - done:
                out[done] = _allowed(number, first, exclude, low, high)
                done += 1


@njit(nogil=True, cache=True)
def _weighted(
    state: np.ndarray,
    first: int,
    end: int,
    take: int,
    cumulative: np.ndarray,
    exclude: np.ndarray,
    low: int,
    high: int,
    out: np.ndarray,
) -> None:
    """Write `take` edges of a node to `out`, one after the other by weight among those that are left.

    Drawing by weight and dropping what was drawn before does that; where it would take long, exponential keys do
    (Efraimidis and Spirakis, Information Processing Letters 97(5), 2006).
    """
    total = cumulative[end - 1]
    done = 0
    tries = 4 * take + 16
    while done < take and tries > 0:
        tries -= 1
        wanted = (1.0 - unit(state)) * total
        left, right = first, end - 1
        while left < right:
            middle = (left + right) // 2
            if cumulative[middle] <= wanted:
                left = middle + 1
            else:
                right = middle
        again = False
        for i in range(done):
            if out[i] == left:
                again = True
                break
        if not again and high > low:
            place = _first_at_least(exclude[low:high], left)
            again = place < high - low and exclude[low + place] == left
        if not again:
            out[done] = left
            done += 1
    if done == take:
        return
    keys = np.full(take - done, np.inf)
    held = np.full(take - done, -1, dtype=np.int64)
    skip = low
    for edge in range(first, end):
        while skip < high and exclude[skip] < edge:
            skip += 1
        if skip < high and exclude[skip] == edge:
            continue
        taken = False
        for i in range(done):
            if out[i] == edge:
                taken = True
                break
        weight = cumulative[edge] - (cumulative[edge - 1] if edge > first else 0.0)
        if taken or weight <= 0.0:
            continue
        key = -math.log(unit(state)) / weight
        worst = int(np.argmax(keys))
        if key < keys[worst]:
            keys[worst], held[worst] = key, edge
    for i in range(len(held)):
        out[done + i] = held[i]


@njit(nogil=True, cache=True)
def sample_layer(
    offsets: np.ndarray,
    targets: np.ndarray,
    cumulative: np.ndarray,
    limits: np.ndarray,
    nodes: np.ndarray,
    exclude: np.ndarray,
    place: np.ndarray,
    state: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw neighbours of `nodes` and number those that are new behind them.

    Args:
        offsets, targets: the graph.
        cumulative: (edges,) float64 running sums of each node's edge weights, or nothing for equal chances.
        limits: (nodes of the graph,) or (1,) int64, the most neighbours of each node, or of all.
        nodes: (n,) int64 the layer's seeds.
        exclude: (m,) int64 ascending positions of edges that are not there.
        place: (nodes of the graph,) int32 position of each node among `nodes`, -1 elsewhere; new nodes are entered.
        state: (1,) uint64 state of the random numbers.

    Returns:
        The inputs (seeds first), and each drawn edge's source, target and position; all int64.
    """
    most = 0
    for node in nodes:
        limit = limits[node] if len(limits) > 1 else limits[0]
        most += min(offsets[node + 1] - offsets[node], limit)
    source, target = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    edge = np.empty(most, dtype=np.int64)
    inputs = np.empty(len(nodes) + most, dtype=np.int64)
    inputs[: len(nodes)] = nodes
    count, edges = len(nodes), 0
    for number in range(len(nodes)):
        node = nodes[number]
        first, end = offsets[node], offsets[node + 1]
        low = high = 0
        if len(exclude):
            low, high = _first_at_least(exclude, first), _first_at_least(exclude, end)
        there = end - first - (high - low)
        take = min(there, limits[node] if len(limits) > 1 else limits[0])
        if take <= 0:
            continue
        chosen = edge[edges : edges + take]
        if len(cumulative) and take < there:
            _weighted(state, first, end, take, cumulative, exclude, low, high, chosen)
        else:
            _uniform(state, first, there, take, exclude, low, high, chosen)
        target[edges : edges + take] = number
        edges += take
    kept = 0
    for i in range(edges):
        if edge[i] >= 0:  # a node may have fewer edges with a weight than were to be taken
            edge[kept], target[kept] = edge[i], target[i]
            kept += 1
    # Reads from far apart stand in loops of their own: a processor then waits for many of them at once.
    for i in range(kept):
        source[i] = targets[edge[i]]
    for i in range(kept):
        sender = source[i]
        position = place[sender]
        if position < 0:
            position = count
            place[sender] = position
            inputs[count] = sender
            count += 1
        source[i] = position
    return inputs[:count].copy(), source[:kept], target[:kept], edge[:kept]


@njit(nogil=True, cache=True)
def enter(place: np.ndarray, nodes: np.ndarray) -> int:
    """Enter the position of each node; return the first node that is there twice, or -1."""
    for number in range(len(nodes)):
        if place[nodes[number]] >= 0:
            return nodes[number]
        place[nodes[number]] = number
    return -1


@njit(nogil=True, cache=True)
def forget(place: np.ndarray, nodes: np.ndarray) -> None:
    """Take the positions of nodes out again."""
    for node in nodes:
        place[node] = -1


@njit(nogil=True, cache=True)
def running_sums(offsets: np.ndarray, weights: np.ndarray, power: float) -> np.ndarray:
    """Return the running sums of `weights ** power` within each node, (edges,) float64."""
    sums = np.empty(len(weights), dtype=np.float64)
    for node in range(len(offsets) - 1):
        total = 0.0
        for edge in range(offsets[node], offsets[node + 1]):
            total += weights[edge] ** power
            sums[edge] = total
    return sums


@njit(nogil=True, cache=True)
def sort_edges(source: np.ndarray, target: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets and the order of edges by source, then target; two counting sorts, so time is linear."""
    by_target = _counted(target, np.arange(len(target)), nodes)[1]
    return _counted(source, by_target, nodes)


@njit(nogil=True, cache=True)
def _counted(keys: np.ndarray, order: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(count + 1, dtype=np.int64)
    for key in keys:
        offsets[key + 1] += 1
    for i in range(count):
        offsets[i + 1] += offsets[i]
    place, sorted_ = offsets[:-1].copy(), np.empty(len(keys), dtype=np.int64)
    for i in order:
        sorted_[place[keys[i]]] = i
        place[keys[i]] += 1
    return offsets, sorted_
