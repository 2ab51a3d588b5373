"""What is in a data set: counts, shares, lengths, duplicates and leaks, as plain data and as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.splits import leaks
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.data.texts import PRODUCT_FIELDS, normalised

_QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return what there is to know of a data set before using it; only JSON types.

    Keys: name, source, licence, fingerprint, notes, tables (rows, and empty cells per column), scheme; and,
    where there are judgements: labels (share of each), splits (judgements, queries, products and label shares
    of each), judgements_per_query; locales, lengths in characters, duplicates, leaks; and, where there are
    such tables: relations, groups, events, truth.
    """
    result: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "fingerprint": dataset.fingerprint(),
        "notes": list(dataset.notes),
        "tables": {
            name: {"rows": table.height, "empty": {c.name: c.null_count() for c in table.iter_columns()}}
            for name, table in dataset.tables()
        },
        "scheme": _plain(attrs.asdict(dataset.scheme)) if dataset.scheme else None,
    }
    judgements = dataset.judgements
    if judgements is not None and dataset.scheme is not None:
        labels = dataset.scheme.labels
        result["labels"] = _label_shares(judgements, labels)
        result["splits"] = {
            split: {
                "judgements": part.height,
                "queries": part["query_id"].n_unique(),
                "products": part["product_id"].n_unique(),
                "labels": _label_shares(part, labels),
            }
            for split in SPLITS
            for part in [judgements.filter(pl.col("split") == split)]
        }
        result["judgements_per_query"] = _quantiles(judgements.group_by("query_id").len()["len"])
    result["locales"] = _locales(dataset)
    result["lengths"] = dict(_lengths(dataset))
    result["duplicates"] = _duplicates(dataset)
    result["leaks"] = attrs.asdict(leaks(dataset))
    if dataset.engagements is not None:
        result["relations"] = _counts(dataset.engagements, "relation")
    if dataset.groups is not None:
        result["groups"] = {
            "items": dataset.groups.height,
            "groups": dataset.groups["group"].n_unique(),
            "splits": _counts(dataset.groups, "split"),
        }
    if dataset.events is not None:
        events = dataset.events
        converted = events["converted_at"].count() if "converted_at" in events.columns else 0
        result["events"] = {"events": events.height, "converted": converted}
    if dataset.truth:
        result["truth"] = {name: table.height for name, table in dataset.truth.items()}
    return result


def render(description: Mapping[str, Any]) -> str:
    """Return a description as text for a terminal or a log."""
    return "\n".join(_lines(description))


def _lines(description: Mapping[str, Any]) -> Iterator[str]:
    yield f"{description['name']}: {description['source']} (licence: {description['licence']})"
    yield f"fingerprint {description['fingerprint'][:16]}"
    for name, table in description["tables"].items():
        empty = ", ".join(f"{column} {count}" for column, count in table["empty"].items() if count)
        yield f"{name:<14}{table['rows']:>10} rows" + (f"   empty: {empty}" if empty else "")
    if "splits" in description:
        labels = list(description["labels"])
        rows = [["split", "judgements", "queries", "products", *labels]]
        for split, part in description["splits"].items():
            shares = [f"{part['labels'][label]:.1%}" for label in labels]
            rows.append([split, *(str(part[key]) for key in rows[0][1:4]), *shares])
        yield ""
        yield from _aligned(rows)
    quantities = {f"characters of {name}": row for name, row in description["lengths"].items()}
    if "judgements_per_query" in description:
        quantities = {"judgements per query": description["judgements_per_query"], **quantities}
    if quantities:
        yield ""
        yield from _aligned(
            [
                ["", *_QUANTILES],
                *([name, *(f"{v:g}" for v in row.values())] for name, row in quantities.items()),
            ]
        )
    yield ""
    for title in ("locales", "relations", "groups", "events", "truth", "duplicates", "leaks"):
        for name, value in description.get(title, {}).items():
            inner = value if isinstance(value, Mapping) else {"": value}
            yield f"{title} {name}: " + ", ".join(f"{key} {count}".strip() for key, count in inner.items())
    yield from (f"note: {note}" for note in description["notes"])


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest])


def _label_shares(judgements: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, float]:
    counts = _counts(judgements, "label")
    return {label: counts.get(label, 0) / max(1, judgements.height) for label in labels}


def _counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    counted = table.group_by(column).len().sort("len", column, descending=[True, False])
    return dict(counted.iter_rows())


def _quantiles(values: pl.Series) -> dict[str, float]:
    values = values.drop_nulls()
    if values.is_empty():
        return {}
    return {name: float(values.quantile(q, "nearest") or 0) for name, q in _QUANTILES.items()}


def _locales(dataset: Dataset) -> dict[str, dict[str, int]]:
    locales: dict[str, dict[str, int]] = {}
    tables = {"queries": dataset.queries, "products": dataset.products}
    if dataset.judgements is not None and dataset.queries is not None:
        tables["judgements"] = dataset.judgements.join(dataset.queries, on="query_id")
    for name, table in tables.items():
        if table is not None:
            for locale, count in _counts(table, "locale").items():
                locales.setdefault(locale, {})[name] = count
    return dict(sorted(locales.items()))


def _lengths(dataset: Dataset) -> Iterator[tuple[str, dict[str, float]]]:
    for name, table, columns in (
        ("queries", dataset.queries, ("text",)),
        ("products", dataset.products, PRODUCT_FIELDS),
    ):
        for column in columns:
            if table is not None and column in table.columns and table[column].count():
                yield f"{name}.{column}", _quantiles(table[column].str.len_chars())


def _duplicates(dataset: Dataset) -> dict[str, int]:
    """Count rows whose text an earlier row has: queries by normalised text, products by title."""
    duplicates = {}
    if dataset.queries is not None:
        texts = normalised(dataset.queries["text"])
        duplicates["queries"] = len(texts) - texts.n_unique()
    if dataset.products is not None:
        titles = dataset.products["title"].drop_nulls()
        duplicates["titles"] = len(titles) - titles.n_unique()
    return duplicates


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
