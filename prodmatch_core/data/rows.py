"""Rows of a file on their way to judgements: texts, labels, splits and identifiers, each checked.

A reader names the columns and calls the checks it needs; every check says which rows it cannot use and keeps the
row numbers of the file, so that a person finds the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.data.files import RawTable, as_text
from prodmatch_core.data.merging import classify
from prodmatch_core.data.texts import derive_ids, normalised
from prodmatch_core.errors import DataError, did_you_mean
from prodmatch_core.fields import PRODUCT_FIELDS

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}
"What files call a split -> what it is here."


class Rows:
    """The rows of one file still in use, their row numbers, and the complaints about them."""

    def __init__(self, raw: RawTable, names: Mapping[str, str], bad: BadRows, part: str) -> None:
        """Take the columns of `names` (ours -> the file's) as text; cells of white space are null.

        Args:
            raw: the file.
            names: our name -> the file's name of each column.
            bad: hears of bad rows.
            part: the part that reads; remedies that only `core.pairs` has a setting for are not offered by others.

        Raises:
            DataError: a column holds something that is no text.
        """
        chosen = raw.frame.select(pl.col(source).alias(name) for name, source in names.items())
        text = as_text(chosen, raw.path)
        blank = pl.when(pl.all().str.strip_chars() != "").then(pl.all())
        self.frame = text.select(blank).with_row_index("_record")
        if "locale" not in names:
            self.frame = self.frame.with_columns(locale=pl.lit(None, dtype=pl.String))
        self.names = names
        self.bad = bad
        self.total = raw.total
        self.preset = part != "core.pairs"
        self._raw = raw
        self._found: dict[int, BadRow] = {}

    def number(self, record: int) -> int:
        """Return the row number in the file of a record."""
        return self._numbers[record]

    @cached_property
    def _numbers(self) -> Sequence[int]:
        return self._raw.row_numbers()

    def remedy(self, setting: str) -> str:
        """Return what to do about a cell: correct it, or where `core.pairs` reads the file, use a setting."""
        return "Correct it" if self.preset else f"Correct it, or set {setting}"

    def refuse(
        self, column: str, mask: pl.Series, reason: Callable[[dict[str, Any]], str], remedy: str
    ) -> None:
        """Complain about `column` of the rows where `mask` is true; a row's first complaint counts."""
        for row in self.frame.filter(mask.fill_null(False)).iter_rows(named=True):
            record = row["_record"]
            name = self.names.get(column, column)
            self._found.setdefault(record, BadRow(self.number(record), name, reason(row), remedy))

    def refuse_blank(self, column: str) -> None:
        """Complain about rows where `column` is null."""
        name = self.names[column]
        self.refuse(column, self.frame[column].is_null(), lambda row: f"the {name} is empty", "Fill it")

    def refuse_unknown(self, column: str, mask: pl.Series, file: str) -> None:
        """Complain about rows whose identifier, where `mask` is true, is not in `file`."""
        remedy = "Take all files from one release"
        self.refuse(column, mask, lambda row: f"{row[column]} is not in {file}", remedy)

    def drop_bad(self) -> None:
        """Report the rows complained about and leave them out."""
        self.bad.report(self._found.values())
        if self._found:
            self.frame = self.frame.filter(~pl.col("_record").is_in(list(self._found)))
            self._found = {}

    def require_some(self) -> None:
        """Raise DataError where no row is left."""
        if not self.frame.height:
            first = (self.bad.notes(self.total) or ["", "The file has no rows"])[1]
            raise DataError(f"{self.bad.path}: no usable row; all {self.total} are bad. {first}")


def require_columns(path: Path, header: Sequence[str], wanted: Iterable[str], remedy: str) -> None:
    """Check that a file has the columns a reader cannot do without.

    Raises:
        DataError: with every column missing, the nearest name there is, and `remedy`.
    """
    missing = [name for name in wanted if name not in header]
    if not missing:
        return
    said = []
    for name in missing:
        hint = did_you_mean(name, header).removeprefix("; ")
        said.append(f'"{name}" ({hint})' if hint.startswith("did") else f'"{name}"')
    raise DataError(f"{path}: no column {', '.join(said)}. The file has {', '.join(header)}. {remedy}")


def check_texts(rows: Rows) -> None:
    """Refuse rows without a query or without a title."""
    for name in ("query", "title"):
        identifier = f"{name.replace('title', 'product')}_id"

        def reason(row: dict[str, Any], name: str = name, identifier: str = identifier) -> str:
            of = f" ({identifier} {row[identifier]})" if row.get(identifier) is not None else ""
            return f"the {name} is empty{of}"

        rows.refuse(name, rows.frame[name].is_null(), reason, "Fill it")


def parse_labels(
    rows: Rows, labels: Sequence[str], mapping: Mapping[str, str], thresholds: Mapping[str, float]
) -> None:
    """Add `class`, the class index, and for thresholds `relevance`, the number in the file.

    Args:
        rows: with a column label.
        labels: the scheme's, best first.
        mapping: value in the file -> label; empty: the file holds the labels themselves.
        thresholds: label -> least number that earns it; empty where labels are words.
    """
    found = rows.frame["label"]
    rows.refuse("label", found.is_null(), lambda row: "the label is empty", "Fill it")
    if thresholds:
        number = finite_numbers(rows, "label")
        lowest = thresholds.get(labels[-1], -math.inf)
        rows.refuse(
            "label",
            number < lowest,
            lambda row: f"{row['label']} is below {lowest:g}, the least there is",
            "Correct it",
        )
        index = classify(pl.col("relevance"), labels, thresholds)
        rows.frame = rows.frame.with_columns(number.alias("relevance")).with_columns(index.alias("class"))
        return
    known_words = mapping or {label: label for label in labels}
    values = found.unique().drop_nulls().to_list()
    known = {value: _lookup(value, known_words) for value in values}
    ranks = {value: labels.index(label) for value, label in known.items() if label is not None}
    classes = found.replace_strict(list(ranks), list(ranks.values()), default=None, return_dtype=pl.Int64)
    if rows.preset:
        remedy = "Correct it"
    elif mapping:
        remedy = f'Say what it means in labels, e.g. "{{}}" = "{labels[0]}", or correct it'
    else:
        remedy = f'Say what it means with labels = {{"{{}}" = "{labels[0]}", ...}}, or correct it'
    if unknown := [value for value, label in known.items() if label is None]:
        remedy = remedy.replace("{}", min(unknown).strip())
    rows.refuse(
        "label",
        classes.is_null(),
        lambda row: f'"{row["label"]}" is none of the known labels ({", ".join(known_words)})',
        remedy,
    )
    rows.frame = rows.frame.with_columns(classes.alias("class"))


def parse_rest(rows: Rows) -> None:
    """Turn weight, spread and split, where they are there, into numbers and splits."""
    for name in ("weight", "spread"):
        if name not in rows.frame.columns:
            continue
        number = finite_numbers(rows, name)
        if name == "weight":
            number = number.fill_null(1.0)
            rows.refuse(name, number < 0, lambda row: f"{row['weight']} is below 0", "Correct it")
        rows.frame = rows.frame.with_columns(number.alias(name))
    if "split" in rows.frame.columns:
        parse_split(rows, rows.remedy('columns.split = "" to divide the queries anew'))


def parse_split(rows: Rows, remedy: str) -> None:
    """Turn what the file calls its splits into train, valid and test; `remedy` is for words that are neither."""
    words = rows.frame["split"].str.strip_chars().str.to_lowercase()
    splits = words.replace_strict(SPLIT_WORDS, default=None, return_dtype=pl.String)
    rows.refuse(
        "split",
        splits.is_null(),
        lambda row: f'"{row["split"] or ""}" is none of {", ".join(SPLIT_WORDS)}',
        remedy,
    )
    rows.frame = rows.frame.with_columns(splits.alias("split"))


def identify(rows: Rows) -> None:
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
        rows.remedy('columns.query_id = ""'),
    )
    rows.frame = compared.drop("first_query", "first_locale", "first__record")


def given_splits(rows: Rows) -> pl.DataFrame | None:
    """Return query_id and split of every query, or None where the file has no splits.

    Raises:
        DataError: a query is in two splits; this is not one bad row, so nothing is skipped.
    """
    if "split" not in rows.frame.columns:
        return None
    seen = rows.frame.group_by("query_id", maintain_order=True).agg(
        pl.col("split", "query").first(),
        pl.col("split").unique(maintain_order=True).alias("splits"),
        pl.col("_record").filter(pl.col("split") != pl.col("split").first()).first().alias("other"),
    )
    torn = seen.filter(pl.col("splits").list.len() > 1)
    if torn.height:
        query, splits, other = torn.select("query", "splits", "other").row(0)
        anew = "" if rows.preset else ', or set columns.split = "" to divide the queries anew'
        raise DataError(
            f'{rows.bad.path}, row {rows.number(other)}, column {rows.names["split"]}: query "{query}" is in '
            f"splits {' and '.join(splits)} (queries like this: {torn.height}). Give all rows of a query one "
            f"split{anew}."
        )
    return seen.select("query_id", "split")


def finite_numbers(rows: Rows, name: str) -> pl.Series:
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
