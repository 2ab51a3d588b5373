"""Configuration of the readers of public sets that come as several files. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

import attrs

from prodmatch_core.data.file_config import encoding, quote
from prodmatch_core.data.gains import ESCI_LABELS
from prodmatch_core.data.pairs_config import BINARY
from prodmatch_core.fields import PRODUCT_FIELDS, Expected, not_empty, one_of, product_fields

WANDS_LABELS = ("exact", "partial", "irrelevant")
_names = Expected(
    "a list of different words",
    lambda v: len(set(v)) == len(v) and all(isinstance(x, str) and x.strip() for x in v),
)
_some_names = Expected("one or more different words", lambda v: bool(v) and _names.test(v))


def _file(name: str) -> Any:
    return attrs.field(default=name, validator=not_empty)


@attrs.frozen
class EsciConfig:
    """Shopping Queries Data Set (2022): queries with products judged E, S, C or I, in three markets."""

    folder: str = attrs.field(default="esci", validator=not_empty)
    "Folder of the two official Parquet files, under the data folder or beside the pipeline file."
    examples: str = _file("shopping_queries_dataset_examples.parquet")
    "File of the judgements; Parquet, or CSV, TSV or JSON lines with the same columns."
    products: str = "shopping_queries_dataset_products.parquet"
    'File of the products; "" where the file of the judgements has the product_ columns itself.'
    version: str = attrs.field(default="large", validator=one_of("small", "large", "all"))
    "`small` (the harder queries, for ranking), `large` (for classification), or every row."
    locales: tuple[str, ...] = attrs.field(default=(), validator=_names)
    "Markets to read out of us, es and jp; empty: all."
    splits: tuple[str, ...] = attrs.field(default=(), validator=_names)
    "Official splits to read out of train and test; empty: all."
    fields: tuple[str, ...] = attrs.field(
        default=PRODUCT_FIELDS,
        validator=product_fields,
    )
    "Product texts to keep; the title always is. Two thirds of the memory go to descriptions and bullets."

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the judgements, best match first."""
        return ESCI_LABELS


@attrs.frozen
class WandsConfig:
    """Wayfair Annotation Dataset (2022): 480 queries with products judged Exact, Partial or Irrelevant."""

    folder: str = attrs.field(default="wands", validator=not_empty)
    "Folder of the three official files, under the data folder or beside the pipeline file."
    query: str = _file("query.csv")
    "File of the queries."
    product: str = _file("product.csv")
    "File of the products."
    label: str = _file("label.csv")
    "File of the judgements."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of all queries and products."
    quote: str = attrs.field(default='"', validator=quote)
    "Character around fields with tabs, quotes or line breaks; empty: none, quotes are plain text."

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the judgements, best match first."""
        return WANDS_LABELS


@attrs.frozen
class MagellanColumns:
    """Which column of a record holds what, without the prefix of its side."""

    query: tuple[str, ...] = attrs.field(default=("title",), validator=_some_names)
    "Columns of the left record that make the query, joined by a space."
    title: str = attrs.field(default="title", validator=not_empty)
    "Title of the right record, the product."
    description: str | None = None
    "Description of the product."
    brand: str | None = None
    "Brand or manufacturer of the product."
    color: str | None = None
    "Colour of the product."
    bullets: str | None = None
    "Features of the product."


@attrs.frozen
class MagellanConfig:
    """A Magellan or DeepMatcher set: pairs of records that are the same thing or not.

    Either each split's file holds both records (left_title, right_title, ... or ltable_title, rtable_title, ...), or
    it holds their numbers (ltable_id, rtable_id) and two tables hold the records.
    """

    folder: str = attrs.field(validator=not_empty)
    "Folder of the files, under the data folder or beside the pipeline file."
    train: str = _file("train.csv")
    "File of the training pairs."
    valid: str = "valid.csv"
    'File of the validation pairs; "" cuts them out of the training pairs.'
    test: str = "test.csv"
    'File of the test pairs; "" cuts them out of the training pairs.'
    left: str = _file("tableA.csv")
    "Table of the left records, where the pairs hold only their numbers."
    right: str = _file("tableB.csv")
    "Table of the right records, where the pairs hold only their numbers."
    columns: MagellanColumns = attrs.field(factory=MagellanColumns)
    "Which column of a record holds what."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of all records."
    encoding: str = attrs.field(default="utf-8", validator=encoding)
    "Encoding of the files."
    quote: str = attrs.field(default='"', validator=quote)
    "Character around fields with separators or line breaks; empty: none, quotes are plain text."

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the judgements, best match first."""
        return BINARY
