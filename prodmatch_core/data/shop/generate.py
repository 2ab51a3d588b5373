"""The shop, made: `shop_parts` streams it table by table, `make_shop` holds it, `write_shop` puts it on disk.

Catalogue numbers and queries are made first; then every block of a thousand queries is worked out on its own,
from its own seeds, so no number depends on threads or on other blocks. What grows with the size is numbers
alone: some 60 bytes a product, 25 an edge of the bought-next graph, 60 a query. Texts are never held.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.data.folder import write_parts
from prodmatch_core.data.shop import draws, truth
from prodmatch_core.data.shop.behaviour import PAGE, STEPS, Behaviour, attraction, simulate_sessions
from prodmatch_core.data.shop.bought_next import Flow, flow_parts
from prodmatch_core.data.shop.catalogue import Catalogue, make_catalogue, sold_in
from prodmatch_core.data.shop.concurrent import in_order
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.conversions import make_events, product_names, query_ids
from prodmatch_core.data.shop.draws import Floats, Ints
from prodmatch_core.data.shop.judgements import Candidates, Shelves, choose_judged, find_candidates, rate
from prodmatch_core.data.shop.labels import label_pairs
from prodmatch_core.data.shop.lexicon import Lexicon
from prodmatch_core.data.shop.queries import Queries, make_queries
from prodmatch_core.data.shop.spelling import LOCALES
from prodmatch_core.data.shop.texts import product_table
from prodmatch_core.data.shop.worldbook import World, load_world
from prodmatch_core.data.tables import SPLITS

_QUERIES_A_PART = 1_000
_PRODUCTS_A_PART = 50_000
_NAME = "shop.synthetic"
_LICENCE = "Apache-2.0"


def shop_parts(config: ShopConfig) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield (table, rows) until the shop is complete; truth tables are named `truth.<table>`.

    The rows of a table, in the order they come, are the same for the same configuration on every machine.
    """
    world = load_world()
    catalogue = make_catalogue(world, config)
    queries = make_queries(world, catalogue, config)
    yield from _product_parts(world, catalogue, config)
    yield "queries", _query_table(queries)
    yield "truth.constraints", truth.constraint_table(world, catalogue, queries)
    yield "truth.relations", truth.relation_table(world)
    yield "truth.models", truth.model_table(world, catalogue)
    yield "truth.delay_laws", truth.delay_law_table(world)
    positions = np.zeros((PAGE, len(STEPS) + 1), dtype=np.int64)
    viewed: list[Ints] = []
    for frames, behaviour in _query_parts(world, catalogue, queries, config):
        yield from frames
        positions += behaviour.positions
        viewed.append(behaviour.viewed[:, 0] * len(catalogue) + behaviour.viewed[:, 1])
    pairs, times = np.unique(np.concatenate(viewed), return_counts=True)
    yield "engagements", _product_edges(pairs // len(catalogue), pairs % len(catalogue), times, "co_view")
    yield "truth.positions", truth.position_table(positions)
    yield from _flow_parts(flow_parts(world, catalogue, config))


def make_shop(config: ShopConfig) -> Dataset:
    """Make the shop in memory: all tables and, in `truth`, what only its maker knows."""
    tables: dict[str, list[pl.DataFrame]] = {}
    for name, frame in shop_parts(config):
        tables.setdefault(name, []).append(frame)
    # one table after the other, so that never more than one is there twice
    whole = {name: pl.concat(tables.pop(name), rechunk=True) for name in list(tables)}
    return attrs.evolve(
        _head(config),
        products=whole["products"],
        queries=whole["queries"],
        judgements=whole["judgements"],
        engagements=whole["engagements"],
        events=whole["events"],
        truth={
            name.removeprefix("truth."): frame for name, frame in whole.items() if name.startswith("truth.")
        },
    )


def write_shop(config: ShopConfig, folder: Path, overwrite: bool = False) -> None:
    """Write the shop as a canonical folder, part by part; the files are those of `write_folder(make_shop())`.

    Raises:
        DataError: the folder has other files, or a data set and `overwrite` is false.
    """
    write_parts(_head(config), shop_parts(config), folder, overwrite)


def _head(config: ShopConfig) -> Dataset:
    """Return the data set without its tables."""
    return Dataset(
        name=_NAME,
        scheme=ESCI,
        licence=_LICENCE,
        source=f"{_NAME}, size {config.size}, seed {config.seed}",
        notes=("An invented shop: no real product, brand, query or shopper is in it.",),
    )


def _product_parts(
    world: World, catalogue: Catalogue, config: ShopConfig
) -> Iterator[tuple[str, pl.DataFrame]]:
    def texts() -> Iterator[tuple[Lexicon, Ints]]:
        for locale in range(len(LOCALES)):
            lexicon = Lexicon(world, catalogue.models, locale)
            rows = sold_in(catalogue, locale)
            for start in range(0, len(rows), _PRODUCTS_A_PART):
                yield lexicon, rows[start : start + _PRODUCTS_A_PART]

    for table in in_order(lambda part: product_table(world, catalogue, *part, config.seed), texts()):
        yield "products", table
    starts = iter(range(0, len(catalogue), _PRODUCTS_A_PART))
    for table in in_order(
        lambda start: truth.attribute_table(
            world, catalogue, np.arange(start, min(start + _PRODUCTS_A_PART, len(catalogue)))
        ),
        starts,
    ):
        yield "truth.attributes", table


def _flow_parts(flows: Iterator[Flow]) -> Iterator[tuple[str, pl.DataFrame]]:
    for flow in flows:
        source, target = product_names(flow.source), product_names(flow.target)
        seen = pl.Series(flow.count > 0)
        count = flow.count[flow.count > 0]
        yield (
            "engagements",
            _edges(source.filter(seen), target.filter(seen), count, "bought_next", "product", None),
        )
        yield (
            "truth.next_purchase",
            pl.DataFrame({"src": source, "dst": target, "probability": flow.probability}),
        )


def _query_table(queries: Queries) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "query_id": query_ids(np.arange(len(queries))),
            "locale": pl.Series(LOCALES).gather(queries.locale),
            "text": queries.text,
            "frequency": queries.frequency,
        }
    )


