"""Judgements: which products raters see, the rule's label, the raters' noise and their spread."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from prodmatch_core.data.shop.catalogue import NONE, SMALL_SHOP, Catalogue, sold_in
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, distinct, generator
from prodmatch_core.data.shop.labels import (
    CAUSES,
    COMPLEMENT,
    EXACT,
    IRRELEVANT,
    SUBSTITUTE,
    Wants,
    label_pairs,
)
from prodmatch_core.data.shop.queries import Queries
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, World

SHARES = (0.65, 0.22, 0.03, 0.10)
"Shares of exact, substitute, complement, irrelevant among recorded labels, as in ESCI."
MISTAKES = np.array(
    [
        [0.0, 0.80, 0.03, 0.17],
        [0.72, 0.0, 0.04, 0.24],
        [0.25, 0.30, 0.0, 0.45],
        [0.35, 0.50, 0.15, 0.0],
    ]
)
"Row: true label; columns: what a mistaken rater records instead."
RATERS = 5
_CLOSE = frozenset(
    {"sibling_model", "older_model", "wrong_color", "wrong_count", "missing_feature", "goes_together"}
)
_OBVIOUS = frozenset({"unrelated", "same_department"})
_MOST = 48
"Most judgements a query may have."


@attrs.frozen(eq=False)
class Candidates:
    """Products near a query, with their true label: what raters and shoppers may see."""

    query: Ints
    "Query number, ascending."
    product: Ints
    label: npt.NDArray[np.int8]
    cause: npt.NDArray[np.int8]

    def take(self, rows: npt.NDArray[np.integer]) -> Candidates:
        """Return the given rows."""
        return Candidates(self.query[rows], self.product[rows], self.label[rows], self.cause[rows])


class Postings:
    """Products by key, for drawing from all that share one: an inverted index over integers.

    A negative key is none. Keys and products are kept in 32 bits: a dozen indices over a catalogue of millions
    are most of what generation holds in memory.
    """

    def __init__(self, keys: Ints, products: Ints) -> None:
        there = np.flatnonzero(keys >= 0)
        keys = keys[there].astype(np.int32)
        order = np.argsort(keys, kind="stable")
        self.keys, self.products = keys[order], products[there[order]].astype(np.int32)

    def ranges(self, keys: Ints) -> tuple[Ints, Ints]:
        """Return start and length of each key's products; length 0 where the key is negative or unknown."""
        keys = keys.astype(np.int32)  # of one type with the index, or numpy would convert all of it
        start = np.searchsorted(self.keys, keys, side="left")
        length = np.searchsorted(self.keys, keys, side="right") - start
        return start, np.where(keys < 0, 0, length)

    def draw(self, keys: Ints, count: int, rng: np.random.Generator) -> Ints:
        """Draw `count` products for each key, spread over its list: (n, count), -1 where the key has none."""
        start, length = self.ranges(keys)
        offsets = (np.arange(count) + rng.random((len(keys), count))) / count
        place = start[:, None] + ((offsets + rng.random((len(keys), 1))) % 1.0 * length[:, None]).astype(
            np.int64
        )
        if not len(self.products):
            return np.full(place.shape, NONE)
        place = np.minimum(place, len(self.products) - 1)
        return np.where(length[:, None] > 0, self.products[place], NONE).astype(np.int64)


