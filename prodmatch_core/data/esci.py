"""Reader of the Shopping Queries Data Set, from its two official files, in bounded memory.

The examples are filtered while they are scanned; of the products, only those of the examples left are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.data.files import UNREADABLE, RawTable, as_text, first_line, has_text, read_table
from prodmatch_core.data.judged import Origin, judged_dataset, products_of
from prodmatch_core.data.official_config import EsciConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import Rows, given_splits, identify, parse_labels, parse_rest, require_columns
from prodmatch_core.errors import DataError, did_you_mean

_FILES = (
    "core.esci reads shopping_queries_dataset_examples.parquet and shopping_queries_dataset_products.parquet of the "
    "esci-data repository (large files, stored with Git LFS); put both into one folder and name it in data.folder."
)
_COLUMNS = 'core.esci reads the official columns; read other files with use = "core.pairs".'
_LETTERS = {label[0].upper(): label for label in ESCI.labels}
_LABELS = _LETTERS | {label.capitalize(): label for label in ESCI.labels}
_LABELS |= {word.lower(): label for word, label in _LABELS.items()}
_EXAMPLE = {
    "query_id": "query_id",
    "query": "query",
    "product_id": "product_id",
    "locale": "product_locale",
    "label": "esci_label",
    "split": "split",
}
_PRODUCT = {
    "title": "product_title",
    "description": "product_description",
    "bullets": "product_bullet_point",
    "brand": "product_brand",
    "color": "product_color",
}
_ROW = "__prodmatch_row"
_POINTER = b"version https://git-lfs"


def read(config: EsciConfig, context: ReadContext) -> Dataset:
    """Return the Shopping Queries Data Set, or the part of it that `config` asks for.

    The official splits are train and test; valid is cut out of train by whole queries. A file without a column
    split is divided whole. Judgements of products without a title are left out and counted.

    Raises:
        DataError: a file is absent, unreadable or lacks a column; nothing has the version, locales and splits asked
            for; or a row is bad and `context` skips none.
    """
    files = [config.examples, *filter(None, [config.products])]
    paths = context.find_files(config.folder, files, _FILES)
    tables = [_Table(path, BadRows(path, context.skip_bad_rows)) for path in paths]
    examples, products_table = tables[0], tables[-1]
    raw = _examples(config, examples)
    names = {ours: name for ours, name in _EXAMPLE.items() if name in raw.frame.columns}
    rows = Rows(raw, names, examples.bad, "core.esci")
    for name in ("query_id", "query", "product_id", "locale"):
        rows.refuse_blank(name)
    parse_labels(rows, ESCI.labels, _LABELS, {})
    parse_rest(rows)
    rows.drop_bad()
    identify(rows)
    rows.drop_bad()
    products, notes = _products(config, products_table, rows.frame.select("product_id", "locale").unique())
    notes += _keep_sold(rows, products, products_table.path)
    rows.require_some()
    total = examples.total or raw.total
    for table in tables[1:]:
        notes = [*table.bad.notes(table.total), *notes]
    return judged_dataset(
        rows.frame.drop("_record"),
        path=examples.path,
        origin=Origin("esci", "Shopping Queries Data Set, arXiv 2206.06588", "Apache-2.0", "core.esci"),
        scheme=ESCI,
        split=context.split,
        given=given_splits(rows),
        products=products.filter(pl.col("title").is_not_null()),
        notes=(*examples.bad.notes(total), *notes),
    )


class _Table:
    """One file: Parquet is scanned, anything else is read."""

    def __init__(self, path: Path, bad: BadRows) -> None:
        self.path = path
        self.bad = bad
        self._numbers: Any = None
        self.total = 0
        with path.open("rb") as stream:
            head = stream.read(len(_POINTER))
        if head == _POINTER:
            raise DataError(
                f"{path}: is a Git LFS pointer, not the file itself. Run `git lfs pull` where it was cloned."
            )
        if head[:4] == b"PAR1":
            # The path is not a pattern, and its folders are not columns.
            self.frame = pl.scan_parquet(path, glob=False, hive_partitioning=False, row_index_name=_ROW)
        else:
            raw = read_table(path, "auto", "utf-8", '"', bad)
            self._numbers, self.total = raw.row_numbers, raw.total
            self.frame = raw.frame.lazy().with_row_index(_ROW)
        self.columns = [name for name in self.schema() if name != _ROW]

    def schema(self) -> pl.Schema:
        """Return names and types of the columns."""
        try:
            return self.frame.collect_schema()
        except UNREADABLE as error:
            raise self._damaged(error) from None

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Return a frame made of this file's, in batches, so that what is filtered out takes no memory.

        Raises:
            DataError: the file is damaged.
        """
        try:
            return frame.collect(engine="streaming")
        except UNREADABLE as error:
            raise self._damaged(error) from None

    def numbers(self, rows: pl.Series) -> Sequence[int]:
        """Return the row numbers, as an editor shows them, of rows counted from 0."""
        if self._numbers is None:
            return (rows + 1).to_list()
        numbers = self._numbers()
        return [numbers[row] for row in rows]

    def _damaged(self, error: BaseException) -> DataError:
        return DataError(
            f"{self.path}: not a Parquet file, or damaged: {first_line(error)}. Write or fetch the file again."
        )


