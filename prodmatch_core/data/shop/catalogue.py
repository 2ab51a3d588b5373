"""The catalogue as numbers: every product's type, brand, model, attributes, features and what it fits.

No text is made here: `texts.py` writes titles from these numbers, part by part, so that a catalogue of
millions of products costs some sixty bytes a product.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, generator, uniform, zipf_weights
from prodmatch_core.data.shop.spelling import LOCALES
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, ProductType, World

NONE = -1
SOLD_IN = (0.8, 0.6, 0.5)
"Share of products sold in each locale; whoever is drawn for none is sold in the first."
TRAFFIC = (0.7, 0.2, 0.1)
"Share of queries in each locale, and of the products that are sold in one locale alone."
SMALL_SHOP = 20_000
"Judgements up to which a shop is small: its range is that of every small shop, and so are its figures."
SMALL_RANGE = 12_000
"Products of a small shop; of a range of n, sqrt(12,000 / n) are sold across markets."
GENERATIONS = ("previous", "current", "pro", "lite")
"Members of a product line, by place: X9, X10, X10 Pro, X10 Lite."
HIDEABLE = (*ATTRIBUTES, "feature", "fits")
"Facts of which a product may leave one out of its text."


@attrs.frozen(eq=False)
class Models:
    """Named models of devices, as columns; a model's number is its row."""

    type: Ints
    brand: Ints
    line: Ints
    "Models of one line share this number."
    generation: Ints
    "Index into GENERATIONS."
    name: list[str]
    weight: Floats
    "Popularity; sums to 1 within a type."


@attrs.frozen(eq=False)
class Catalogue:
    """All products as columns of equal length, grouped by type. A product's number is its row."""

    type: npt.NDArray[np.int16]
    brand: npt.NDArray[np.int16]
    model: npt.NDArray[np.int32]
    values: npt.NDArray[np.int16]
    "(products, attributes) value number, -1 where the type has no such attribute."
    features: npt.NDArray[np.uint8]
    "Bit i: has the type's i-th feature."
    fits: npt.NDArray[np.int32]
    "(products, 2) models an accessory fits, -1 where none."
    hidden: npt.NDArray[np.int8]
    "Index into HIDEABLE of the fact the text leaves out, -1 where it leaves out none."
    price: npt.NDArray[np.float32]
    "Dollars."
    popularity: npt.NDArray[np.float32]
    "Pareto weight, 1 or more."
    cold: npt.NDArray[np.bool_]
    sold: npt.NDArray[np.uint8]
    "Bit i: sold in locale i."
    models: Models

    def __len__(self) -> int:
        return len(self.type)


def catalogue_size(judgements: int) -> int:
    """Return how many products a shop of that many judgements has.

    A small shop has a full range whatever its size; above it the range grows with the judgements, so that 2.6
    million have as many products (rows of the products table, one a locale) as ESCI: 1.8 million.
    """
    return SMALL_RANGE + int(0.65 * max(0, judgements - SMALL_SHOP))


def make_catalogue(world: World, config: ShopConfig) -> Catalogue:
    """Draw the catalogue of one shop: 12,000 products, and 0.65 for each judgement above 20,000."""
    rng = generator(config.seed, "catalogue")
    total = catalogue_size(config.size)
    counts = np.floor(world.popularity * total).astype(np.int64)
    counts[: total - counts.sum()] += 1
    counts = np.maximum(counts, 12)
    models = _models(world, counts, rng)
    by_type = _group(models.type, len(world.types))
    columns = [_products(world, t, int(counts[t]), models, by_type, rng) for t in range(len(world.types))]
    merged = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    items = np.arange(len(merged["type"]))
    alpha = config.degree_exponent - 1
    popularity = (1 - uniform(config.seed, "popularity", items)) ** (-1 / alpha)
    return Catalogue(
        **merged,
        hidden=_hidden(merged, items, config),
        popularity=np.minimum(popularity, 1e5).astype(np.float32),
        cold=uniform(config.seed, "cold-product", items) < config.cold,
        sold=_sold(items, total, config.seed),
        models=models,
    )


