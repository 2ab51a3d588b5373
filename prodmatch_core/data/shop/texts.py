"""Titles, bullets and descriptions: how a seller would describe each product, in one locale.

Sellers shuffle attributes, abbreviate, leave facts out of the title, praise, deny ("Not for X10") and mention other
values. Bullets state every fact but the one a product hides. Every choice is a pure function of the seed and the
product's number, so any part of the catalogue can be written alone.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from prodmatch_core.data.shop import draws
from prodmatch_core.data.shop.catalogue import HIDEABLE, NONE, Catalogue, product_ids
from prodmatch_core.data.shop.draws import Ints
from prodmatch_core.data.shop.labels import feature_bits
from prodmatch_core.data.shop.lexicon import Lexicon, pick, spelled
from prodmatch_core.data.shop.spelling import LOCALES
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, World

CURRENCY = (1.0, 0.95, 150.0)
"Units of the locale's currency a dollar: dollars, euros, yen."
IN_TITLE = 0.6
"Chance that the title states a given attribute."

_LABELS = (
    {"color": "Color", "material": "Material", "size": "Size", "form": "Type", "count": "Quantity"},
    {"color": "Color", "material": "Material", "size": "Tamaño", "form": "Tipo", "count": "Cantidad"},
    {"color": "カラー", "material": "素材", "size": "サイズ", "form": "タイプ", "count": "数量"},
)
_FIT = (
    ("for {}", "Compatible with {}", "Fits {}", "(Not for {})", "Also in {}"),
    ("para {}", "Compatible con {}", "Válido para {}", "(No válido para {})", "También en {}"),
    ("{} 対応", "{} 専用", "{} 適合", "（{}には対応していません）", "【{}もあり】"),
)
_BULLET = (
    ("Feature: {}", "Please note: {}", "Compatible models: {}", "Other colors available: {}"),
    ("Característica: {}", "Atención: {}", "Modelos compatibles: {}", "Otros colores disponibles: {}"),
    ("特長：{}", "ご注意：{}", "対応機種：{}", "他のカラー：{}"),
)
_STORY = (
    (
        "The {kind} by {brand} was made to last. {uses}, it does its work day after day.",
        "Looking for a {kind} you can rely on? {brand} has been making them with care. {uses}.",
        "{brand} presents its {kind}: simple, solid and ready to use. {uses}.",
    ),
    (
        "{kind} de {brand}, pensado para durar. {uses}, cumple día tras día.",
        "¿Busca {kind} de confianza? En {brand} lo hacemos con cuidado. {uses}.",
        "{brand} presenta: {kind}. Sencillo, sólido y listo para usar. {uses}.",
    ),
    (
        "{brand}の{kind}です。{uses}。毎日安心してお使いいただけます。",
        "{brand}がお届けする{kind}。{uses}におすすめです。",
        "長く使える{kind}をお探しの方へ。{brand}が丁寧に作りました。{uses}。",
    ),
)


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
        title=_title(locale),
        description=_description(locale),
        bullets=_bullets(locale),
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

    def chance(purpose: str) -> draws.Floats:
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
    others = np.array([[*k.values[0], NONE, NONE][:2] for k in world.types])[t]
    columns["other_color"] = spelled(
        lexicon.values, np.where(chance("others") < 0.5, others[:, 1], NONE), variant("others-1")
    )
    told = (chance("others-title") < 0.2) & (others[:, 0] != catalogue.values[products, 0])
    columns["also"] = spelled(lexicon.values, np.where(told, others[:, 0], NONE), variant("others-2"))
    columns["template"] = pl.Series(variant("template"))
    columns["story"] = pl.Series(draws.choice(seed, "text-story", place, 3))
    return pl.DataFrame(columns)


def _feature_words(world, catalogue, lexicon, products, chance, variant):  # type: ignore[no-untyped-def]
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


def _fit_words(catalogue, lexicon, products, chance):  # type: ignore[no-untyped-def]
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


def _fmt(template: str, column: str) -> pl.Expr:
    return pl.format(template, pl.col(column))


def _branches(column: str, options: list[pl.Expr]) -> pl.Expr:
    whole = options[-1]
    for number, option in reversed(list(enumerate(options[:-1]))):
        whole = pl.when(pl.col(column) == number).then(option).otherwise(whole)
    return whole


def _title(locale: int) -> pl.Expr:
    features = [f"feature_title_{i}" for i in range(4)]
    fit = _branches("template", [_fmt(_FIT[locale][i], "fitted") for i in (0, 1, 2, 0)])
    warn = _fmt(_FIT[locale][3], "not_for")
    also, again, more = _fmt(_FIT[locale][4], "also"), pl.col("kind_again"), pl.col("tail_2")
    brand, model, kind, marketing = (pl.col(n) for n in ("brand", "model", "kind", "marketing"))
    size, color, material, form, count = (pl.col(n) for n in ("size", "color", "material", "form", "count"))
    tail, uses, denied = pl.col("tail"), pl.col("uses_title"), pl.col("denied_title")
    f = [pl.col(n) for n in features]
    if locale == 0:
        heads = [
            (brand, model, marketing, material, kind),
            (brand, model, size, kind),
            (marketing, kind),
            (brand, color, kind, model),
        ]
        rests = [
            (
                fit,
                warn,
                f[0],
                form,
                size,
                f[1],
                f[2],
                color,
                uses,
                count,
                f[3],
                denied,
                again,
                also,
                tail,
                more,
            ),
            (
                form,
                fit,
                warn,
                color,
                f[2],
                material,
                f[0],
                f[1],
                count,
                denied,
                uses,
                f[3],
                again,
                also,
                tail,
                more,
            ),
            (
                brand,
                model,
                f[1],
                size,
                fit,
                warn,
                f[0],
                material,
                uses,
                form,
                f[2],
                f[3],
                color,
                denied,
                count,
                again,
                also,
                tail,
                more,
            ),
            (
                size,
                count,
                form,
                f[0],
                fit,
                warn,
                uses,
                f[2],
                f[1],
                material,
                f[3],
                denied,
                marketing,
                again,
                also,
                tail,
                more,
            ),
        ]
        inner, outer = " ", ", "
    elif locale == 1:
        heads = [
            (brand, model, kind, marketing),
            (kind, brand, model),
            (kind, material, brand, model),
            (brand, kind, model, color),
        ]
        rests = [
            (
                fit,
                warn,
                form,
                size,
                f[0],
                color,
                f[1],
                material,
                uses,
                f[2],
                count,
                f[3],
                denied,
                again,
                also,
                tail,
                more,
            ),
            (
                size,
                form,
                color,
                fit,
                warn,
                material,
                f[1],
                f[0],
                f[2],
                uses,
                f[3],
                count,
                denied,
                marketing,
                again,
                also,
                tail,
                more,
            ),
            (
                fit,
                warn,
                f[0],
                size,
                f[2],
                form,
                f[1],
                count,
                color,
                uses,
                f[3],
                denied,
                again,
                also,
                tail,
                more,
            ),
            (
                f[1],
                form,
                fit,
                warn,
                f[0],
                size,
                count,
                f[2],
                material,
                uses,
                f[3],
                denied,
                marketing,
                again,
                also,
                tail,
                more,
            ),
        ]
        inner, outer = " ", ", "
    else:
        heads = [
            (brand, kind, model),
            (marketing, brand, model, kind),
            (kind, brand, model),
            (brand, model, kind, marketing),
        ]
        rests = [
            (
                fit,
                warn,
                size,
                form,
                f[0],
                f[1],
                material,
                uses,
                f[2],
                color,
                count,
                f[3],
                denied,
                again,
                also,
                tail,
                more,
            ),
            (
                form,
                f[0],
                size,
                fit,
                warn,
                color,
                f[2],
                f[1],
                material,
                uses,
                f[3],
                count,
                denied,
                again,
                also,
                tail,
                more,
            ),
            (
                f[1],
                material,
                size,
                color,
                fit,
                warn,
                f[0],
                form,
                uses,
                f[2],
                f[3],
                denied,
                count,
                marketing,
                again,
                also,
                tail,
                more,
            ),
            (
                color,
                fit,
                warn,
                f[0],
                size,
                f[2],
                f[1],
                form,
                material,
                uses,
                f[3],
                denied,
                count,
                again,
                also,
                tail,
                more,
            ),
        ]
        inner, outer = " ", " "
    options = [
        pl.concat_str(
            pl.concat_str(*head, separator=inner, ignore_nulls=True),
            pl.concat_str(*rest, separator=outer, ignore_nulls=True),
            separator=outer,
        )
        for head, rest in zip(heads, rests, strict=True)
    ]
    return _branches("template", options).str.strip_chars(", ")


def _bullets(locale: int) -> pl.Expr:
    lines = [
        pl.format(f"{label}{'：' if locale == 2 else ': '}{{}}", pl.col(f"{name}_bullet"))
        for name, label in _LABELS[locale].items()
    ]
    feature, note, fitted, colors = _BULLET[locale]
    features = [_fmt(feature, f"feature_{i}") for i in range(4)]
    extra = [_fmt(fitted, "fitted"), _fmt(note, "denied"), _fmt(colors, "other_color")]
    orders = [
        [*lines, *features, *extra],
        [*features, extra[0], *lines, *extra[1:]],
        [extra[0], lines[2], *features, *extra[1:], *lines[:2], *lines[3:]],
    ]
    options = [pl.concat_str(*order, separator="\n", ignore_nulls=True) for order in orders]
    return _branches("story", options)


def _description(locale: int) -> pl.Expr:
    slots = {"kind": "kind_story", "brand": "brand", "uses": "uses"}

    def sentence(template: str) -> pl.Expr:
        names = sorted(slots, key=lambda slot: template.index("{" + slot + "}"))
        for name in names:
            template = template.replace("{" + name + "}", "{}")
        return pl.format(template, *(pl.col(slots[name]) for name in names))

    story = _branches("story", [sentence(template) for template in _STORY[locale]])
    facts = pl.concat_str(
        "model",
        "form_bullet",
        "size_bullet",
        "material_bullet",
        "feature_0",
        "feature_1",
        "color_bullet",
        "fitted",
        separator="、" if locale == 2 else ", ",
        ignore_nulls=True,
    )
    return pl.concat_str(story, facts, separator=" ", ignore_nulls=True).str.strip_chars(" ")
