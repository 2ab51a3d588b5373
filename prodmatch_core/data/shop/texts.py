"""Titles, bullets and descriptions: how a seller would describe each product, in one locale.

Sellers shuffle attributes, abbreviate, leave facts out of the title, praise, deny ("Not for X10") and mention
other values. Bullets state every fact but the one a product hides. Every choice is a pure function of the
seed and the product's number, so any part of the catalogue can be written alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from prodmatch_core.data.shop import draws
from prodmatch_core.data.shop.catalogue import HIDEABLE, NONE, Catalogue, product_ids
from prodmatch_core.data.shop.draws import Floats, Ints
from prodmatch_core.data.shop.labels import feature_bits
from prodmatch_core.data.shop.layouts import bullets_expression, description_expression, title_expression
from prodmatch_core.data.shop.lexicon import Lexicon, pick, spelled
from prodmatch_core.data.shop.spelling import LOCALES
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, World

CURRENCY = (1.0, 0.95, 150.0)
"Units of the locale's currency a dollar: dollars, euros, yen."
IN_TITLE = 0.6
"Chance that the title states a given attribute."

Chance = Callable[[str], Floats]
"A number in [0, 1) for each product, by purpose."
Variant = Callable[[str], Ints]
"One of four spellings for each product, by purpose."


def product_table(
    world: World, catalogue: Catalogue, lexicon: Lexicon, products: Ints, seed: int
) -> pl.DataFrame:
    """Write the rows of the products table for some products in one locale."""
    words = _words(world, catalogue, lexicon, products, seed)
    locale = lexicon.locale
    rate = CURRENCY[locale]
    price = catalogue.price[products].astype(np.float64) * rate
    price = np.round(price / 10) * 10 if locale == 2 else np.round(price, 2)
    return words.select(
        product_id=pl.Series(product_ids(products)).cast(pl.String).str.zfill(8).str.replace("^", "P"),
        locale=pl.lit(LOCALES[locale]),
        title=title_expression(locale),
        description=description_expression(locale),
        bullets=bullets_expression(locale),
        brand=pl.col("brand_field"),
        color=pl.col("color_field"),
        price=pl.Series(price),
    )


def stated(catalogue: Catalogue, products: Ints, fact: str) -> np.ndarray:
    """Return (n,) bool: the texts of these products do not hide the fact."""
    return catalogue.hidden[products] != HIDEABLE.index(fact)


def _words(world: World, catalogue: Catalogue, lexicon: Lexicon, products: Ints, seed: int) -> pl.DataFrame:
    """Return the words a product's texts are put together from, one column a slot, null where it has none."""
    locale = lexicon.locale
    place = products * len(LOCALES) + locale

    def chance(purpose: str) -> Floats:
        return draws.uniform(seed, f"text-{purpose}", place)

    def variant(purpose: str) -> Ints:
        return draws.choice(seed, f"text-{purpose}", place, 4)

    t = catalogue.type[products].astype(np.int64)
    columns: dict[str, pl.Series] = {}
    for a, name in enumerate(ATTRIBUTES):
        value = np.where(stated(catalogue, products, name), catalogue.values[products, a], NONE)
        told = chance(name) < (0.35 if name == "count" else IN_TITLE)
        columns[name] = spelled(lexicon.values, np.where(told, value, NONE), variant(name + "-title"))
        columns[f"{name}_bullet"] = spelled(lexicon.values, value, variant(name + "-bullet"))
    columns["color_field"] = columns["color_bullet"]
    brand = catalogue.brand[products]
    columns["brand"] = spelled(lexicon.brands, brand, variant("brand"))
    columns["brand_field"] = spelled(
        lexicon.brands, np.where(chance("brand-field") < 0.93, brand, NONE), 0 * t
    )
    columns["model"] = lexicon.model_names(catalogue.model[products])
    columns["kind"] = spelled(lexicon.types, t, variant("kind"))
    columns["kind_story"] = spelled(lexicon.types, t, variant("kind-story"))
    columns["uses"] = pick(lexicon.uses, world.department_of[t] * 4 + variant("uses"))
    again = draws.uniform(seed, "text-again", place) < 0.4
    columns["kind_again"] = spelled(lexicon.types, np.where(again, t, NONE), (variant("kind") + 1) % 4)
    shares = (
        ("marketing", lexicon.marketing, 0.5),
        ("tail", lexicon.tail, 0.75),
        ("tail_2", lexicon.tail, 0.4),
    )
    for name, words, share in shares:
        number = draws.choice(seed, "text-tail-word", place, len(words))
        if name == "tail_2":
            number = (number + 1 + draws.choice(seed, "text-tail-more", place, len(words) - 1)) % len(words)
        columns[name] = pick(words, np.where(chance(name) < share, number, NONE))
    columns["uses_title"] = columns["uses"].set(pl.Series(chance("uses-title") > 0.75), None)
    columns |= _feature_words(world, catalogue, lexicon, products, chance, variant)
    columns |= _fit_words(catalogue, lexicon, products, chance)
    palettes = [k.values[ATTRIBUTES.index("color")] for k in world.types]
    padded = np.array(
        [[palette[i % len(palette)] if palette else NONE for i in range(12)] for palette in palettes]
    )
    other = padded[t, draws.choice(seed, "text-other-color", place, 12)]
    other = np.where(other == catalogue.values[products, ATTRIBUTES.index("color")], NONE, other)
    columns["also"] = spelled(
        lexicon.values, np.where(chance("others-title") < 0.22, other, NONE), variant("others")
    )
    columns["other_color"] = spelled(
        lexicon.values, np.where(chance("others") < 0.5, other, NONE), variant("others")
    )
    columns["template"] = pl.Series(variant("template"))
    columns["story"] = pl.Series(draws.choice(seed, "text-story", place, 3))
    return pl.DataFrame(columns)


