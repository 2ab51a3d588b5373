"""Records of the embedded shop and of the readers. Imports nothing but the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prodmatch_core.data.gains import ESCI_LABELS
from prodmatch_core.records import DatasetSpec

DATA = "prodmatch_core.data"
SAMPLES = "prodmatch_core.testing.samples"
PAIRS = frozenset({"products", "queries", "judgements"})
"The tables that a file of judged pairs gives."
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "groups": {"path": "items.csv"},
    "edges": {"path": "edges.csv"},
    "amazon_metadata": {"path": "amazon/meta_Toys.json.gz"},
    "events": {"path": "events.csv", "categorical": ["device"], "numeric": ["size"]},
}
"Examples of the readers of groups, graphs and events; the others read their files by default."


def datasets() -> Iterator[DatasetSpec]:
    """Yield the embedded shop and the readers."""
    yield DatasetSpec(
        name="shop.synthetic",
        summary="The embedded shop: a seeded world whose truth is known.",
        factory=f"{DATA}.shop.reading:read",
        config=f"{DATA}.shop.config:ShopConfig",
        labels=lambda config: ESCI_LABELS,
        writer=f"{DATA}.shop.generate:write_shop",
        example={"size": 400},
        gives=PAIRS | {"engagements", "events"},
    )
    yield DatasetSpec(
        name="core.pairs",
        summary="Query-product-label files: CSV, TSV, JSON lines, Parquet, plain or gzipped.",
        factory=f"{DATA}.pairs:read",
        config=f"{DATA}.pairs_config:PairsConfig",
        labels=lambda config: config.scheme.labels,
        example={"path": "pairs.csv"},
        sample=f"{SAMPLES}:pairs",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.crowdflower",
        summary="CrowdFlower search relevance: four grades with rater variance, or binary.",
        factory=f"{DATA}.public_pairs:read_crowdflower",
        config=f"{DATA}.pairs_config:CrowdflowerConfig",
        labels=lambda config: config.labels,
        sample=f"{SAMPLES}:crowdflower",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.homedepot",
        summary="Home Depot search relevance: mean rating as match and mismatch, or three grades.",
        factory=f"{DATA}.public_pairs:read_homedepot",
        config=f"{DATA}.pairs_config:HomeDepotConfig",
        labels=lambda config: config.labels,
        sample=f"{SAMPLES}:homedepot",
        gives=PAIRS,
    )
    for name, module, summary in (
        (
            "esci",
            "Esci",
            "Shopping Queries Data Set (ESCI): its two Parquet files, by version, locale and split.",
        ),
        ("wands", "Wands", "Wayfair Annotation Dataset (WANDS): its three tab-separated files."),
        ("magellan", "Magellan", "Magellan and DeepMatcher sets: pairs of records, one CSV file a split."),
    ):
        yield DatasetSpec(
            name=f"core.{name}",
            summary=summary,
            factory=f"{DATA}.{name}:read",
            config=f"{DATA}.official_config:{module}Config",
            labels=lambda config: config.labels,
            example={"folder": "magellan"} if name == "magellan" else {},
            sample=f"{SAMPLES}:{name}",
            gives=PAIRS,
        )
    yield from _structured()
    yield DatasetSpec(
        name="core.folder",
        summary="A folder prodmatch wrote: Parquet tables and dataset.toml.",
        factory=f"{DATA}.folder:read",
        config=f"{DATA}.folder_config:FolderConfig",
        example={"path": "tiny"},
        sample=f"{SAMPLES}:canonical",
        gives=PAIRS | {"engagements", "groups", "events"},
    )


def _structured() -> Iterator[DatasetSpec]:
    """Yield the readers that give groups, a graph of products, or events."""
    groups, graph, events = {"products", "groups"}, {"products", "engagements"}, {"events"}
    for name, factory, config, gives, summary in (
        (
            "groups",
            "groups:read",
            "groups_config:GroupsConfig",
            groups,
            "Items labelled by group, one a row.",
        ),
        (
            "shopee",
            "groups:read_shopee",
            "groups_config:ShopeeConfig",
            groups,
            "Shopee price match guarantee: listings grouped by product.",
        ),
        (
            "edges",
            "edges:read",
            "graph_config:EdgesConfig",
            graph,
            "Directed product graphs: tables of edges, SNAP edge lists, npz arrays.",
        ),
        (
            "citeseer",
            "edges:read_citeseer",
            "graph_config:CiteseerConfig",
            graph,
            "Citeseer: directed citations, with the words of each paper.",
        ),
        (
            "amazon_metadata",
            "amazon_metadata:read",
            "graph_config:AmazonMetadataConfig",
            graph,
            "Amazon product metadata: also bought, also viewed.",
        ),
        ("events", "events:read", "events_config:EventsConfig", events, "Event logs with conversions."),
        (
            "criteo",
            "events:read_criteo",
            "events_config:CriteoConfig",
            events,
            "Criteo conversion logs: clicks and when they converted.",
        ),
        (
            "criteo_display",
            "events:read_criteo_display",
            "events_config:CriteoDisplayConfig",
            events,
            "Criteo display advertising: clicks in order of time, without times.",
        ),
        (
            "talkingdata",
            "events:read_talkingdata",
            "events_config:TalkingDataConfig",
            events,
            "TalkingData: clicks on advertisements, and downloads of the app.",
        ),
    ):
        yield DatasetSpec(
            name=f"core.{name}",
            summary=summary,
            factory=f"{DATA}.{factory}",
            config=f"{DATA}.{config}",
            example=_EXAMPLES.get(name, {}),
            sample=f"{SAMPLES}:{name}",
            gives=gives,
        )