def _sold(items: Ints, total: int, seed: int) -> npt.NDArray[np.uint8]:
    """Choose each product's locales: the small range is sold across markets, the long tail in one of them."""
    sold = np.zeros(len(items), dtype=np.uint8)
    for locale, share in enumerate(SOLD_IN):
        sold |= (uniform(seed, f"sold-{locale}", items) < share).astype(np.uint8) << np.uint8(locale)
    sold[sold == 0] = 1
    local = uniform(seed, "sold-across", items) >= np.sqrt(SMALL_RANGE / total)
    home = np.searchsorted(np.cumsum(TRAFFIC)[:-1], uniform(seed, "sold-home", items[local]), side="right")
    sold[local] = np.uint8(1) << home.astype(np.uint8)
    return sold


def product_ids(products: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the number a product is known by: scattered, so that an identifier tells nothing."""
    return (products.astype(np.int64) * 48_271 + 20_011) % 99_999_989


def _group(keys: Ints, groups: int) -> list[Ints]:
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.searchsorted(keys[order], np.arange(1, groups)))


def _models(world: World, counts: Ints, rng: np.random.Generator) -> Models:
    """Name about one model for every eight products of a device type, in lines of four."""
    types, brands, lines, weights = [], [], [], []
    next_line = 0
    for t, kind in enumerate(world.types):
        if not kind.device:
            continue
        count = max(3, int(counts[t]) // 32)
        owners = np.array(world.departments[kind.department].brands)
        brand = rng.choice(owners, size=count, p=zipf_weights(len(owners), 0.8)[rng.permutation(len(owners))])
        weight = np.outer(zipf_weights(count, 0.7), (0.2, 0.4, 0.25, 0.15)).ravel()
        types.append(np.full(4 * count, t))
        brands.append(np.repeat(brand, 4))
        lines.append(np.repeat(np.arange(next_line, next_line + count), 4))
        weights.append(weight / weight.sum())
        next_line += count
    brand = np.concatenate(brands)
    generation = np.tile(np.arange(4), next_line)
    return Models(
        type=np.concatenate(types),
        brand=brand,
        line=np.concatenate(lines),
        generation=generation,
        name=_model_names(world, brand[::4]),
        weight=np.concatenate(weights),
    )


def _model_names(world: World, brands: Ints) -> list[str]:
    """Name four generations for each line, in the style of its brand; no name repeats within a brand."""
    names: list[str] = []
    seen = np.zeros(len(world.brands), dtype=np.int64)
    letters = "XSVZTRNKMAQEGHP"
    series = (
        "Nova",
        "Aero",
        "Pulse",
        "Vista",
        "Prime",
        "Echo",
        "Luna",
        "Core",
        "Swift",
        "Terra",
        "Fusion",
        "Orion",
    )
    for brand in brands.tolist():
        turn = int(seen[brand])
        seen[brand] += 1
        style = world.brands[brand].style
        step = turn // (len(series) if style == 1 else len(letters))
        letter = letters[(brand * 4 + turn * 7) % len(letters)]
        if style == 0:
            number = 10 + 3 * step
            names += [
                f"{letter}{number - 1}",
                f"{letter}{number}",
                f"{letter}{number} Pro",
                f"{letter}{number} Lite",
            ]
        elif style == 1:
            word, number = series[(brand * 5 + turn * 7) % len(series)], 3 + 3 * step
            names += [
                f"{word} {number - 1}",
                f"{word} {number}",
                f"{word} {number} Max",
                f"{word} {number} Mini",
            ]
        elif style == 2:
            stem, number = f"{letter}{letters[(turn + brand) % 7]}", 450 + 120 * step
            names += [f"{stem}-{number - 50}", f"{stem}-{number}", f"{stem}-{number}X", f"{stem}-{number}S"]
        elif style == 3:
            number = 21 + 3 * step
            names += [
                f"{letter}{number - 1}",
                f"{letter}{number}",
                f"{letter}{number} Plus",
                f"{letter}{number} SE",
            ]
        else:
            number = 300 + 30 * step
            names += [
                f"{number - 10}{letter}",
                f"{number}{letter}",
                f"{number}{letter} Ultra",
                f"{number}{letter} Go",
            ]
    return names


def _products(
    world: World, t: int, count: int, models: Models, by_type: list[Ints], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    kind = world.types[t]
    owners = np.array(world.departments[kind.department].brands)
    order = np.roll(owners, t)  # another brand leads in each type
    brand = rng.choice(order, size=count, p=zipf_weights(len(order), 1.0))
    model = np.full(count, NONE)
    scale = np.zeros(count)
    if kind.device:
        mine = by_type[t]
        model = rng.choice(mine, size=count, p=models.weight[mine])
        brand = models.brand[model]
        scale = np.array([-0.25, 0.0, 0.35, -0.3])[models.generation[model]]
    values = np.full((count, len(ATTRIBUTES)), NONE)
    for a, options in enumerate(kind.values):
        if options:
            skew = zipf_weights(len(options), 0.6)[rng.permutation(len(options))]
            place = rng.choice(len(options), size=count, p=skew)
            values[:, a] = np.array(options)[place]
            if ATTRIBUTES[a] in ("size", "count"):
                scale = scale + 0.35 * (place - (len(options) - 1) / 2) / len(options) * 2
    features = np.zeros(count, dtype=np.uint8)
    for i in range(len(kind.features)):
        features |= (rng.random(count) < 0.45).astype(np.uint8) << np.uint8(i)
    tier = np.log(0.75 + 0.6 * ((brand * 37) % 11) / 10)
    noise = rng.normal(0, kind.price[1] * 0.5, count)
    price = kind.price[0] * np.exp(tier + scale + noise)
    return {
        "type": np.full(count, t, dtype=np.int16),
        "brand": brand.astype(np.int16),
        "model": model.astype(np.int32),
        "values": values.astype(np.int16),
        "features": features,
        "fits": _fits(world, kind, count, models, by_type, rng).astype(np.int32),
        "price": np.round(price, 2).astype(np.float32),
    }


def _fits(
    world: World, kind: ProductType, count: int, models: Models, by_type: list[Ints], rng: np.random.Generator
) -> Ints:
    """Draw the one or two models each accessory fits; a second one is of the same line."""
    fits = np.full((count, 2), NONE)
    if FITS[kind.fits_by] != "model":
        return fits
    targets = [world.type_of[key] for key in kind.fits_to]
    pool = np.concatenate([by_type[t] for t in targets])
    weight = np.concatenate([models.weight[by_type[t]] * world.popularity[t] for t in targets])
    first = rng.choice(pool, size=count, p=weight / weight.sum())
    sibling = first - models.generation[first] + (models.generation[first] + rng.integers(1, 4, count)) % 4
    fits[:, 0] = first
    fits[:, 1] = np.where(rng.random(count) < 0.3, sibling, NONE)
    return fits


def _hidden(columns: dict[str, np.ndarray], items: Ints, config: ShopConfig) -> npt.NDArray[np.int8]:
    """Choose the fact each product's text leaves out: the model it fits, else a random one."""
    last = len(HIDEABLE) - 1
    pick = (uniform(config.seed, "hidden-fact", items) * last).astype(np.int8)
    attribute = np.take_along_axis(
        columns["values"], np.minimum(pick, len(ATTRIBUTES) - 1)[:, None].astype(int), 1
    )
    absent = np.where(pick < len(ATTRIBUTES), attribute[:, 0] == NONE, columns["features"] == 0)
    fact = np.where(columns["fits"][:, 0] != NONE, last, np.where(absent, NONE, pick))
    return np.where(uniform(config.seed, "hides", items) < config.graph_signal, fact, NONE).astype(np.int8)


def sold_in(catalogue: Catalogue, locale: int) -> Ints:
    """Return the numbers of the products sold in a locale, ascending."""
    if not 0 <= locale < len(LOCALES):
        raise IndexError(f"locale number {locale} is not one of 0..{len(LOCALES) - 1}")
    return np.flatnonzero(catalogue.sold >> np.uint8(locale) & np.uint8(1))