def _feature_words(
    world: World, catalogue: Catalogue, lexicon: Lexicon, products: Ints, chance: Chance, variant: Variant
) -> dict[str, pl.Series]:
    """Return features in title and bullets, and one the product lacks, denied or praised in passing."""
    t = catalogue.type[products].astype(np.int64)
    flags = catalogue.features[products]
    slots = np.array([[*k.features, NONE, NONE, NONE, NONE][:4] for k in world.types])[t]
    bits = feature_bits(world)
    shown = stated(catalogue, products, "feature")
    columns = {}
    lacking = np.full(len(products), NONE)
    for i in range(4):
        feature = slots[:, i]
        bit = np.maximum(bits[t, feature], 0).astype(np.uint8)
        has = (feature >= 0) & (flags >> bit & 1 == 1)
        columns[f"feature_{i}"] = spelled(
            lexicon.features, np.where(has & shown, feature, NONE), variant(f"feature-{i}")
        )
        told = np.where(has & shown & (chance(f"feature-title-{i}") < 0.5), feature, NONE)
        columns[f"feature_title_{i}"] = spelled(lexicon.features, told, variant(f"feature-{i}"))
        lacking = np.where((feature >= 0) & ~has & (chance(f"lack-{i}") < 0.5), feature, lacking)
    lacking = np.where(shown, lacking, NONE)
    columns["denied"] = pick(lexicon.denied, lacking)
    columns["denied_title"] = pick(lexicon.denied, np.where(chance("denied-title") < 0.3, lacking, NONE))
    return columns


def _fit_words(
    catalogue: Catalogue, lexicon: Lexicon, products: Ints, chance: Chance
) -> dict[str, pl.Series]:
    """Return what an accessory fits, and a sibling it does not fit, which sellers warn of."""
    models = catalogue.models
    fits = np.where(stated(catalogue, products, "fits")[:, None], catalogue.fits[products], NONE)
    fitted_brand = np.where(fits[:, 0] >= 0, models.brand[fits[:, 0]], NONE)
    brand = spelled(lexicon.brands, fitted_brand, np.zeros(len(products), dtype=np.int64))
    first, second = lexicon.model_names(fits[:, 0]), lexicon.model_names(fits[:, 1])
    line = fits[:, 0] - np.where(fits[:, 0] >= 0, models.generation[fits[:, 0]], 0)
    other = np.where((line == fits[:, 0]) | (line == fits[:, 1]), line + 3, line)
    other = np.where((other == fits[:, 0]) | (other == fits[:, 1]), line + 1, other)
    other = np.where((fits[:, 0] >= 0) & (chance("not-for") < 0.45), other, NONE)
    frame = pl.DataFrame({"brand": brand, "first": first, "second": second}).select(
        fitted=pl.concat_str(
            pl.col("brand"),
            pl.lit(" "),
            pl.col("first"),
            pl.when(pl.col("second").is_null())
            .then(pl.lit(""))
            .otherwise(pl.concat_str(pl.lit(" / "), "second")),
        )
    )
    return {"fitted": frame["fitted"], "not_for": lexicon.model_names(other)}
