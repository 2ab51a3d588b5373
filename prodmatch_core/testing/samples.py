"""Tiny files in the formats that the core's readers read, for the `sample` of their records.

Each function takes the folder that stands for the data folder and writes what the reader's example, or its defaults,
name below it.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.folder import write_folder
from prodmatch_core.testing.official_files import judged, write_esci, write_magellan, write_wands
from prodmatch_core.testing.worlds import SPLITS, START, event_log, item_groups, judged_pairs, product_graph

QUERIES = 20
ROWS = 40


def pairs(folder: Path) -> None:
    """Write `pairs.csv`: query, title and label."""
    words = ("match", "mismatch", "mismatch", "mismatch")
    rows = [[query, product["kind"], words[grade]] for _, query, product, grade in judged(QUERIES)]
    _write(
        folder / "pairs.csv", ["query", "title", "label"], {(q, t): [q, t, g] for q, t, g in rows}.values()
    )


def crowdflower(folder: Path) -> None:
    """Write `crowdflower/train.csv`: medians from 1 to 4 and the variance of the raters."""
    rows = [
        [number, query, _title(product), f"a {product['kind']}", 4 - grade, grade / 4]
        for number, (_, query, product, grade) in enumerate(_once(judged(QUERIES)))
    ]
    names = ["id", "query", "product_title", "product_description", "median_relevance", "relevance_variance"]
    _write(folder / "crowdflower" / "train.csv", names, rows)


def homedepot(folder: Path) -> None:
    """Write `homedepot/train.csv`: means from 1 to 3."""
    rows = [
        [number, product["number"], _title(product), query, 3 - grade / 2]
        for number, (_, query, product, grade) in enumerate(_once(judged(QUERIES)))
    ]
    names = ["id", "product_uid", "product_title", "search_term", "relevance"]
    _write(folder / "homedepot" / "train.csv", names, rows, encoding="ISO-8859-1")


def esci(folder: Path) -> None:
    """Write the two files of the Shopping Queries Data Set."""
    write_esci(folder / "esci")


def wands(folder: Path) -> None:
    """Write the three files of WANDS."""
    write_wands(folder / "wands")


def magellan(folder: Path) -> None:
    """Write the five files of a Magellan set, under `magellan`; every query is in one split."""
    write_magellan(folder / "magellan", whole_queries=True)


def groups(folder: Path) -> None:
    """Write `items.csv`: items with group and title."""
    _write(folder / "items.csv", ["item_id", "group", "title"], _items())


def shopee(folder: Path) -> None:
    """Write `shopee/train.csv`: listings with their label group."""
    rows = [[item, f"{item}.jpg", "0f", title, group] for item, group, title in _items()]
    names = ["posting_id", "image", "image_phash", "title", "label_group"]
    _write(folder / "shopee" / "train.csv", names, rows)


def edges(folder: Path) -> None:
    """Write `edges.csv`: source and target."""
    _write(folder / "edges.csv", ["source", "target"], _ends())


def citeseer(folder: Path) -> None:
    """Write `citeseer_directed/citeseer.npz`: adjacency and words as compressed sparse rows."""
    ends = sorted((int(a[1:]), int(b[1:])) for a, b in _ends())
    nodes = 1 + max(max(pair) for pair in ends)
    counts = np.bincount([a for a, _ in ends], minlength=nodes)
    path = folder / "citeseer_directed" / "citeseer.npz"
    path.parent.mkdir(parents=True)
    np.savez(
        path,
        adj_data=np.ones(len(ends), dtype=np.float32),
        adj_indices=np.array([b for _, b in ends], dtype=np.int32),
        adj_indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        adj_shape=np.array([nodes, nodes]),
        attr_data=np.ones(nodes, dtype=np.float32),
        attr_indices=(np.arange(nodes) % 7).astype(np.int32),
        attr_indptr=np.arange(nodes + 1, dtype=np.int32),
        attr_shape=np.array([nodes, 7]),
        labels=np.arange(nodes) % 3,
        node_names=np.array([f"paper{n}" for n in range(nodes)]),
    )


def amazon_metadata(folder: Path) -> None:
    """Write `amazon/meta_Toys.json.gz`: a JSON object a line."""
    follows: dict[str, list[str]] = {}
    for source, target in _ends():
        follows.setdefault(source, []).append(target)
    rows = [
        {"asin": name, "title": f"toy {name}", "also_buy": targets[:2], "also_view": targets[2:]}
        for name, targets in follows.items()
    ]
    path = folder / "amazon" / "meta_Toys.json.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode(), mtime=0))


def events(folder: Path) -> None:
    """Write `events.csv`: shown and converted, a kind and a size."""
    rows = [
        [_moment(n), _moment(n + 1) if n % 3 == 0 else "", ("phone", "desk")[n % 2], n % 9]
        for n in range(ROWS)
    ]
    _write(folder / "events.csv", ["shown_at", "converted_at", "device", "size"], rows)


def criteo(folder: Path) -> None:
    """Write `criteo/data.txt`: click and conversion in seconds, 8 integers, 9 categories, no header."""
    rows = [[60 * n, 60 * n + 30 if n % 3 == 0 else "", *range(8), *"abcdefghi"] for n in range(ROWS)]
    _write(folder / "criteo" / "data.txt", None, rows, "\t")


def criteo_display(folder: Path) -> None:
    """Write `criteo_tiny/train.tiny.csv`: label, 13 integers, 26 categories."""
    names = ["Id", "Label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
    rows = [[n, int(n % 3 == 0), *[n % 5] * 13, *["ab"] * 26] for n in range(ROWS)]
    _write(folder / "criteo_tiny" / "train.tiny.csv", names, rows)


def talkingdata(folder: Path) -> None:
    """Write `talkingdata/train_sample_markqle.csv`: clicks, and when the app was downloaded."""
    names = ["ip", "app", "device", "os", "channel", "click_time", "attributed_time", "is_attributed"]
    rows = [
        [n % 11, n % 5, 1, n % 3, n % 7, _moment(n), _moment(n + 1) if n % 3 == 0 else "", int(n % 3 == 0)]
        for n in range(ROWS)
    ]
    _write(folder / "talkingdata" / "train_sample_markqle.csv", names, rows)


def canonical(folder: Path) -> None:
    """Write the folder `tiny`: judged pairs as prodmatch writes them, with their products in groups and a log."""
    dataset, log = judged_pairs(), event_log()
    assert dataset.products is not None and log.events is not None
    query = pl.col("product_id").str.strip_prefix("p").str.split("-").list.first().cast(pl.Int64)
    split = (query % 5).replace_strict(range(5), SPLITS)
    groups = dataset.products.select(item_id="product_id", group=query.cast(pl.String), split=split)
    events = log.events.with_columns(product_id=pl.col("product_id") + "-0")
    write_folder(attrs.evolve(dataset, groups=groups, events=events), folder / "tiny")


def _title(product: dict[str, str]) -> str:
    return f"{product['brand']} {product['color']} {product['kind']}"


def _once(rows: Iterable[tuple[int, str, dict[str, str], int]]) -> list[tuple[int, str, dict[str, str], int]]:
    return list({(row[0], row[2]["number"]): row for row in rows}.values())


def _items() -> list[list[str]]:
    dataset = item_groups()
    assert dataset.products is not None and dataset.groups is not None
    titles = dict(dataset.products.select("product_id", "title").iter_rows())
    return [
        [item, group, titles[item]] for item, group in dataset.groups.select("item_id", "group").iter_rows()
    ]


def _ends() -> list[tuple[str, str]]:
    engagements = product_graph().engagements
    assert engagements is not None
    return engagements.select("src", "dst").rows()


def _moment(hours: int) -> str:
    return (START + timedelta(hours=hours)).isoformat(sep=" ")


def _write(
    path: Path,
    names: Sequence[str] | None,
    rows: Iterable[Sequence[Any]],
    separator: str = ",",
    encoding: str = "utf-8",
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
        writer.writerows([*([names] if names else []), *rows])
