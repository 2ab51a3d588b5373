"""Reader of Magellan and DeepMatcher sets: pairs of records with a label, one file a split.

The left record is the query, the right one the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.files import RawTable, as_text, read_table
from prodmatch_core.data.judged import Origin, judged_dataset
from prodmatch_core.data.official_config import MagellanConfig
from prodmatch_core.data.pairs_config import BINARY
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.records_file import read_records
from prodmatch_core.data.rows import Rows, check_texts, identify, parse_labels, require_columns

MAGELLAN = LabelScheme("magellan", BINARY, (1.0, 0.0), ("match",))
"Two records are the same thing, or they are not."
_LABELS = {"1": "match", "0": "mismatch"}
_SIDES = (("left_", "right_"), ("ltable_", "rtable_"))
"Prefixes of the columns of the left and the right record."
_FILES = (
    "core.magellan reads one file a split (train, valid, test), and where they hold record numbers only, the two "
    "tables (left, right); name the files in [data]."
)
_COLUMNS = 'Say which column holds what, e.g. columns.title = "name" and columns.query = ["name", "brand"].'


def read(config: MagellanConfig, context: ReadContext) -> Dataset:
    """Return the data set of a Magellan or DeepMatcher folder, with its own splits.

    These sets are split by pairs, so a left record may be in several splits. Its query is then there once for each
    split, under its own identifier, and the notes count the texts and pairs that two splits share.

    Raises:
        DataError: a file is absent, unreadable or lacks a column; or a row is bad and `context` skips none.
    """
    splits = {name: getattr(config, name) for name in ("train", "valid", "test") if getattr(config, name)}
    paths = dict(zip(splits, context.find_files(config.folder, list(splits.values()), _FILES), strict=True))
    tables = _Tables(config, context)
    frames, notes, given = [], [], []
    for split, path in paths.items():
        rows = _split_rows(config, context, tables, path)
        notes += rows.bad.notes(rows.total)
        own = rows.frame.with_columns(pl.lit(f"{split}-").add(pl.col("query_id")).alias("query_id"))
        frames.append(own.drop("_record"))
        given.append(own.select(pl.col("query_id").unique(maintain_order=True), split=pl.lit(split)))
    folder = next(iter(paths.values())).parent
    origin = Origin(Path(config.folder).name, str(config.folder), part="core.magellan")
    return judged_dataset(
        pl.concat(frames, how="diagonal"),
        path=folder,
        origin=origin,
        scheme=MAGELLAN,
        split=context.split,
        given=pl.concat(given),
        notes=(*tables.notes, *notes),
    )


@attrs.define
class _Tables:
    """The tables of records, read when the first file of pairs needs them."""

    config: MagellanConfig
    context: ReadContext
    notes: list[str] = attrs.field(factory=list)
    _read: list[pl.DataFrame] = attrs.field(factory=list)

    def join(self, raw: RawTable, prefixes: tuple[str, str]) -> tuple[RawTable, list[pl.Series]]:
        """Return the pairs with both records' columns, and for each side which rows name no record."""
        config = self.config
        frame, absent = raw.frame, []
        names = (config.left, config.right)
        if not self._read:
            for path in self.context.find_files(config.folder, names, _FILES):
                self._read.append(self._table(path))
        for prefix, table in zip(prefixes, self._read, strict=True):
            key = f"{prefix}id"
            side = table.select(pl.all().name.prefix(prefix))
            absent.append(~frame[key].is_in(table["id"].implode()) & frame[key].is_not_null())
            frame = frame.join(side, on=key, how="left", maintain_order="left")
        return RawTable(raw.path, frame, raw.total, raw.row_numbers), absent

    def _table(self, path: Path) -> pl.DataFrame:
        columns = self.config.columns
        wanted = {*columns.query, columns.title}
        wanted |= {name for name in _product_fields(self.config).values() if name}
        frame, notes = read_records(
            path,
            {"id": "id", **{name: name for name in sorted(wanted)}},
            ("id",),
            key="id",
            format="auto",
            encoding=self.config.encoding,
            quote=self.config.quote,
            skip_bad_rows=self.context.skip_bad_rows,
            remedy=_FILES,
        )
        self.notes += notes
        return frame


def _split_rows(config: MagellanConfig, context: ReadContext, tables: _Tables, path: Path) -> Rows:
    """Return the checked rows of one file of pairs."""
    bad = BadRows(path, context.skip_bad_rows)
    raw = read_table(path, "auto", config.encoding, config.quote, bad)
    raw = RawTable(path, as_text(raw.frame, path), raw.total, raw.row_numbers)
    header = raw.frame.columns
    prefixes = next((pair for pair in _SIDES if any(c.startswith(pair[0]) for c in header)), _SIDES[1])
    left, right = prefixes
    absent: list[pl.Series] = []
    if not any(c.startswith(left) and c != f"{left}id" for c in header):
        require_columns(path, header, (f"{left}id", f"{right}id", "label"), _FILES)
        raw, absent = tables.join(raw, prefixes)
    raw, names = _named(config, raw, prefixes)
    rows = Rows(raw, names, bad, "core.magellan")
    rows.frame = rows.frame.with_columns(locale=pl.lit(config.locale))
    for column, mask, file in zip(
        ("query_id", "product_id"), absent, (config.left, config.right), strict=False
    ):
        rows.refuse_unknown(column, mask, file)
    check_texts(rows)
    parse_labels(rows, MAGELLAN.labels, _LABELS, {})
    rows.drop_bad()
    identify(rows)
    rows.drop_bad()
    rows.require_some()
    return rows


def _named(
    config: MagellanConfig, raw: RawTable, prefixes: tuple[str, str]
) -> tuple[RawTable, Mapping[str, str]]:
    """Return the pairs with the query in one column, and our name -> the file's name of each column."""
    left, right = prefixes
    parts = [f"{left}{name}" for name in config.columns.query]
    title = f"{right}{config.columns.title}"
    named = {ours: f"{right}{name}" for ours, name in _product_fields(config).items() if name}
    require_columns(raw.path, raw.frame.columns, [*parts, title, *named.values(), "label"], _COLUMNS)
    query = " + ".join(parts)
    blank = pl.when(pl.col(parts).str.strip_chars() != "").then(pl.col(parts))
    joined = raw.frame.select(blank).select(
        pl.concat_str(pl.all(), separator=" ", ignore_nulls=True).alias("_")
    )
    frame = raw.frame.with_columns(joined["_"].alias(query))
    ids = {"query_id": f"{left}id", "product_id": f"{right}id"}
    ids = {ours: name for ours, name in ids.items() if name in frame.columns}
    names = {"query": query, "title": title, "label": "label", **named, **ids}
    return RawTable(raw.path, frame, raw.total, raw.row_numbers), names


def _product_fields(config: MagellanConfig) -> dict[str, Any]:
    """Return our name -> the configured column of the product's texts beside its title."""
    columns = config.columns
    return {name: getattr(columns, name) for name in ("description", "bullets", "brand", "color")}
