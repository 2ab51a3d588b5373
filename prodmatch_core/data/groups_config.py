"""Configuration of the readers of items labelled by group. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.data.file_config import TableFile
from prodmatch_core.fields import not_empty


@attrs.frozen
class GroupColumns:
    """Which column of the file holds what. An optional one left out is read where the file has its name."""

    item_id: str | None = None
    'Identifier of the item; made from its group and texts where there is none, or where set to "".'
    group: str = attrs.field(default="group", validator=not_empty)
    "The group: items of one group are the same product."
    title: str | None = None
    "Title of the item; without it another text must be there."
    description: str | None = None
    "Free text about the item."
    bullets: str | None = None
    "Feature bullets of the item."
    brand: str | None = None
    "Brand of the item."
    color: str | None = None
    "Colour of the item."
    locale: str | None = None
    "Market and language of the texts."
    split: str | None = None
    'train, valid (or validation, dev) or test; set to "" to divide the groups anew.'


@attrs.frozen
class GroupsConfig(TableFile):
    """Items labelled by group, one a row: CSV, TSV, JSON lines or Parquet, plain or gzipped."""

    columns: GroupColumns = attrs.field(factory=GroupColumns)
    "Which column of the file holds what."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of rows that name none."


@attrs.frozen
class ShopeeConfig:
    """Shopee price match guarantee (2021): listings of a marketplace, grouped by product."""

    path: str = attrs.field(default="shopee/train.csv", validator=not_empty)
    "The original `train.csv`, plain or gzipped."
    locale: str = attrs.field(default="en", validator=not_empty)
    "Locale of the listings; their titles mix English, Indonesian and Malay."
