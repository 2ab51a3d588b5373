"""What is bought after what: device to accessory, starter to refill, rarely back; consumables both ways."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.data.shop.catalogue import NONE, Catalogue
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, generator
from prodmatch_core.data.shop.judgements import Postings
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, World

_TARGETS = 5
"Products of each accessory type that a device's buyers consider."


@attrs.frozen(eq=False)
class Flow:
    """A directed graph of purchases with known truth. Edges are distinct and sorted by (source, target)."""

    source: Ints
    target: Ints
    probability: Floats
    "True P(target next | source bought)."
    count: Ints
    "Purchases seen."


def make_flow(world: World, catalogue: Catalogue, config: ShopConfig) -> Flow:
    """Draw the bought-next graph: about two purchases a judgement, sources weighted by popularity."""
    rng = generator(config.seed, "bought-next")
    forward = _compatible(world, catalogue, rng)
    one_way = _weigh(catalogue, *forward, rng)
    partners = _partners(world, catalogue, rng)
    two_way = _weigh(catalogue, *partners, rng)
    one_way *= (1 - config.reciprocal) / max(one_way.sum(), 1e-12)
    two_way *= config.reciprocal / max(two_way.sum(), 1e-12)
    source = np.concatenate([forward[0], forward[1], partners[0], partners[1]])
    target = np.concatenate([forward[1], forward[0], partners[1], partners[0]])
    back = 1 - config.asymmetry
    weight = np.concatenate([config.asymmetry * one_way, back * one_way, two_way / 2, two_way / 2])
    keys, place = np.unique(source * len(catalogue) + target, return_inverse=True)
    weight = np.bincount(place, weights=weight)
    source, target = keys // len(catalogue), keys % len(catalogue)
    some = weight > 0
    source, target, weight = source[some], target[some], weight[some]
    leaving = np.bincount(source, weights=weight, minlength=len(catalogue))
    return Flow(source, target, weight / leaving[source], rng.poisson(weight * 2 * config.size))


def _weigh(catalogue: Catalogue, source: Ints, target: Ints, rng: np.random.Generator) -> Floats:
    """Share each source's popularity among its targets, unevenly."""
    taste = np.sqrt(catalogue.popularity[target]) * rng.gamma(1.0, 1.0, len(target))
    leaving = np.bincount(source, weights=taste, minlength=len(catalogue))
    return catalogue.popularity[source] * taste / np.maximum(leaving[source], 1e-12)


def _compatible(world: World, catalogue: Catalogue, rng: np.random.Generator) -> tuple[Ints, Ints]:
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
    return _split(np.unique(np.concatenate(edges)), catalogue)


def _partners(world: World, catalogue: Catalogue, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return distinct pairs of consumables that are bought together."""
    rows = np.flatnonzero(~catalogue.cold)
    by_type = Postings(catalogue.type[rows].astype(np.int64), rows)
    edges: list[Ints] = []
    for one, other in np.argwhere(np.triu(world.pairs)).tolist():
        start, length = by_type.ranges(np.array([one]))
        owners = by_type.products[start[0] : start[0] + length[0]]
        edges.append(_keys(catalogue, owners, by_type.draw(np.full(len(owners), other), 3, rng)))
    return _split(np.unique(np.concatenate(edges)), catalogue)


def _keys(catalogue: Catalogue, owners: Ints, found: Ints) -> Ints:
    keys = owners[:, None] * len(catalogue) + found
    return keys[found >= 0]


def _split(keys: Ints, catalogue: Catalogue) -> tuple[Ints, Ints]:
    return keys // len(catalogue), keys % len(catalogue)
