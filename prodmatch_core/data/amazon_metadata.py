"""Reader of Amazon's product metadata (2018): one JSON object a line, with also_buy and also_view.

The texts were scraped, so titles are often pieces of a page: those are told from titles, made null and counted.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import decode_text, read_content
from prodmatch_core.data.graph_config import AmazonMetadataConfig
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.product_graph import product_graph
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError

_TEXTS = ("asin", "title", "brand", "price", "main_cat")
_LISTS = ("category", "description", "feature", "also_buy", "also_view")
_FIELDS = pl.Struct({**dict.fromkeys(_TEXTS, pl.String()), **dict.fromkeys(_LISTS, pl.List(pl.String()))})
_SURROGATE = re.compile("[\ud800-\udfff]")
"Half of a character: JSON can write it, no file of text can hold it."
_BROKEN = (
    r"""(?i)<\s*[/!]?[a-z]|/>|["']\s*>|\bvar\s+\w+\s*=|function\s*\(|\bgetTime\b|[.#][\w-]+\s*\{[^}]*:"""
)
"What only HTML, scripts and style sheets have: a tag left open, the end of one, code."


def read(config: AmazonMetadataConfig, context: ReadContext) -> Dataset:
    """Return products and who was bought or viewed together, as directed edges.

    Texts are freed of HTML. Categories and features become bullets, one a line. A product that is in the file
    several times keeps the texts of its first row and the edges of all.

    Raises:
        DataError: the file cannot be read, has a bad row and `context` skips none, or no edge is left.
    """
    path = context.find(config.path)
    bad = BadRows(path, context.skip_bad_rows)
    frame, total = _records(path, bad)
    if not frame.height:
        raise DataError(f"{path}: no usable row; all {total} are bad. {(bad.notes(total) or ['', ''])[1]}")
    edges = pl.concat(
        frame.select("asin", dst=pl.col(relation))
        .explode("dst")
        .drop_nulls("dst")
        .select(src="asin", relation=pl.lit(relation), dst=pl.col("dst").str.strip_chars())
        for relation in config.relations
    ).filter(pl.col("dst") != "")
    # A page lists each product once, so a repetition only says that the file has the page twice.
    edges = edges.unique(maintain_order=True).with_columns(count=pl.lit(1.0))
    once = frame.filter(pl.col("asin").is_first_distinct())
    products, notes = _products(once, config.locale)
    if repeated := frame.height - once.height:
        notes.insert(0, f"rows of products that are in the file already: {repeated} (first texts kept)")
    name = Path(config.path).name.partition(".")[0].removeprefix("meta_").lower()
    return product_graph(
        edges,
        products,
        path=path,
        origin=Origin(
            f"amazon_{name}", "Amazon review data 2018, metadata", "research use", "core.amazon_metadata"
        ),
        locale=config.locale,
        unknown=config.unknown,
        self_loops=config.self_loops,
        notes=[*bad.notes(total), *notes],
    )


def clean(texts: pl.Series) -> pl.Series:
    """Return texts without tags, scripts and entities, with single spaces; null where nothing is left."""
    texts = (
        texts.str.replace_all(r"(?is)<script\b.*?</script\s*>|<style\b.*?</style\s*>|<!--.*?-->", " ")
        .str.replace_all(r"(?is)<\s*/?\s*(?:br|p|li|ul|ol|div|tr|td|table|h[1-6])\b[^<>]*>", " ")
        .str.replace_all(r"(?is)<\s*/?\s*[a-z][^<>]*>", "")
    )
    coded = texts.filter(texts.str.contains("&", literal=True).fill_null(False)).unique()
    if len(coded):
        texts = texts.replace(coded, pl.Series([html.unescape(text) for text in coded], dtype=pl.String))
    texts = texts.str.replace_all(r"\s+", " ").str.strip_chars()
    return texts.set(texts == "", None)


def is_broken_title(titles: pl.Series, categories: pl.Series) -> pl.Series:
    """Tell which titles are pieces of a page, or nothing but the name of the category they stand in.

    Args:
        titles: cleaned; nulls are not broken.
        categories: (n,) name of each product's main category, null where it has none.

    Returns:
        (n,) Boolean.
    """
    code = titles.str.contains(_BROKEN)
    return (code | (titles.str.to_lowercase() == categories.str.to_lowercase()).fill_null(False)).fill_null(
        False
    )