class Shelves:
    """The inverted indices of one locale's products that candidates are drawn from."""

    def __init__(self, world: World, catalogue: Catalogue, locale: int) -> None:
        self.world, self.catalogue = world, catalogue
        rows = sold_in(catalogue, locale)
        t = catalogue.type[rows].astype(np.int64)
        brand = catalogue.brand[rows].astype(np.int64)
        model = catalogue.model[rows].astype(np.int64)
        fits = catalogue.fits[rows].astype(np.int64)
        self.all = rows
        self.type = Postings(t, rows)
        self.brand = Postings(brand, rows)
        self.need = Postings(world.need_of[t], rows)
        self.brand_type = Postings(t * len(world.brands) + brand, rows)
        self.model = Postings(model, rows)
        line = np.where(model >= 0, catalogue.models.line[model], NONE)
        self.line = Postings(line, rows)
        self.values = []
        for a in range(len(ATTRIBUTES)):
            value = catalogue.values[rows, a].astype(np.int64)
            self.values.append(Postings(np.where(value >= 0, t * len(world.values) + value, NONE), rows))
        both = np.concatenate([fits[:, 0], fits[:, 1]])
        twice = np.concatenate([rows, rows])
        self.fits = Postings(both, twice)
        self.fits_type = Postings(np.where(both >= 0, both * len(world.types) + np.tile(t, 2), NONE), twice)
        top = rows[np.argsort(-catalogue.popularity[rows], kind="stable")[: max(50, len(rows) // 50)]]
        self.popular = Postings(world.department_of[catalogue.type[top].astype(np.int64)], top)
        self.accessories = _neighbours(world.fits.T > 0)
        self.devices = _neighbours(world.fits > 0)
        self.partners = _neighbours(world.pairs)
        self.lookalikes = _neighbours(world.lookalikes)
        same_need = world.need_of[:, None] == world.need_of[None, :]
        np.fill_diagonal(same_need, False)
        self.substitutes = _neighbours(same_need)

    def draw(self, wants: Wants, rng: np.random.Generator) -> Ints:
        """Draw (n, about 90) candidate products for each query; repeats and -1 are possible."""
        t = wants.type.astype(np.int64)
        types, brands = len(self.world.types), len(self.world.brands)
        brand = wants.brand.astype(np.int64)
        model = wants.model.astype(np.int64)
        fits = wants.fits_model.astype(np.int64)
        models = self.catalogue.models

        def of(table: Ints, count: int) -> Ints:
            """Draw products of types related to the wanted one."""
            related = table[t]
            column = rng.integers(0, np.maximum((related >= 0).sum(axis=1), 1)[:, None], (len(t), 3))
            chosen = np.take_along_axis(related, column, axis=1)
            return np.column_stack([self.type.draw(chosen[:, i], count, rng) for i in range(3)])

        seek_line = np.where(model >= 0, model, fits)
        line = np.where(seek_line >= 0, models.line[seek_line], NONE)
        need_key = np.where(wants.need >= 0, wants.need.astype(np.int64), NONE)
        return np.column_stack(
            [
                self._matching(wants, rng),
                self.need.draw(need_key, 32, rng),
                self.model.draw(model, 16, rng),
                self.brand_type.draw(np.where(brand >= 0, t * brands + brand, NONE), 12, rng),
                self.brand.draw(np.where(wants.kind == 5, brand, NONE), 30, rng),
                self.fits_type.draw(np.where(fits >= 0, fits * types + t, NONE), 24, rng),
                self.type.draw(t, 16, rng),
                self.line.draw(line, 6, rng),
                self.fits.draw(np.where(model >= 0, model, fits), 4, rng),
                self.model.draw(fits, 3, rng),
                of(self.substitutes, 3),
                of(self.accessories, 2),
                of(self.devices, 1),
                of(self.partners, 1),
                of(self.lookalikes, 1),
                self.popular.draw(self.world.department_of[t], 4, rng),
                self.all[rng.integers(0, len(self.all), (len(t), 3))],
            ]
        )

    def _matching(self, wants: Wants, rng: np.random.Generator) -> Ints:
        """Draw products of the wanted type that meet the rarest wanted attribute."""
        t = wants.type.astype(np.int64)
        best_length = np.full(len(t), np.iinfo(np.int64).max)
        best = np.full((len(t), 40), NONE)
        for a, postings in enumerate(self.values):
            value = wants.values[:, a].astype(np.int64)
            keys = np.where(value >= 0, t * len(self.world.values) + value, NONE)
            _, length = postings.ranges(keys)
            better = (length > 0) & (length < best_length)
            best[better] = postings.draw(keys[better], 40, rng)
            best_length[better] = length[better]
        free = best_length == np.iinfo(np.int64).max
        best[free] = self.type.draw(t[free], 40, rng)
        return best


def _neighbours(relation: np.ndarray) -> Ints:
    """Return (types, widest) the related types of each type, first the related ones, then -1."""
    width = max(1, int(relation.sum(axis=1).max()))
    order = np.argsort(~relation, axis=1, kind="stable")[:, :width]
    return np.where(np.take_along_axis(relation, order, axis=1), order, NONE)


def find_candidates(
    world: World,
    catalogue: Catalogue,
    shelves: Shelves,
    queries: Queries,
    numbers: Ints,
    config: ShopConfig,
    part: int,
) -> Candidates:
    """Search candidates for some queries of one locale and label them by the rule."""
    rng = generator(config.seed, "candidates", part)
    wants = queries.wants.take(numbers)
    found = shelves.draw(wants, rng)
    query = np.repeat(np.arange(len(numbers)), found.shape[1])
    product = found.ravel()
    keys = distinct((query * len(catalogue) + product)[product >= 0])
    query, product = keys // len(catalogue), keys % len(catalogue)
    seen = (queries.split[numbers[query]] != 0) | ~catalogue.cold[product]
    query, product = query[seen], product[seen]
    label, cause = label_pairs(world, catalogue, wants.take(query), product)
    return Candidates(numbers[query], product, label, cause)


def choose_judged(candidates: Candidates, count: int, config: ShopConfig, part: int) -> Ints:
    """Choose which candidates are judged, so that labels come in the target shares: (count,) rows, ascending.

    A query has 48 judgements at most. Where a label has too few candidates, exact and substitute ones, then any
    others, take its place.
    """
    rng = generator(config.seed, "judged", part)
    shuffled = rng.permutation(len(candidates.query))
    pooled = _place_within(candidates.query[shuffled]) < _MOST
    order, beyond = shuffled[pooled], shuffled[~pooled]
    quota = np.floor(true_shares(config.rater_noise) * count + rng.random()).astype(np.int64)
    quota[EXACT] += count - quota.sum()
    label = candidates.label[order]
    rows = np.concatenate([order[label == number][: quota[number]] for number in range(4)])
    lacking = int(quota[EXACT] - (candidates.label[rows] == EXACT).sum())
    # Queries of a large shop ask for so much that their first candidates hold too few matches. A small one,
    # whose blocks may be a handful of queries, keeps the judgements by which its figures are known.
    if lacking > 0 and config.size > SMALL_SHOP:
        matches = beyond[candidates.label[beyond] == EXACT]
        rows = np.concatenate([rows, _with_room(candidates.query, rows, matches)[:lacking]])
    if len(rows) < count:
        rest = np.setdiff1d(order, rows)
        rest = rest[np.argsort(np.isin(candidates.label[rest], (COMPLEMENT, IRRELEVANT)), kind="stable")]
        rows = np.concatenate([rows, _with_room(candidates.query, rows, rest)[: count - len(rows)]])
    return np.sort(rows)


def _with_room(query: Ints, chosen: Ints, more: Ints) -> Ints:
    """Return the rows among `more` that leave each query with no more than `_MOST` judgements, in their order."""
    if not len(more):
        return more
    first = query.min()
    taken = np.bincount(query[chosen] - first, minlength=int(query.max() - first) + 1)
    return more[taken[query[more] - first] + _place_within(query[more]) < _MOST]


def true_shares(noise: float) -> Floats:
    """Return the label shares before noise that give SHARES after it."""
    transfer = (1 - noise) * np.eye(4) + noise * MISTAKES
    shares = np.linalg.solve(transfer.T, np.array(SHARES))
    return np.maximum(shares, 0) / np.maximum(shares, 0).sum()


def rate(
    label: npt.NDArray[np.int8], cause: npt.NDArray[np.int8], config: ShopConfig, part: int
) -> tuple[npt.NDArray[np.int8], Floats, Floats]:
    """Let raters judge pairs.

    Returns:
        (n,) recorded label; (n,) spread, the share of five raters who disagree with it; (n,) chance that the
        recorded label is not the true one (its mean is the configured noise).
    """
    rng = generator(config.seed, "raters", part)
    n = len(label)
    close = np.isin(cause, [CAUSES.index(name) for name in _CLOSE])
    obvious = np.isin(cause, [CAUSES.index(name) for name in _OBVIOUS])
    hardness = np.where(close, 2.0, np.where(obvious, 0.2, 1.0)) * rng.gamma(2.0, 0.5, n)
    # scaled within each label, so that the shares after noise are what `true_shares` solved for
    for number in (EXACT, SUBSTITUTE, COMPLEMENT, IRRELEVANT):
        mine = label == number
        if mine.any():
            hardness[mine] /= hardness[mine].mean()
    chance = np.minimum(hardness * config.rater_noise, 0.6)
    wrong = rng.random(n) < chance
    steps = MISTAKES.cumsum(axis=1)[label]
    mistaken = (rng.random(n)[:, None] * steps[:, -1:] > steps).sum(axis=1)
    recorded = np.where(wrong, mistaken, label).astype(np.int8)
    doubt = np.clip(2.5 * chance + 0.45 * wrong, 0, 0.9)
    spread = rng.binomial(RATERS - 1, doubt) / RATERS
    return recorded, spread, chance


def _place_within(groups: Ints) -> Ints:
    """Return each row's place among the rows of its group, in the order given."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered, side="left")
    place = np.empty(len(groups), dtype=np.int64)
    place[order] = np.arange(len(groups)) - first
    return place
