"""What is bought after what: device to accessory, starter to refill, rarely back; consumables both ways."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt

from prodmatch_core.data.shop.catalogue import NONE, Catalogue
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, distinct, generator
from prodmatch_core.data.shop.judgements import Postings
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, World

_TARGETS = 5
"Products of each accessory type that a device's buyers consider."
EDGES_A_PART = 500_000
"About how many edges are worked out at once, each of them seen from both of its ends."


Numbers = npt.NDArray[np.int32]
"Product numbers of millions of edges."


@attrs.frozen(eq=False)
class Flow:
    """Part of a directed graph of purchases with known truth: all edges that leave some sources.

    Edges are distinct and sorted by (source, target).
    """

    source: Ints
    target: Ints
    probability: Floats
    "True P(target next | source bought)."
    count: Ints
    "Purchases seen."


@attrs.frozen(eq=False)
class _Way:
    """Weighted edges in one direction, sorted by source."""

    source: Numbers
    target: Numbers
    weight: Floats
    share: float
    "Part of the weight that goes this way; the rest goes back."

    def back(self) -> _Way:
        """Return the same edges as they are seen from the target."""
        order = np.argsort(self.target, kind="stable")
        return _Way(self.target[order], self.source[order], self.weight[order], 1 - self.share)

    def leaving(self, first: int, end: int, products: int) -> tuple[Ints, Floats]:
        """Return keys (source * products + target) and weights of the edges that leave sources first..end-1."""
        here = slice(*np.searchsorted(self.source, np.array([first, end], dtype=np.int32)))
        return self.source[here].astype(np.int64) * products + self.target[here], self.share * self.weight[
            here
        ]


def flow_parts(
    world: World, catalogue: Catalogue, config: ShopConfig, edges_a_part: int = EDGES_A_PART
) -> Iterator[Flow]:
    """Draw the bought-next graph: about two purchases a judgement, sources weighted by popularity.

    Yields:
        The edges in order of their sources, some `edges_a_part` at a time. How they are cut changes nothing:
        what leaves a source is worked out at once, and purchases are drawn edge after edge.
    """
    rng = generator(config.seed, "bought-next")
    forward = _compatible(world, catalogue, rng)
    one_way = _weigh(catalogue, *forward, rng)
    partners = _partners(world, catalogue, rng)
    two_way = _weigh(catalogue, *partners, rng)
    one_way *= (1 - config.reciprocal) / max(one_way.sum(), 1e-12)
    two_way *= config.reciprocal / max(two_way.sum(), 1e-12)
    there, between = _Way(*forward, one_way, config.asymmetry), _Way(*partners, two_way, 0.5)
    ways = (there, there.back(), between, between.back())
    del forward, partners, one_way, two_way
    for first, end in _source_ranges(ways, len(catalogue), edges_a_part):
        parts = [way.leaving(first, end, len(catalogue)) for way in ways]
        keys, place = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
        weight = np.bincount(place, weights=np.concatenate([weight for _, weight in parts]))
        keys, weight = keys[weight > 0], weight[weight > 0]
        source = keys // len(catalogue)
        leaving = np.bincount(source - first, weights=weight, minlength=end - first)
        yield Flow(
            source,
            keys % len(catalogue),
            weight / leaving[source - first],
            rng.poisson(weight * 2 * config.size),
        )


def _source_ranges(ways: tuple[_Way, ...], products: int, edges_a_part: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of ranges of sources that together have some `edges_a_part` edges."""
    degree = np.zeros(products, dtype=np.int64)
    for way in ways:
        degree += np.bincount(way.source, minlength=products)
    part = np.cumsum(degree) // edges_a_part
    borders = np.concatenate([[0], np.flatnonzero(np.diff(part)) + 1, [products]])
    yield from itertools.pairwise(borders.tolist())


def _weigh(catalogue: Catalogue, source: Numbers, target: Numbers, rng: np.random.Generator) -> Floats:
    """Share each source's popularity among its targets, unevenly."""
    taste = np.sqrt(catalogue.popularity[target]) * rng.gamma(1.0, 1.0, len(target))
    leaving = np.bincount(source, weights=taste, minlength=len(catalogue))
    return catalogue.popularity[source] * taste / np.maximum(leaving[source], 1e-12)


def _compatible(world: World, catalogue: Catalogue, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Return distinct (device, accessory) edges; what fits is the truth, whether the text says it or not."""
    rows = np.flatnonzero(~catalogue.cold)
    t = catalogue.type[rows].astype(np.int64)
    size = catalogue.values[:, ATTRIBUTES.index("size")].astype(np.int64)
    by_type = Postings(t, rows)
    by_size = Postings(t * len(world.values) + size[rows], rows)
    fits = catalogue.fits[rows].astype(np.int64)
    fitted = np.concatenate([fits[:, 0], fits[:, 1]])
    by_model = Postings(
        np.where(fitted >= 0, fitted * len(world.types) + np.tile(t, 2), NONE), np.tile(rows, 2)
    )
    edges: list[Ints] = []
    for accessory, device in np.argwhere(world.fits > 0).tolist():
        start, length = by_type.ranges(np.array([device]))
        owners = by_type.products[start[0] : start[0] + length[0]]
        how = FITS[world.fits[accessory, device]]
        if how == "model":
            found = by_model.draw(
                catalogue.model[owners].astype(np.int64) * len(world.types) + accessory, _TARGETS, rng
            )
        elif how == "size":
            found = by_size.draw(accessory * len(world.values) + size[owners], _TARGETS, rng)
        else:
            found = by_type.draw(np.full(len(owners), accessory), _TARGETS, rng)
        edges.append(_keys(catalogue, owners, found))
    return _split(distinct(np.concatenate(edges)), catalogue)


def _partners(world: World, catalogue: Catalogue, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Return distinct pairs of consumables that are bought together."""
    rows = np.flatnonzero(~catalogue.cold)
    by_type = Postings(catalogue.type[rows].astype(np.int64), rows)
    edges: list[Ints] = []
    for one, other in np.argwhere(np.triu(world.pairs)).tolist():
        start, length = by_type.ranges(np.array([one]))
        owners = by_type.products[start[0] : start[0] + length[0]]
        edges.append(_keys(catalogue, owners, by_type.draw(np.full(len(owners), other), 3, rng)))
    return _split(distinct(np.concatenate(edges)), catalogue)


def _keys(catalogue: Catalogue, owners: Numbers, found: Ints) -> Ints:
    keys = owners.astype(np.int64)[:, None] * len(catalogue) + found
    return keys[found >= 0]


def _split(keys: Ints, catalogue: Catalogue) -> tuple[Numbers, Numbers]:
    return (keys // len(catalogue)).astype(np.int32), (keys % len(catalogue)).astype(np.int32)
