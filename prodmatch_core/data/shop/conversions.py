"""Conversion events over 60 days: true probability, delay law, pre-conversion signals, attribution window."""

from __future__ import annotations

import numpy as np
import polars as pl

from prodmatch_core.data.shop.catalogue import Catalogue, product_ids
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import Floats, Ints, generator
from prodmatch_core.data.shop.judgements import Candidates
from prodmatch_core.data.shop.queries import Queries
from prodmatch_core.data.shop.texts import CURRENCY
from prodmatch_core.data.shop.worldbook import World

DAYS = 60
TRAINING_DAYS = 42
"Days in which `tau` thins negatives."
DELAY_DAYS = np.array((20 / 1440, 1.0, 9.0))
"Mean of each exponential component of the delay: twenty minutes, a day, nine days."
START = np.datetime64("2025-03-01T00:00:00", "us")
_BY_LABEL = np.array((0.0, -1.1, -0.8, -2.8))
_SCORE = np.array((0.8, 0.55, 0.45, 0.2))
_DAY = 86_400_000_000


def delay_share(weights: Floats, days: float) -> Floats:
    """Return the share of delays of at most `days` under mixtures with these (n, 3) component weights."""
    return weights @ (1 - np.exp(-days / DELAY_DAYS))


def make_events(
    world: World,
    catalogue: Catalogue,
    queries: Queries,
    candidates: Candidates,
    attracts: Floats,
    median_price: Floats,
    count: int,
    config: ShopConfig,
    part: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw the conversion events of one part.

    Returns:
        The events as a shop would log them, and their truth: p (with the attribution window), the delay's
        component weights, delay_days (null where nothing is ever bought), final_label.
    """
    rng = generator(config.seed, "events", part)
    warm = ~queries.cold[candidates.query] & ~catalogue.cold[candidates.product]
    mass = np.cumsum(np.sqrt(queries.frequency[candidates.query]) * attracts * warm)
    if not len(mass) or mass[-1] <= 0:
        count = 0
    rows = np.searchsorted(mass, rng.random(count) * (mass[-1] if count else 1), side="right")
    product, query, label = candidates.product[rows], candidates.query[rows], candidates.label[rows]
    t = catalogue.type[product].astype(np.int64)
    department = world.department_of[t]

    day = rng.integers(0, DAYS, count)
    hour = np.minimum(rng.beta(4, 2.2, count) * 24, 23.999)
    elapsed = day + hour / 24
    ratio = catalogue.price[product] / median_price[t]
    returning = rng.random(count) < 0.4
    mobile = rng.random(count) < 0.6
    season = np.array([d.season for d in world.departments])[department]
    peak = 0.5 * np.cos(2 * np.pi * (3 + elapsed / 30 - season) / 12)
    logit = (
        -1.3
        + _BY_LABEL[label]
        - 0.9 * np.log(ratio)
        - 0.2 * np.log(catalogue.price[product] / 40)
        + peak
        + 0.5 * returning
        - 0.3 * mobile
        + config.drift * (elapsed / DAYS - 0.5)
    )
    p_ever = 1 / (1 + np.exp(-logit))
    buys = rng.random(count) < p_ever
    weights = np.array([d.delay for d in world.departments])[department]
    component = (rng.random(count)[:, None] > weights.cumsum(axis=1)[:, :2]).sum(axis=1)
    delay = rng.exponential(DELAY_DAYS[component])
    final = buys & (delay <= config.attribution_days)
    signal = _signal(buys, delay, config, rng)

    shown = START + (elapsed * _DAY).astype(np.int64).astype("timedelta64[us]")
    locale = queries.locale[query]
    identifier = pl.format("E{}-{}", pl.lit(part), pl.int_range(count))
    events = pl.DataFrame(
        {
            "query_id": query_ids(query),
            "product_id": product_names(product),
            "shown_at": shown,
            "engaged_at": _moment(shown, signal, np.isfinite(signal)),
            "converted_at": _moment(shown, delay, final),
            "position": np.minimum(rng.geometric(0.35, count), 10),
            "price": catalogue.price[product].astype(np.float64) * np.array(CURRENCY)[locale],
            "price_ratio": ratio.astype(np.float64),
            "match_score": np.clip(_SCORE[label] + rng.normal(0, 0.12, count), 0, 1),
            "hour": hour.astype(np.int64),
            "returning": returning.astype(np.int64),
            "mobile": mobile.astype(np.int64),
            "department": pl.Series([d.key for d in world.departments]).gather(department),
        }
    ).select(identifier.alias("event_id"), pl.all())
    truth = events.select("event_id").with_columns(
        p=pl.Series(p_ever * delay_share(weights, config.attribution_days)),
        p_ever=pl.Series(p_ever),
        weight_minutes=pl.Series(weights[:, 0]),
        weight_day=pl.Series(weights[:, 1]),
        weight_weeks=pl.Series(weights[:, 2]),
        delay_days=pl.Series(np.where(buys, delay, np.nan)).fill_nan(None),
        final_label=pl.Series(final.astype(np.int64)),
    )
    kept = final | (elapsed >= TRAINING_DAYS) | (rng.random(count) < 1 / config.tau)
    return events.filter(pl.Series(kept)), truth.filter(pl.Series(kept))


def _signal(buys: np.ndarray, delay: Floats, config: ShopConfig, rng: np.random.Generator) -> Floats:
    """Return days until the first revisit or add to cart, before any purchase; NaN where there is none."""
    strength = config.signal_strength
    chance = np.where(buys, 0.25 + 0.7 * strength, 0.25 * (1 - 0.8 * strength))
    blind = rng.exponential(0.3, len(buys))
    leading = rng.random(len(buys)) * delay
    leads = (rng.random(len(buys)) < strength) | (blind >= delay)
    when = np.where(buys & leads, leading, blind)
    return np.where(rng.random(len(buys)) < chance, when, np.nan)


def _moment(start: np.ndarray, days: Floats, where: np.ndarray) -> pl.Series:
    moment = start + (np.where(where, days, 0) * _DAY).astype(np.int64).astype("timedelta64[us]")
    return pl.Series(moment).set(pl.Series(~where), None)


def query_ids(numbers: Ints) -> pl.Series:
    """Return the identifiers of queries."""
    return "Q" + pl.Series(numbers).cast(pl.String).str.zfill(7)


def product_names(products: Ints) -> pl.Series:
    """Return the identifiers of products."""
    return "P" + pl.Series(product_ids(products)).cast(pl.String).str.zfill(8)
