"""Reader of query-product-label files.

Rows become judgements in four steps: name the columns, turn values into classes and numbers, identify queries
and products, merge rows about the same pair. Each step says which rows it cannot use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.files import RawTable, as_text, read_table
from prodmatch_core.data.merging import classify, merge_judgements
from prodmatch_core.data.pairs_config import Columns, PairsConfig, Scheme
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references, leaks, split_by_query
from prodmatch_core.data.texts import PRODUCT_FIELDS, derive_ids, normalised
from prodmatch_core.errors import DataError, did_you_mean

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}


@attrs.frozen
class Origin:
    """What is known of a file beyond how to read it."""

    name: str
    "Name of the data set."
    source: str
    "Where it comes from."
    licence: str = "unknown"
    "Terms of use."
    part: str = "core.pairs"
    "The part that reads it; remedies that only `core.pairs` has a setting for are not offered by others."


def read(config: PairsConfig, context: ReadContext) -> Dataset:
    """Return the data set of one query-product-label file.

    Identifiers the file does not have are hashes of the texts: of locale and query for a query, of all its
    texts for a product. Rows about the same query and product are merged (`merging`). Splits of the file are
    kept; those it lacks are cut by whole queries.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a bad row and `context` skips none.
    """
    return read_pairs(config, context, Origin(Path(config.path).name.partition(".")[0], config.path))


def label_scheme(scheme: Scheme) -> LabelScheme:
    """Return the label scheme that a configuration describes, with its defaults filled in."""
    count = len(scheme.labels)
    gains = scheme.gains or tuple(float(count - 1 - rank) for rank in range(count))
    return LabelScheme(scheme.name, scheme.labels, gains, scheme.positive or scheme.labels[:1])


def read_pairs(config: PairsConfig, context: ReadContext, origin: Origin) -> Dataset:
    """Return the data set of one file, under the name and terms of `origin`; see `read`."""
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, config.format, config.encoding, config.quote, bad)
    names = _columns(raw, config.columns, origin.part)
    rows = _Rows(raw, names, bad)
    rows.frame = rows.frame.with_columns(pl.col("locale").fill_null(config.locale))
    _check_texts(rows)
    _parse_labels(rows, config, preset=origin.part != "core.pairs")
    _parse_rest(rows)
    rows.drop_bad()
    _identify(rows)
    rows.drop_bad()
    if not rows.frame.height:
        raise DataError(f"{path}: no usable row; all {raw.total} are bad. {bad.notes(raw.total)[1]}")
    scheme = label_scheme(config.scheme)
    _check_classes(rows.frame, scheme, path)
    judgements, notes = merge_judgements(rows.frame, scheme.labels, config.thresholds)
    queries = rows.frame.group_by("query_id", maintain_order=True).agg(
        pl.col("locale").first(), pl.col("query").first().alias("text")
    )
    products, product_notes = _products(rows.frame)
    given = _given_splits(rows) if "split" in rows.frame.columns else None
    rank = pl.col("label").replace_strict(scheme.labels, range(len(scheme.labels)), return_dtype=pl.Int64)
    classes = judgements.select("query_id", rank.alias("class"))
    splits = split_by_query(queries, context.split, classes, given)
    dataset = Dataset(
        name=origin.name,
        scheme=scheme,
        products=products,
        queries=queries,
        judgements=judgements.join(splits, on="query_id", how="left", maintain_order="left"),
        licence=origin.licence,
        source=origin.source,
        notes=(*bad.notes(raw.total), *notes, *product_notes),
    )
    check_references(dataset)
    return attrs.evolve(dataset, notes=(*dataset.notes, *leaks(dataset).notes()))


class _Rows:
    """The rows still in use, their row numbers, and the complaints about them."""

    def __init__(self, raw: RawTable, names: dict[str, str], bad: BadRows) -> None:
        chosen = raw.frame.select(pl.col(source).alias(name) for name, source in names.items())
        text = as_text(chosen, raw.path)
        blank = pl.when(pl.all().str.strip_chars() != "").then(pl.all())
        self.frame = text.select(blank).with_row_index("_record")
        if "locale" not in names:
            self.frame = self.frame.with_columns(locale=pl.lit(None, dtype=pl.String))
        self.names = names
        self.bad = bad
        self._raw = raw
        self._found: dict[int, BadRow] = {}

    def number(self, record: int) -> int:
        """Return the row number in the file of a record."""
        return self._numbers[record]

    @cached_property
    def _numbers(self) -> Sequence[int]:
        return self._raw.row_numbers()

    def refuse(
        self, column: str, mask: pl.Series, reason: Callable[[dict[str, Any]], str], remedy: str
    ) -> None:
        """Complain about `column` of the rows where `mask` is true; a row's first complaint counts."""
        for row in self.frame.filter(mask.fill_null(False)).iter_rows(named=True):
            record = row["_record"]
            name = self.names.get(column, column)
            self._found.setdefault(record, BadRow(self.number(record), name, reason(row), remedy))

    def drop_bad(self) -> None:
        """Report the rows complained about and leave them out."""
        self.bad.report(self._found.values())
        if self._found:
            self.frame = self.frame.filter(~pl.col("_record").is_in(list(self._found)))
            self._found = {}


