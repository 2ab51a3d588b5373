"""Configuration of the readers of product graphs. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.data.file_config import FORMATS, TableFile, header
from prodmatch_core.fields import list_of, not_empty, one_of

KEEP_OR_DROP = ("keep", "drop")
TIME_UNITS = ("seconds", "milliseconds", "microseconds")


@attrs.frozen
class ProductColumns:
    """Which column of a file of products holds what. An optional one left out is read where the file has its name."""

    product_id: str = attrs.field(default="product_id", validator=not_empty)
    "Identifier of the product, as the other file names it."
    title: str | None = None
    "Title."
    description: str | None = None
    "Free text."
    bullets: str | None = None
    "Feature bullets."
    brand: str | None = None
    "Brand."
    color: str | None = None
    "Colour."
    locale: str | None = None
    "Market and language of the texts."


@attrs.frozen
class ProductsFile(TableFile):
    """A file with the texts of products that another file names by identifier."""

    columns: ProductColumns = attrs.field(factory=ProductColumns)
    "Which column of the file holds what."


@attrs.frozen
class EdgeColumns:
    """Which column of the file holds what. An optional one left out is read where the file has its name."""

    source: str = attrs.field(default="source", validator=not_empty)
    "Identifier of the product an edge starts from."
    target: str = attrs.field(default="target", validator=not_empty)
    "Identifier of the product it leads to."
    relation: str | None = None
    "What kind of edge it is."
    count: str | None = None
    "How often, above 0; 1 where there is none."
    at: str | None = None
    "When last seen: ISO date and time, or a number since 1970 (`time_unit`)."


@attrs.frozen
class EdgesConfig(TableFile):
    """A directed graph of products: one edge a row, a SNAP edge list, or arrays in an npz file."""

    format: str = attrs.field(default="auto", validator=one_of(*FORMATS, "snap", "npz"))
    "snap: fields between white space, comments after #; npz: CSR arrays; auto: by name (.txt, .edges: snap)."
    header: tuple[str, ...] = attrs.field(default=(), validator=header)
    "Names of the columns of a file without a header; empty: the first row has them, or for snap source, target."
    columns: EdgeColumns = attrs.field(factory=EdgeColumns)
    "Which column of the file holds what."
    relation: str = attrs.field(default="related", validator=not_empty)
    "Relation of edges that name none."
    time_unit: str = attrs.field(default="seconds", validator=one_of(*TIME_UNITS))
    "Unit of times that are numbers."
    products: ProductsFile | None = None
    "File with the products' texts; without it products have no text, or an npz file's node features as words."
    unknown: str = attrs.field(default="keep", validator=one_of(*KEEP_OR_DROP))
    "What to do with edges to products that the file of products does not have; kept ones have no text."
    self_loops: str = attrs.field(default="drop", validator=one_of(*KEEP_OR_DROP))
    "What to do with edges from a product to itself."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of products that name none."


@attrs.frozen
class CiteseerConfig:
    """Citeseer, directed: which paper cites which, with the words of each paper."""

    path: str = attrs.field(default="citeseer_directed/citeseer.npz", validator=not_empty)
    "The npz file with adj_*, attr_*, labels and node_names."
    self_loops: str = attrs.field(default="keep", validator=one_of(*KEEP_OR_DROP))
    "What to do with the 124 arcs from a paper to itself; published counts have them."


@attrs.frozen
class AmazonMetadataConfig:
    """Amazon product metadata (2018): who bought or viewed this also bought or viewed that."""

    path: str = attrs.field(
        default="amazon_magazine/meta_Magazine_Subscriptions.json.gz", validator=not_empty
    )
    "The original `meta_<Category>.json.gz`, gzipped or plain."
    relations: tuple[str, ...] = attrs.field(
        default=("also_buy", "also_view"), validator=list_of("also_buy", "also_view")
    )
    "The relations to read."
    unknown: str = attrs.field(default="drop", validator=one_of(*KEEP_OR_DROP))
    "What to do with edges to products that the file has no row of; kept ones have no text."
    self_loops: str = attrs.field(default="drop", validator=one_of(*KEEP_OR_DROP))
    "What to do with edges from a product to itself."
    locale: str = attrs.field(default="us", validator=not_empty)
    "Locale of the products."
