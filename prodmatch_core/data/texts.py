"""Identity of texts: when two queries are the same, and identifiers made from text."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import polars as pl

BLANKS = r"[\t-\r\x1c-\x1f]"
"What `str.split` takes for blanks beside the space, of ASCII."


def normalise(text: str) -> str:
    """Return `text` in NFKC, case-folded, with single spaces: equal results are the same query."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Folding can undo the composition NFKC made, so the normal form is taken again.
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def normalised(column: pl.Series) -> pl.Series:
    """Return `normalise` of every text of a String column; nulls stay null."""
    # Of ASCII, NFKC changes nothing and folding is lower case: a column of it needs no Python for each text.
    simple = (column.str.len_bytes() == column.str.len_chars()).fill_null(value=True)
    spaced = column.str.to_lowercase().str.replace_all(BLANKS, " ")
    # Single spaces, which are the most, are left alone.
    forms = spaced.str.replace_all(" {2,}", " ").str.strip_chars(" ")
    if simple.all():
        return forms
    unique = column.filter(~simple).unique()
    others = pl.Series([normalise(text) for text in unique], dtype=pl.String)
    return forms.zip_with(simple, column.replace_strict(unique, others, default=None, return_dtype=pl.String))


def derive_ids(frame: pl.DataFrame, columns: Sequence[str], prefix: str) -> pl.Series:
    """Return one identifier per row, the same wherever and whenever `columns` hold the same values.

    Args:
        frame: rows to identify; the columns named are String, nulls allowed.
        columns: what identifies a row.
        prefix: put before the hash, so that a reader of a table sees what kind of thing is meant.

    Returns:
        String series of length `frame.height`: prefix and 20 hexadecimal digits of a BLAKE2b hash.
    """
    keys = frame.select(columns).unique(maintain_order=True)
    # A null and an empty text differ; the unit separator keeps ("ab", "c") apart from ("a", "bc").
    names = [
        prefix
        + hashlib.blake2b(
            "\x1f".join("\x00" if value is None else value for value in row).encode(), digest_size=10
        ).hexdigest()
        for row in keys.iter_rows()
    ]
    keys = keys.with_columns(pl.Series("_id", names, dtype=pl.String))
    joined = frame.select(columns).join(
        keys, on=list(columns), how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["_id"]