def _columns(raw: RawTable, columns: Columns, part: str) -> dict[str, str]:
    """Return our name -> the file's name of every column there is."""
    header = raw.frame.columns
    wanted = attrs.asdict(columns)
    required = ("query", "title", "label")
    names = {name: source or name for name, source in wanted.items() if source != ""}
    missing = [
        names[name]
        for name in names
        if names[name] not in header and (name in required or wanted[name] is not None)
    ]
    if missing:
        said = []
        for source in missing:
            hint = did_you_mean(source, header).removeprefix("; ")
            said.append(f'"{source}" ({hint})' if hint.startswith("did") else f'"{source}"')
        remedy = (
            'Say which column holds what, e.g. columns.query = "search_term".'
            if part == "core.pairs"
            else f'{part} reads the original file; read others with use = "core.pairs".'
        )
        raise DataError(
            f"{raw.path}: no column {', '.join(said)}. The file has {', '.join(header)}. {remedy}"
        )
    return {name: source for name, source in names.items() if source in header}


def _check_texts(rows: _Rows) -> None:
    for name in ("query", "title"):
        identifier = f"{name.replace('title', 'product')}_id"

        def reason(row: dict[str, Any], name: str = name, identifier: str = identifier) -> str:
            of = f" ({identifier} {row[identifier]})" if row.get(identifier) is not None else ""
            return f"the {name} is empty{of}"

        rows.refuse(name, rows.frame[name].is_null(), reason, "Fill it")


def _parse_labels(rows: _Rows, config: PairsConfig, preset: bool) -> None:
    """Add `class`, the class index, and for thresholds `relevance`, the number in the file."""
    found = rows.frame["label"]
    rows.refuse("label", found.is_null(), lambda row: "the label is empty", "Fill it")
    labels = config.scheme.labels
    if config.thresholds:
        number = _numbers(rows, "label")
        lowest = config.thresholds.get(labels[-1], -math.inf)
        rows.refuse(
            "label",
            number < lowest,
            lambda row: f"{row['label']} is below {lowest:g}, the least there is",
            "Correct it",
        )
        index = classify(pl.col("relevance"), labels, config.thresholds)
        rows.frame = rows.frame.with_columns(number.alias("relevance")).with_columns(index.alias("class"))
        return
    mapping = config.labels or {label: label for label in labels}
    values = found.unique().drop_nulls().to_list()
    known = {value: _lookup(value, mapping) for value in values}
    ranks = {value: labels.index(label) for value, label in known.items() if label is not None}
    classes = found.replace_strict(list(ranks), list(ranks.values()), default=None, return_dtype=pl.Int64)
    if preset:
        remedy = "Correct it"
    elif config.labels:
        remedy = f'Say what it means in labels, e.g. "{{}}" = "{labels[0]}", or correct it'
    else:
        remedy = f'Say what it means with labels = {{"{{}}" = "{labels[0]}", ...}}, or correct it'
    if unknown := [value for value, label in known.items() if label is None]:
        remedy = remedy.replace("{}", min(unknown).strip())
    rows.refuse(
        "label",
        classes.is_null(),
        lambda row: f'"{row["label"]}" is none of the known labels ({", ".join(mapping)})',
        remedy,
    )
    rows.frame = rows.frame.with_columns(classes.alias("class"))


def _parse_rest(rows: _Rows) -> None:
    for name in ("weight", "spread"):
        if name not in rows.frame.columns:
            continue
        number = _numbers(rows, name)
        if name == "weight":
            number = number.fill_null(1.0)
            rows.refuse(name, number < 0, lambda row: f"{row['weight']} is below 0", "Correct it")
        rows.frame = rows.frame.with_columns(number.alias(name))
    if "split" in rows.frame.columns:
        words = rows.frame["split"].str.strip_chars().str.to_lowercase()
        splits = words.replace_strict(_SPLIT_WORDS, default=None, return_dtype=pl.String)
        rows.refuse(
            "split",
            splits.is_null(),
            lambda row: f'"{row["split"] or ""}" is none of {", ".join(_SPLIT_WORDS)}',
            'Correct it, or set columns.split = "" to divide the queries anew',
        )
        rows.frame = rows.frame.with_columns(splits.alias("split"))


