"""Queries: what shoppers want, drawn from products that exist, and how they type it."""

from __future__ import annotations

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.shop.catalogue import HIDEABLE, NONE, TRAFFIC, Catalogue, sold_in
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, generator
from prodmatch_core.data.shop.labels import KINDS, Wants, join
from prodmatch_core.data.shop.lexicon import Lexicon
from prodmatch_core.data.shop.spelling import LOCALES
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, World

PER_QUERY = 20
"Judgements a query, on average."
_KIND_SHARES = (0.42, 0.14, 0.12, 0.15, 0.12, 0.05)
_BLOCK = 1_000
_CONNECT = ({"for": "for"}, {"for": "para"}, {"for": "用"})


@attrs.frozen(eq=False)
class Queries:
    """Distinct queries: their constraints, locale, text and share of traffic. A query's number is its row."""

    wants: Wants
    locale: Ints
    text: pl.Series
    frequency: Floats
    split: Ints
    "0 train, 1 valid, 2 test: all rows of one text, in whatever locale, share it."
    cold: np.ndarray
    "Queries without engagement."

    def __len__(self) -> int:
        return len(self.locale)


def make_queries(world: World, catalogue: Catalogue, config: ShopConfig) -> Queries:
    """Draw `size / 20` queries with distinct texts, in blocks that do not depend on each other."""
    wanted = np.diff(np.round(np.cumsum([0, *TRAFFIC]) * round(config.size / PER_QUERY)).astype(int))
    main_type = _main_type(world, catalogue)
    parts = [
        _distinct(world, catalogue, config, locale, max(count, 3), main_type)
        for locale, count in enumerate(wanted.tolist())
    ]
    locales = np.repeat(np.arange(len(LOCALES)), [len(text) for _, text in parts])
    text = pl.concat([t for _, t in parts])
    rng = generator(config.seed, "queries")
    weight = (1 - rng.random(len(text))) ** (-1 / max(config.degree_exponent - 1, 0.6))
    weight = np.minimum(weight, 1e4)
    return Queries(
        wants=join([w for w, _ in parts]),
        locale=locales,
        text=text,
        frequency=weight / weight.sum(),
        split=_split(text, locales, rng),
        cold=rng.random(len(text)) < config.cold,
    )


def _split(text: pl.Series, locale: Ints, rng: np.random.Generator) -> Ints:
    """Split by distinct text, 70/10/20 within each locale; a text of several locales goes with its first."""
    _, first, group = np.unique(text.to_numpy(), return_index=True, return_inverse=True)
    home = locale[first]
    order = np.lexsort((rng.random(len(home)), home))
    start, count = (
        a[home[order]] for a in (np.searchsorted(home[order], np.arange(3)), np.bincount(home, minlength=3))
    )
    place = np.empty(len(home))
    place[order] = (np.arange(len(home)) - start) / count
    return np.searchsorted([0.7, 0.8], place, side="right")[group]


