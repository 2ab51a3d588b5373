"""Writers of small sets in exactly the formats of the public ones: same file names, columns, types and words."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

KINDS = ("lamp", "chair", "table", "rug", "shelf", "mirror", "sofa", "desk")
COLORS = ("red", "blue", "green", "white")
BRANDS = ("Acme", "Möbelhaus", "Casa")


def catalogue() -> list[dict[str, str]]:
    """Return one product for each kind, colour and brand."""
    return [
        {"kind": kind, "color": color, "brand": brand, "number": str(number)}
        for number, (kind, color, brand) in enumerate(
            (kind, color, brand) for kind in KINDS for color in COLORS for brand in BRANDS
        )
    ]


def judged(queries: int, each: int = 6) -> Iterator[tuple[int, str, dict[str, str], int]]:
    """Yield (query number, query, product, grade): 0 kind and colour fit, 1 the kind, 2 the colour, 3 nothing."""
    products = catalogue()
    for query in range(queries):
        kind, color = KINDS[query % len(KINDS)], COLORS[query // len(KINDS) % len(COLORS)]
        for rank in range(each):
            product = products[(query * 37 + rank * 13) % len(products)]
            grade = (0 if product["color"] == color else 1) + (0 if product["kind"] == kind else 2)
            yield query, f"{color} {kind} no {query}", product, grade
        yield (
            query,
            f"{color} {kind} no {query}",
            next(p for p in products if p["kind"] == kind and p["color"] == color),
            0,
        )


def esci_frames(queries: int = 60) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return examples and products as the two Parquet files hold them."""
    seen: dict[tuple[int, str], dict[str, Any]] = {}
    for query, text, product, grade in judged(queries):
        market = ("us", "us", "es", "jp")[query % 4]
        seen[query, product["number"]] = {
            "query": text,
            "query_id": query,
            "product_id": f"B{int(product['number']):09d}",
            "product_locale": market,
            "esci_label": "ESCI"[grade],
            "small_version": int(query % 3 != 0),
            "large_version": 1,
            "split": "test" if query % 5 == 4 else "train",
        }
    examples = pl.DataFrame(list(seen.values())).with_row_index("example_id")
    examples = examples.with_columns(pl.col("example_id").cast(pl.Int64))
    products = [
        {
            "product_id": f"B{int(product['number']):09d}",
            "product_title": f"{product['brand']} {product['color']} {product['kind']}",
            "product_description": f"<p>A {product['kind']}</p>" if int(product["number"]) % 3 else None,
            "product_bullet_point": f"for the home\n{product['kind']} in {product['color']}",
            "product_brand": product["brand"],
            "product_color": product["color"],
            "product_locale": market,
        }
        for market in ("us", "es", "jp")
        for product in catalogue()
    ]
    return examples, pl.DataFrame(products)


def write_esci(folder: Path, queries: int = 60) -> None:
    """Write the two Parquet files of the Shopping Queries Data Set."""
    folder.mkdir(parents=True, exist_ok=True)
    examples, products = esci_frames(queries)
    examples.write_parquet(folder / "shopping_queries_dataset_examples.parquet")
    products.write_parquet(folder / "shopping_queries_dataset_products.parquet")


def write_wands(folder: Path, queries: int = 60) -> None:
    """Write the three tab-separated files of WANDS, quoted where a field needs it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {(query, product["number"]): (text, grade) for query, text, product, grade in judged(queries)}
    texts = {query: text for (query, _), (text, _) in rows.items()}
    _tabs(
        folder / "query.csv",
        ["query_id", "query", "query_class"],
        [[q, t, "Décor"] for q, t in texts.items()],
    )
    header = ["query_id", "product_id", "label"]
    words = ("Exact", "Partial", "Irrelevant", "Irrelevant")
    labels = [[q, p, words[grade]] for (q, p), (_, grade) in rows.items()]
    _tabs(folder / "label.csv", ["id", *header], [[i, *row] for i, row in enumerate(labels)])
    products = [
        [
            product["number"],
            f'{product["brand"]} 17" {product["color"]} {product["kind"]}',
            f"{product['kind'].title()}s",
            f"Furniture / {product['kind']}",
            f"a {product['kind']},\nvery {product['color']}" if int(product["number"]) % 4 else "",
            f"color : {product['color']}|kind : {product['kind']}",
            "12.0",
            "4.5",
            "",
        ]
        for product in catalogue()
    ]
    columns = [
        "product_id",
        "product_name",
        "product_class",
        "category hierarchy",
        "product_description",
        "product_features",
        "rating_count",
        "average_rating",
        "review_count",
    ]
    _tabs(folder / "product.csv", columns, products)


def write_magellan(folder: Path, queries: int = 40, tables: bool = True, whole_queries: bool = False) -> None:
    """Write a Magellan folder: numbers and two tables, or both records in every row.

    Pairs are dealt out to the splits, as in the public sets, or `whole_queries` are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {(query, product["number"]): (text, grade) for query, text, product, grade in judged(queries)}
    left = {query: [text, "acme"] for (query, _), (text, _) in pairs.items()}
    right = {
        product["number"]: [f"{product['color']} {product['kind']}", product["brand"]]
        for product in catalogue()
    }
    columns = ["title", "manufacturer"]
    splits: dict[str, list[list[Any]]] = {"train": [], "valid": [], "test": []}
    for number, ((query, product), (_, grade)) in enumerate(pairs.items()):
        split = ("train", "train", "train", "valid", "test")[(query if whole_queries else number) % 5]
        row: list[Any] = [query, product, int(grade == 0)]
        if not tables:
            row = [number, int(grade == 0), query, *left[query], product, *right[product]]
        splits[split].append(row)
    header = ["ltable_id", "rtable_id", "label"]
    if not tables:
        header = ["id", "label", "left_id", *(f"left_{c}" for c in columns)]
        header += ["right_id", *(f"right_{c}" for c in columns)]
    else:
        _commas(folder / "tableA.csv", ["id", *columns], [[i, *v] for i, v in left.items()])
        _commas(folder / "tableB.csv", ["id", *columns], [[i, *v] for i, v in right.items()])
    for split, rows in splits.items():
        _commas(folder / f"{split}.csv", header, rows)


def _tabs(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    _write(path, header, rows, "\t")


def _commas(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    _write(path, header, rows, ",")


def _write(path: Path, header: list[str], rows: list[list[Any]], separator: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([header, *rows])