def _numbers(rows: _Rows, name: str) -> pl.Series:
    """Return a column as Float64, and refuse the rows where it is no finite number."""
    text = rows.frame[name]
    number = text.str.strip_chars().cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite(), None)
    wrong = text.is_not_null() & number.is_null()
    rows.refuse(name, wrong, lambda row: f'"{row[name]}" is not a number', "Correct it")
    return number


def _lookup(value: str, mapping: Mapping[str, str]) -> str | None:
    """Return the label of a value: the same text, or the same number written another way (4, 4.0)."""
    value = value.strip()
    if value in mapping:
        return mapping[value]
    number = _as_float(value)
    return next(
        (label for key, label in mapping.items() if number is not None and _as_float(key) == number), None
    )


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _identify(rows: _Rows) -> None:
    """Fill query_id and product_id, and refuse rows that contradict the first row of their query_id."""
    frame = rows.frame
    fields = [name for name in PRODUCT_FIELDS if name in frame.columns]
    for name, columns, prefix in (("query_id", ["locale", "query"], "q"), ("product_id", fields, "p")):
        if name not in frame.columns:
            frame = frame.with_columns(derive_ids(frame, columns, prefix).alias(name))
        elif frame[name].null_count():
            frame = frame.with_columns(pl.col(name).fill_null(derive_ids(frame, columns, prefix)))
    rows.frame = frame
    if "query_id" not in rows.names:
        return
    first = frame.group_by("query_id", maintain_order=True).agg(
        pl.col("query", "locale", "_record").first().name.prefix("first_")
    )
    compared = frame.join(first, on="query_id", how="left", maintain_order="left")
    differs = (normalised(compared["query"]) != normalised(compared["first_query"])) | (
        compared["locale"] != compared["first_locale"]
    )
    rows.frame = compared
    rows.refuse(
        "query_id",
        differs,
        lambda row: (
            f'{row["query_id"]} is "{row["query"]}" ({row["locale"]}) here and '
            f'"{row["first_query"]}" ({row["first_locale"]}) in row {rows.number(row["first__record"])}'
        ),
        'Correct it, or set columns.query_id = ""',
    )
    rows.frame = compared.drop("first_query", "first_locale", "first__record")


def _check_classes(frame: pl.DataFrame, scheme: LabelScheme, path: Path) -> None:
    if frame["class"].n_unique() == 1:
        label = scheme.labels[frame["class"][0]]
        raise DataError(
            f'{path}: all {frame.height} rows have the label "{label}"; there is nothing to tell apart. '
            "Check labels or thresholds, and that the file is whole."
        )


def _products(frame: pl.DataFrame) -> tuple[pl.DataFrame, Iterable[str]]:
    """Return one row per product and locale, with the first text found in each field."""
    fields = [name for name in PRODUCT_FIELDS if name in frame.columns]
    products = frame.group_by("product_id", "locale", maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in fields), titles=pl.col("title").n_unique()
    )
    several = int((products["titles"] > 1).sum())
    notes = [f"products with more than one title, of which the first is kept: {several}"] if several else []
    return products.drop("titles"), notes


def _given_splits(rows: _Rows) -> pl.DataFrame:
    """Return query_id and split of every query.

    Raises:
        DataError: a query is in two splits; this is not one bad row, so nothing is skipped.
    """
    seen = rows.frame.group_by("query_id", maintain_order=True).agg(
        pl.col("split", "query").first(),
        pl.col("split").unique(maintain_order=True).alias("splits"),
        pl.col("_record").filter(pl.col("split") != pl.col("split").first()).first().alias("other"),
    )
    torn = seen.filter(pl.col("splits").list.len() > 1)
    if torn.height:
        query, splits, other = torn.select("query", "splits", "other").row(0)
        raise DataError(
            f'{rows.bad.path}, row {rows.number(other)}, column {rows.names["split"]}: query "{query}" is in '
            f"splits {' and '.join(splits)} (queries like this: {torn.height}). Give all rows of a query one "
            'split, or set columns.split = "" to divide the queries anew.'
        )
    return seen.select("query_id", "split")
