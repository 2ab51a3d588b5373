"""Reader of query-product-label files.

Rows become judgements in four steps: name the columns, turn values into classes and numbers, identify queries
and products, merge rows about the same pair. Each step says which rows it cannot use (`rows`, `judged`).
"""

from __future__ import annotations

from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.files import RawTable, read_table
from prodmatch_core.data.judged import Origin, judged_dataset
from prodmatch_core.data.pairs_config import Columns, PairsConfig, Scheme
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import (
    Rows,
    check_texts,
    given_splits,
    identify,
    parse_labels,
    parse_rest,
    require_columns,
)


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
    rows = Rows(raw, _columns(raw, config.columns, origin.part), bad, origin.part)
    rows.frame = rows.frame.with_columns(pl.col("locale").fill_null(config.locale))
    check_texts(rows)
    parse_labels(rows, config.scheme.labels, config.labels, config.thresholds)
    parse_rest(rows)
    rows.drop_bad()
    identify(rows)
    rows.drop_bad()
    rows.require_some()
    return judged_dataset(
        rows.frame,
        path=path,
        origin=origin,
        scheme=label_scheme(config.scheme),
        split=context.split,
        given=given_splits(rows),
        thresholds=config.thresholds,
        notes=bad.notes(raw.total),
    )


def _columns(raw: RawTable, columns: Columns, part: str) -> dict[str, str]:
    """Return our name -> the file's name of every column there is."""
    wanted = attrs.asdict(columns)
    required = ("query", "title", "label")
    names = {name: source or name for name, source in wanted.items() if source != ""}
    remedy = (
        'Say which column holds what, e.g. columns.query = "search_term".'
        if part == "core.pairs"
        else f'{part} reads the original file; read others with use = "core.pairs".'
    )
    needed = [names[name] for name in names if name in required or wanted[name] is not None]
    require_columns(raw.path, raw.frame.columns, needed, remedy)
    return {name: source for name, source in names.items() if source in raw.frame.columns}
