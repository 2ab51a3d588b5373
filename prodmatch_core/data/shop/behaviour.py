"""Sessions: what shoppers are shown, click, add and buy, under position bias, price and curiosity."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.data.shop.catalogue import Catalogue
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, generator, uniform
from prodmatch_core.data.shop.judgements import Candidates
from prodmatch_core.data.shop.queries import Queries

PAGE = 10
"Results a session shows."
STEPS = ("impression", "click", "add", "purchase")
EXAMINED = np.arange(1, PAGE + 1, dtype=np.float64) ** -0.7
"Chance that a shopper looks at a position at all."
ATTRACTS = np.array((0.55, 0.22, 0.20, 0.04))
"Chance that an examined product is clicked, by true label: curiosity clicks a device's cases too."
ADDED = np.array((0.30, 0.10, 0.12, 0.02))
"Chance that a clicked product is added to the cart, by true label."
BOUGHT = np.array((0.50, 0.35, 0.45, 0.20))
"Chance that an added product is bought, by true label."
_RANKED = np.array((2.0, 1.2, 1.0, 0.0))
_CHUNK = 4_000


@attrs.frozen(eq=False)
class Behaviour:
    """What the sessions of one part add up to."""

    counts: Ints
    "(candidates, steps) how often each candidate was shown, clicked, added and bought."
    positions: Ints
    "(page, steps + 1) the same by position; last column: how many of those shown were exact."
    viewed: Ints
    "(n, 2) products clicked in one session, smaller number first."


def attraction(catalogue: Catalogue, median_price: Floats, candidates: Candidates, seed: int) -> Floats:
    """Return (n,) the chance of a click once examined: true label, price and the product's appeal."""
    product = candidates.product
    ratio = catalogue.price[product] / median_price[catalogue.type[product].astype(np.int64)]
    appeal = 0.6 + 0.8 * uniform(seed, "appeal", product)
    return np.minimum(ATTRACTS[candidates.label] * appeal * np.clip(ratio, 0.25, 4) ** -0.35, 0.95)


def simulate_sessions(
    catalogue: Catalogue,
    queries: Queries,
    candidates: Candidates,
    attracts: Floats,
    config: ShopConfig,
    part: int,
) -> Behaviour:
    """Simulate the sessions of one part's queries: one session a judgement over the whole shop.

    Cold queries have no sessions; cold products are never shown.
    """
    rng = generator(config.seed, "sessions", part)
    warm = np.flatnonzero(~queries.cold[candidates.query] & ~catalogue.cold[candidates.product])
    counts = np.zeros((len(candidates.query), len(STEPS)), dtype=np.int64)
    positions = np.zeros((PAGE, len(STEPS) + 1), dtype=np.int64)
    viewed: list[Ints] = []
    if not len(warm):
        return Behaviour(counts, positions, np.zeros((0, 2), dtype=np.int64))
    numbers, first = np.unique(candidates.query[warm], return_index=True)
    place = np.arange(len(warm)) - np.repeat(first, np.diff([*first, len(warm)]))
    rows = np.full((len(numbers), max(PAGE, int(place.max()) + 1)), -1)
    rows[np.searchsorted(numbers, candidates.query[warm]), place] = warm
    score = np.full(rows.shape, -np.inf)
    popular = np.log(catalogue.popularity[candidates.product[warm]])
    score[rows >= 0] = _RANKED[candidates.label[warm]] + 0.4 * popular + rng.normal(0, 0.7, len(warm))
    sessions = np.repeat(np.arange(len(numbers)), rng.poisson(queries.frequency[numbers] * config.size))
    for start in range(0, len(sessions), _CHUNK):
        here = sessions[start : start + _CHUNK]
        noisy = score[here] + 0.5 * rng.standard_normal((len(here), rows.shape[1]))
        top = np.argpartition(-noisy, PAGE - 1, axis=1)[:, :PAGE]
        top = np.take_along_axis(
            top, np.argsort(-np.take_along_axis(noisy, top, 1), axis=1, kind="stable"), 1
        )
        shown = np.take_along_axis(rows[here], top, axis=1)
        there = shown >= 0
        label = candidates.label[shown]
        click = there & (rng.random(shown.shape) < EXAMINED * attracts[shown])
        add = click & (rng.random(shown.shape) < ADDED[label])
        buy = add & (rng.random(shown.shape) < BOUGHT[label])
        for step, mask in enumerate((there, click, add, buy)):
            counts[:, step] += np.bincount(shown[mask], minlength=len(counts))
            positions[:, step] += mask.sum(axis=0)
        positions[:, -1] += (there & (label == 0)).sum(axis=0)
        two = click & (click.cumsum(axis=1) <= 2)
        both = two.sum(axis=1) == 2
        viewed.append(candidates.product[shown[both][two[both]]].reshape(-1, 2))
    pairs = np.sort(np.concatenate(viewed), axis=1) if viewed else np.zeros((0, 2), dtype=np.int64)
    return Behaviour(counts, positions, pairs)