def _word(name: str) -> pl.Expr:
    """Return a column as lower-case text; whole numbers without a decimal point."""
    return pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase().str.strip_suffix(".0")


def _examples(config: EsciConfig, table: _Table) -> RawTable:
    """Return the examples of the version, locales and splits asked for."""
    wanted = [name for name in _EXAMPLE.values() if name != "split" or name in table.columns]
    asked: dict[str, list[str]] = {}
    if config.version != "all":
        asked[f"{config.version}_version"] = ["1", "true"]
    if config.locales:
        asked["product_locale"] = [locale.lower() for locale in config.locales]
    if config.splits:
        asked["split"] = [split.lower() for split in config.splits]
    require_columns(table.path, table.columns, {**dict.fromkeys(wanted), **asked}, _COLUMNS)
    _refuse_nested(table, [*wanted, *asked])
    for name in asked:
        _check_asked(table, name, asked[name] if name in ("product_locale", "split") else [])
    kept = table.frame
    for name, values in asked.items():
        kept = kept.filter(_word(name).is_in(values))
    frame = table.collect(kept.select(_ROW, *wanted)).sort(_ROW)
    if not frame.height:
        said = ", ".join(f"{name} = {' or '.join(values[:3])}" for name, values in asked.items())
        raise DataError(
            f"{table.path}: no row{f' with {said}' if said else 's'}. Ask for another version, locale or split, and "
            "check that the file is whole."
        )
    row = frame[_ROW]
    return RawTable(table.path, frame.drop(_ROW), frame.height, lambda: table.numbers(row))


def _refuse_nested(table: _Table, names: Iterable[str]) -> None:
    """Raise DataError for a column that is neither text nor number."""
    schema = table.schema()
    for name in names:
        if not has_text(schema[name]):
            raise DataError(
                f"{table.path}, column {name}: holds {schema[name]}. Convert it to text or numbers."
            )


def _check_asked(table: _Table, name: str, values: list[str]) -> None:
    """Check that the file has every value asked for, and in columns of 0 and 1 nothing else."""
    there = table.collect(table.frame.select(_word(name).alias(name).unique()))[name].drop_nulls()
    found = sorted(there.to_list())
    if values:
        for value in values:
            if value not in found:
                hint = did_you_mean(value, found[:50])
                raise DataError(
                    f'{table.path}: no row has {name} "{value}"{hint}. Correct the option in [data].'
                )
    elif strange := [value for value in found if value not in ("0", "1", "true", "false")]:
        raise DataError(
            f'{table.path}, column {name}: "{strange[0]}" where 0 or 1 is expected. Fetch the file again, or set '
            'version = "all".'
        )


def _products(config: EsciConfig, table: _Table, wanted: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the wanted products there are, in the order of the file, and notes; a blank title is null."""
    key = ("product_id", "product_locale")
    require_columns(table.path, table.columns, (*key, _PRODUCT["title"]), _COLUMNS)
    texts = [s for n, s in _PRODUCT.items() if (n in config.fields or n == "title") and s in table.columns]
    _refuse_nested(table, [*key, *texts])
    found = table.collect(
        table.frame.select(_ROW, *(pl.col(name).cast(pl.String) for name in key), *texts).join(
            wanted.lazy(), left_on=key, right_on=["product_id", "locale"], how="semi"
        )
    )
    ours = {name: theirs for theirs, name in {**_PRODUCT, "locale": "product_locale"}.items()}
    found = as_text(found.sort(_ROW).drop(_ROW).rename(ours, strict=False), table.path)
    title = pl.when(pl.col("title").str.strip_chars() != "").then(pl.col("title"))
    found = found.with_columns(title.alias("title"))
    if found.select(pl.struct("product_id", "locale").is_duplicated().any()).item():
        found, notes = products_of(found)
        return found, list(notes)
    return found, []


def _keep_sold(rows: Rows, products: pl.DataFrame, path: Path) -> list[str]:
    """Refuse rows whose product is not in the file of products, and leave out those whose product has no title."""
    there = products.select("product_id", "locale", titled=pl.col("title").is_not_null())
    rows.frame = rows.frame.join(there, on=["product_id", "locale"], how="left", maintain_order="left")
    rows.refuse(
        "product_id",
        rows.frame["titled"].is_null(),
        lambda row: f"{row['product_id']} is not in {path.name} in the locale {row['locale']}",
        "Take both files from one release",
    )
    rows.drop_bad()
    untitled = int((~rows.frame["titled"]).sum())
    rows.frame = rows.frame.filter("titled").drop("titled")
    return [f"judgements left out because their product has no title: {untitled}"] if untitled else []