@attrs.frozen(eq=False)
class _Block:
    """Some queries of one locale that are worked out together; `part` seeds what is drawn for them."""

    part: int
    locale: int
    shelves: Shelves
    queries: Ints


def _query_blocks(world: World, catalogue: Catalogue, queries: Queries) -> Iterator[_Block]:
    part = 0
    for locale in range(len(LOCALES)):
        shelves = Shelves(world, catalogue, locale)
        numbers = np.flatnonzero(queries.locale == locale)
        for start in range(0, len(numbers), _QUERIES_A_PART):
            yield _Block(part, locale, shelves, numbers[start : start + _QUERIES_A_PART])
            part += 1


def _query_parts(
    world: World, catalogue: Catalogue, queries: Queries, config: ShopConfig
) -> Iterator[tuple[list[tuple[str, pl.DataFrame]], Behaviour]]:
    """Work out judgements, engagements and events, a block of queries at a time."""
    medians = np.array([t.price[0] for t in world.types])
    judged = _shares(np.ones(len(queries)), config.size)
    events = _shares(queries.frequency, round(config.events_per_judgement * config.size))

    def work(block: _Block) -> tuple[list[tuple[str, pl.DataFrame]], Behaviour]:
        mine, part = block.queries, block.part
        end, start = mine[-1] + 1, mine[0]
        found = find_candidates(world, catalogue, block.shelves, queries, mine, config, part)
        attracts = attraction(catalogue, medians, found, config.seed)
        rows = choose_judged(found, int(judged[end] - judged[start]), config, part)
        table, secret = _judgement_tables(world, catalogue, queries, found.take(rows), config, part)
        behaviour = simulate_sessions(catalogue, queries, found, attracts, config, part)
        count = int(events[end] - events[start])
        log, truths = make_events(world, catalogue, queries, found, attracts, medians, count, config, part)
        engagements = _engagement_table(found, behaviour, block.locale)
        frames = [
            ("judgements", table),
            ("truth.judgements", secret),
            ("engagements", engagements),
            ("events", log),
            ("truth.events", truths),
        ]
        return frames, behaviour

    yield from in_order(work, _query_blocks(world, catalogue, queries))


def _shares(weights: Floats, total: int) -> Ints:
    """Return (n + 1,) borders that share `total` out in proportion to the weights."""
    return np.floor(np.concatenate([[0.0], np.cumsum(weights) / weights.sum()]) * total + 0.5).astype(
        np.int64
    )


def _judgement_tables(
    world: World, catalogue: Catalogue, queries: Queries, judged: Candidates, config: ShopConfig, part: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    recorded, spread, chance = rate(judged.label, judged.cause, config, part)
    split = queries.split[judged.query]
    kept = (split != 0) | _kept_in_training(catalogue, queries, judged, recorded, config, part)
    labels = pl.Series(ESCI.labels)
    keys = {"query_id": query_ids(judged.query), "product_id": product_names(judged.product)}
    table = pl.DataFrame(
        keys | {"label": labels.gather(recorded), "split": pl.Series(SPLITS).gather(split), "spread": spread}
    )
    wants = queries.wants.take(judged.query)
    read, _ = label_pairs(world, catalogue, wants, judged.product, blind=True)
    secret = pl.DataFrame(keys | truth.judgement_columns(judged.label, judged.cause, read, chance))
    return table.filter(pl.Series(kept)), secret.filter(pl.Series(kept))


def _kept_in_training(
    catalogue: Catalogue,
    queries: Queries,
    judged: Candidates,
    recorded: np.ndarray,
    config: ShopConfig,
    part: int,
) -> np.ndarray:
    """Apply scarcity, tau and evidence_spread to training rows."""
    rng = draws.generator(config.seed, "thinning", part)
    negative = recorded != 0
    kept = ~negative | (rng.random(len(negative)) < config.scarcity / config.tau)
    segment = queries.wants.type[judged.query].astype(np.int64) * len(LOCALES) + queries.locale[judged.query]
    evidence = np.log(1 - draws.uniform(config.seed, "evidence", segment)) * config.evidence_spread
    met = draws.uniform(config.seed, "evidence-query", judged.query) < np.exp(evidence)
    return kept & met


def _engagement_table(found: Candidates, behaviour: Behaviour, locale: int) -> pl.DataFrame:
    frames = []
    for step, name in enumerate(STEPS):
        rows = np.flatnonzero(behaviour.counts[:, step])
        frames.append(
            _edges(
                query_ids(found.query[rows]),
                product_names(found.product[rows]),
                behaviour.counts[rows, step],
                name,
                "query",
                LOCALES[locale],
            )
        )
    return pl.concat(frames)


def _product_edges(source: Ints, target: Ints, count: Ints, relation: str) -> pl.DataFrame:
    return _edges(product_names(source), product_names(target), count, relation, "product", None)


def _edges(
    source: pl.Series, target: pl.Series, count: Ints, relation: str, kind: str, locale: str | None
) -> pl.DataFrame:
    return pl.DataFrame({"src": source, "dst": target, "count": count.astype(np.float64)}).select(
        pl.lit(kind).alias("src_kind"),
        "src",
        pl.lit(relation).alias("relation"),
        pl.lit("product").alias("dst_kind"),
        "dst",
        "count",
        pl.lit(locale, dtype=pl.String).alias("locale"),
    )
