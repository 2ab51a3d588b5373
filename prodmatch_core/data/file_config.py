"""Fields that readers of tables share: where a file is and how it is written. Imports nothing heavy."""

from __future__ import annotations

import re
from typing import Any

import attrs

from prodmatch_core.fields import Expected, not_empty, one_of

FORMATS = ("auto", "csv", "tsv", "jsonl", "parquet")


def _is_encoding(value: Any) -> bool:
    try:
        b"".decode(value)
        "a".encode(value)
    except (LookupError, TypeError, UnicodeError):
        return False
    return True


encoding = Expected("a text encoding, like utf-8 or ISO-8859-1", _is_encoding)
"The name of a text encoding."
quote = Expected(
    "one character, or nothing", lambda v: isinstance(v, str) and (v == "" or (len(v) == 1 and v.isascii()))
)
"The character around fields, or nothing."


def _is_header(value: Any) -> bool:
    names = list(value)
    return len(set(names)) == len(names) and all(
        isinstance(name, str) and re.fullmatch(r"[^\s,\"']+", name) for name in names
    )


header = Expected("different names without white space, commas and quotes", _is_header)
"Names for the columns of a file that has none in its first row."


@attrs.frozen
class TableFile:
    """A file with one thing a row: CSV, TSV, JSON lines or Parquet, plain or gzipped."""

    path: str = attrs.field(validator=not_empty)
    "File under the data folder or beside the pipeline file."
    format: str = attrs.field(default="auto", validator=one_of(*FORMATS))
    "Format of the file, plain or gzipped; auto: by its name."
    encoding: str = attrs.field(default="utf-8", validator=encoding)
    "Encoding of CSV, TSV and JSON lines."
    quote: str = attrs.field(default='"', validator=quote)
    "Character around CSV and TSV fields with separators or line breaks; empty: none, quotes are plain text."