def _distinct(
    world: World, catalogue: Catalogue, config: ShopConfig, locale: int, count: int, main_type: Ints
) -> tuple[Wants, pl.Series]:
    lexicon = Lexicon(world, catalogue.models, locale)
    rows = sold_in(catalogue, locale)
    cumulative = np.cumsum(np.sqrt(catalogue.popularity[rows]).astype(np.float64))
    frames: list[pl.DataFrame] = []
    parts: list[Wants] = []
    have = 0
    for block in range(64 + 8 * count // _BLOCK):
        rng = generator(config.seed, f"queries-{LOCALES[locale]}", block)
        seeds = rows[np.searchsorted(cumulative, rng.random(min(_BLOCK, 2 * count)) * cumulative[-1])]
        wants = _wants(world, catalogue, seeds, main_type, rng)
        parts.append(wants)
        frames.append(pl.DataFrame({"text": query_texts(world, catalogue, lexicon, wants, rng)}))
        have += int(frames[-1]["text"].n_unique())
        if have >= 1.3 * count:
            unique = pl.concat(frames).with_row_index("row").unique("text", keep="first", maintain_order=True)
            have = unique.height
            if have >= count:
                break
    else:
        unique = pl.concat(frames).with_row_index("row").unique("text", keep="first", maintain_order=True)
    unique = unique.head(count)[_mixed(count)]
    return join(parts).take(unique["row"].to_numpy()), unique["text"]


def _mixed(count: int) -> Ints:
    """Return an order of rows in which every block is like the whole; of one block, the order as it is.

    The later a distinct text is drawn, the more it asks for, since the plain ones are taken: left as drawn, the
    last queries of a large shop would have too few products that meet them all.
    """
    blocks = -(-count // _BLOCK)
    return np.concatenate([np.arange(first, count, blocks) for first in range(blocks)])


def _wants(
    world: World, catalogue: Catalogue, seeds: Ints, main_type: Ints, rng: np.random.Generator
) -> Wants:
    """Draw what each shopper wants so that the seed product is a full match."""
    n = len(seeds)
    kinds = world.types
    t = catalogue.type[seeds].astype(np.int64)
    fits_by = np.array([k.fits_by for k in kinds])[t]
    has_need = np.array([bool(term.words[0]) for term in world.needs])[world.need_of[t]]
    shares = np.tile(_KIND_SHARES, (n, 1))
    shares[:, KINDS.index("model")] *= np.where(catalogue.model[seeds] >= 0, 2.5, 0)
    shares[:, KINDS.index("accessory")] *= np.where(fits_by == FITS.index("model"), 8, 0)
    shares[:, KINDS.index("need")] *= has_need
    shares = np.cumsum(shares, axis=1)
    kind = (rng.random(n)[:, None] * shares[:, -1:] > shares).sum(axis=1)
    how_many = rng.choice(4, size=n, p=(0.25, 0.42, 0.27, 0.06))
    named = {name: kind == number for number, name in enumerate(KINDS)}
    how_many = np.where(named["brand"] | named["model"], 0, how_many)
    how_many = np.where(
        named["need"] | named["accessory"] | named["brand_type"], np.minimum(how_many, 1), how_many
    )
    values, feature = _attributes(world, catalogue, seeds, how_many, named["need"], rng)
    fits = catalogue.fits[seeds]
    fitted = np.where(fits[:, 1] >= 0, fits[np.arange(n), rng.integers(0, 2, n)], fits[:, 0])
    by_model = named["accessory"] & (rng.random(n) < 0.8)
    fitted_type = np.where(fits[:, 0] >= 0, catalogue.models.type[fits[:, 0]], NONE)
    takes_several = np.array([len(k.fits_to) > 1 for k in kinds])[t]
    names_type = named["accessory"] & ~by_model & takes_several
    hides_fit = catalogue.hidden[seeds] == HIDEABLE.index("fits")
    asks_brand = named["brand_type"] | named["model"] | named["brand"]
    return Wants(
        kind=kind.astype(np.int8),
        type=np.where(named["brand"], main_type[catalogue.brand[seeds]], t).astype(np.int16),
        need=np.where(named["need"], world.need_of[t], NONE).astype(np.int16),
        brand=np.where(asks_brand, catalogue.brand[seeds], NONE).astype(np.int16),
        model=np.where(named["model"], catalogue.model[seeds], NONE).astype(np.int32),
        values=values.astype(np.int16),
        feature=feature.astype(np.int16),
        fits_model=np.where(by_model | (named["accessory"] & hides_fit), fitted, NONE).astype(np.int32),
        fits_type=np.where(names_type & ~hides_fit, fitted_type, NONE).astype(np.int16),
    )


def _main_type(world: World, catalogue: Catalogue) -> Ints:
    """Return (brands,) the type each brand sells most."""
    brands, types = len(world.brands), len(world.types)
    both = catalogue.brand.astype(np.int64) * types + catalogue.type
    return np.bincount(both, minlength=brands * types).reshape(brands, types).argmax(axis=1)


def _attributes(
    world: World,
    catalogue: Catalogue,
    seeds: Ints,
    how_many: Ints,
    only_size: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Choose up to `how_many` of the seed product's own attributes; a need only by size, colour, count."""
    own = catalogue.values[seeds].astype(np.int64)
    flags = catalogue.features[seeds]
    slot = rng.integers(0, 3, len(seeds))
    has = (flags >> slot.astype(np.uint8)) & 1 == 1
    first = np.array([[*k.features, NONE, NONE, NONE][:3] for k in world.types])
    feature = np.where(has, first[catalogue.type[seeds].astype(np.int64), slot], NONE)
    liking = np.array((1.0, 0.7, 1.0, 1.1, 0.45, 0.9))  # color, material, size, form, count, feature
    single = np.array([value.key == "count:count:1" for value in world.values])
    able = np.column_stack([(own >= 0) & ~single[own], feature >= 0])
    able[:, ATTRIBUTES.index("material")] &= ~only_size
    able[:, ATTRIBUTES.index("form")] &= ~only_size
    able[:, len(ATTRIBUTES)] &= ~only_size
    score = np.where(able, rng.random(able.shape) ** (1 / liking), -1.0)
    rank = np.argsort(np.argsort(-score, axis=1), axis=1)
    taken = able & (rank < how_many[:, None])
    values = np.where(taken[:, : len(ATTRIBUTES)], own, NONE)
    return values, np.where(taken[:, -1], feature, NONE)


def query_texts(
    world: World, catalogue: Catalogue, lexicon: Lexicon, wants: Wants, rng: np.random.Generator
) -> pl.Series:
    """Type each query: word order, synonyms, mixed languages and typos included.

    Returns:
        (n) text, lower case but for what Japanese keyboards leave as it is.
    """
    n = len(wants)
    named = {name: wants.kind == number for number, name in enumerate(KINDS)}
    kind_word = lexicon.types_typed(wants.type, rng)
    brand = lexicon.brands_typed(np.where(wants.fits_model >= 0, NONE, wants.brand), rng)
    model = lexicon.model_names(wants.model)
    drop_brand = (rng.random(n) < 0.3) & named["model"]
    drop_type = named["brand"] | named["need"] | (named["model"] & (rng.random(n) < 0.5))
    fitted_brand = np.where(wants.fits_model >= 0, catalogue.models.brand[wants.fits_model], NONE)
    fitted = pl.select(
        pl.concat_str(
            pl.lit(lexicon.brands_typed(np.where(rng.random(n) < 0.75, fitted_brand, NONE), rng)),
            pl.lit(lexicon.model_names(wants.fits_model)),
            separator=" ",
            ignore_nulls=True,
        )
    ).to_series()
    fitted_type = lexicon.types_typed(wants.fits_type, rng)
    columns = {
        "kind": pl.select(
            pl.when(pl.lit(pl.Series(drop_type))).then(None).otherwise(pl.lit(kind_word))
        ).to_series(),
        "need": lexicon.needs_typed(wants.need, rng),
        "brand": pl.select(
            pl.when(pl.lit(pl.Series(drop_brand))).then(None).otherwise(pl.lit(brand))
        ).to_series(),
        "model": model,
        "feature": lexicon.features_typed(wants.feature, rng),
        "fitted": fitted.replace("", None),
        "fitted_type": fitted_type,
        "order": pl.Series(np.where(named["need"], (2, 0, 1)[lexicon.locale], rng.integers(0, 3, n))),
    }
    for a, name in enumerate(ATTRIBUTES):
        columns[name] = lexicon.values_typed(wants.values[:, a].astype(np.int64), rng)
    return _spoil(_assemble(pl.DataFrame(columns), lexicon.locale), lexicon.locale, rng)


_ORDERS = (
    (  # English: attributes before the noun, or trailing
        ("brand", "model", "color", "feature", "material", "form", "kind", "need", "size", "count"),
        ("brand", "model", "size", "feature", "form", "material", "color", "kind", "need", "count"),
        ("kind", "need", "brand", "model", "form", "color", "material", "size", "count", "feature"),
    ),
    (
        ("kind", "need", "brand", "model", "form", "color", "material", "size", "count", "feature"),
        ("kind", "need", "form", "material", "color", "feature", "size", "count", "brand", "model"),
        ("brand", "model", "kind", "need", "size", "form", "color", "material", "count", "feature"),
    ),
    (
        ("brand", "model", "kind", "need", "color", "material", "form", "size", "count", "feature"),
        ("kind", "need", "form", "size", "color", "material", "feature", "count", "brand", "model"),
        ("color", "material", "feature", "brand", "model", "kind", "need", "form", "size", "count"),
    ),
)


def _assemble(parts: pl.DataFrame, locale: int) -> pl.Series:
    word = _CONNECT[locale]["for"]
    fitted = pl.coalesce("fitted", "fitted_type")
    tail = (
        pl.concat_str(fitted, pl.lit("用"), separator=" ")
        if locale == 2
        else pl.concat_str(pl.lit(word), fitted, separator=" ")
    )
    orders = [pl.concat_str(list(order), separator=" ", ignore_nulls=True) for order in _ORDERS[locale]]
    body = (
        pl.when(pl.col("order") == 0)
        .then(orders[0])
        .when(pl.col("order") == 1)
        .then(orders[1])
        .otherwise(orders[2])
    )
    if locale == 2:
        whole = pl.concat_str(tail, body, separator=" ", ignore_nulls=True)
    else:
        # "x10 case" as often as "case for x10"
        behind = pl.concat_str(body, tail, separator=" ", ignore_nulls=True)
        before = pl.concat_str(fitted, body, separator=" ", ignore_nulls=True)
        whole = pl.when((pl.col("order") == 0) & (locale == 0)).then(before).otherwise(behind)
    return parts.select(whole.str.to_lowercase().alias("text")).to_series()


def _spoil(text: pl.Series, locale: int, rng: np.random.Generator) -> pl.Series:
    """Make typing errors in 6% of the queries that have a long enough Latin word."""
    rows = np.flatnonzero(rng.random(len(text)) < 0.06)
    typed = text.to_list()
    for row in rows.tolist():
        typed[row] = _typo(typed[row], rng)
    if locale == 1:  # half the shoppers leave accents out
        plain = rng.random(len(text)) < 0.45
        table = str.maketrans("áéíóúü", "aeiouu")
        typed = [t.translate(table) if p else t for t, p in zip(typed, plain.tolist(), strict=True)]
    return pl.Series("text", typed)


def _typo(text: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 4 and w.isascii() and w.isalpha()]
    if not long:
        return text
    place = long[int(rng.integers(len(long)))]
    word = words[place]
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(3))
    if kind == 0:
        word = word[:at] + word[at + 1 :]
    elif kind == 1:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        word = word[:at] + word[at] + word[at:]
    return " ".join([*words[:place], word, *words[place + 1 :]])