def _products(frame: pl.DataFrame, locale: str) -> tuple[pl.DataFrame, list[str]]:
    lines = pl.concat_list(
        pl.col("category").list.slice(1).fill_null([]), pl.col("feature").fill_null([])
    ).list.drop_nulls()
    texts = frame.select(
        description=pl.col("description").list.drop_nulls().list.join(" "),
        bullets=lines,
        root=pl.coalesce(pl.col("main_cat"), pl.col("category").list.first()),
    )
    titles = clean(frame["title"])
    roots = clean(texts["root"])
    first = clean(frame["category"].list.first())
    broken = is_broken_title(titles, roots) | is_broken_title(titles, first)
    blank = int(titles.null_count())
    bullets = _lines(texts["bullets"])
    price = frame["price"].str.strip_chars().str.extract(r"^\$\s?([\d,]{1,12}(?:\.\d{1,2})?)$", 1)
    products = pl.DataFrame(
        {
            "product_id": frame["asin"],
            "title": titles.set(broken, None),
            "description": clean(texts["description"]),
            "bullets": bullets,
            "brand": clean(frame["brand"]),
            "price": price.str.replace_all(",", "").cast(pl.Float64, strict=False),
        }
    ).with_columns(locale=pl.lit(locale))
    nothing = products.select(pl.all_horizontal(pl.col("title", "description", "bullets", "brand").is_null()))
    counts = {
        f"titles that are pieces of HTML, script or the category's name, made null: {broken.sum()}": broken.sum(),
        f"titles that are blank: {blank}": blank,
        f"products without any text: {nothing.to_series().sum()}": nothing.to_series().sum(),
    }
    return products, [note for note, count in counts.items() if count]


def _lines(lists: pl.Series) -> pl.Series:
    """Return each list of texts as one text: cleaned, each different one a line, null where nothing is left."""
    rows = lists.to_frame("line").with_row_index("row")
    lines = rows.explode("line")
    joined = (
        lines.with_columns(clean(lines["line"]))
        .drop_nulls("line")
        .unique(maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("line").str.join("\n"))
    )
    return rows.select("row").join(joined, on="row", how="left", maintain_order="left")["line"]


def _records(path: Path, bad: BadRows) -> tuple[pl.DataFrame, int]:
    """Return the fields of every object that has an asin, and how many lines there are."""
    text = decode_text(path, read_content(path), "utf-8")
    lines = pl.DataFrame({"text": text.split("\n")}, schema={"text": pl.String}).with_row_index(
        "line", offset=1
    )
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    try:
        frame = lines["text"].str.json_decode(_FIELDS).struct.unnest()
    except pl.exceptions.PolarsError:
        frame, lines = _slow(lines, bad)
    numbers = lines["line"]
    keys = frame["asin"].str.strip_chars()
    wrong = keys.is_null() | (keys == "")
    bad.report(
        BadRow(numbers[row], "asin", "the identifier is empty", "Fill it")
        for row in wrong.fill_null(True).arg_true()
    )
    total = lines.height + len(bad) - int(wrong.sum()) * bad.skip
    return frame.with_columns(keys).filter(~wrong), total


def _slow(lines: pl.DataFrame, bad: BadRows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parse line by line, to know which of them are bad."""
    records: list[dict[str, Any]] = []
    good: list[bool] = []
    skipped: list[BadRow] = []
    for number, text in lines.iter_rows():
        record, fault = _record(text)
        good.append(not fault)
        if fault:
            column, reason = fault
            skipped.append(BadRow(number, column, reason))
        else:
            records.append(record)
    bad.report(skipped)
    schema = dict(
        zip((field.name for field in _FIELDS.fields), (field.dtype for field in _FIELDS.fields), strict=True)
    )
    return pl.DataFrame(records, schema=schema), lines.filter(pl.Series(good, dtype=pl.Boolean))


def _record(text: str) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Return the fields of one line, or what is wrong with it: column and reason."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "") or "too deep or a number too long"
        place = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return {}, ("", f"not JSON{place}: {reason}")
    if not isinstance(value, dict):
        return {}, ("", f"{text.strip()[:40]} where a JSON object is expected")
    record: dict[str, Any] = {}
    for name in _TEXTS + _LISTS:
        cell = value.get(name)
        if name in _LISTS:
            cell = [cell] if isinstance(cell, str) else cell
            fits = cell is None or (isinstance(cell, list) and all(isinstance(x, str | None) for x in cell))
        else:
            cell = str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell
            fits = cell is None or isinstance(cell, str)
        if not fits:
            kind = "a list of texts" if name in _LISTS else "a text"
            return {}, (name, f"{str(cell)[:40]} where {kind} is expected")
        if _SURROGATE.search("".join(filter(None, cell)) if isinstance(cell, list) else str(cell)):
            return {}, (name, "half of a surrogate pair, which is no character")
        record[name] = cell
    return record, None
