"""Judgements from files, whoever made them: TREC qrels, or the JSON list that search workbenches export.

Such a list (OpenSearch's Search Relevance Workbench, Quepid) is
`{"judgmentRatings": [{"query": text, "ratings": [{"docId": id, "rating": "100.000"}, ...]}, ...]}`. The query's text is
its id, white space written as `_`, because run files are separated by white space.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation import trec


def read_judgements(path: Path) -> pl.DataFrame:
    """Read judgements; a name that ends in `.json` is a JSON list, any other TREC qrels.

    Returns:
        Columns query_id and product_id (String) and grade (Int64), in the order of the file.

    Raises:
        DataError: the file is missing or has not that form; the message names the line, or the place in the list.
    """
    return _read_json(path) if path.suffix.lower() == ".json" else trec.read_qrels(path)


def _read_json(path: Path) -> pl.DataFrame:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: is not JSON: {error}. Export the judgements again.") from None
    listed = content.get("judgmentRatings") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise DataError(
            f'{path}: has no list "judgmentRatings". Give TREC qrels, or a workbench\'s judgement list.'
        )
    rows = []
    seen = set()
    for number, entry in enumerate(listed):
        where = f"{path}: judgmentRatings[{number}]"
        query = "_".join(_text(where, "query", entry).split())
        ratings = entry.get("ratings")
        if not isinstance(ratings, list):
            raise DataError(f'{where}: has no list "ratings".')
        for place, rating in enumerate(ratings):
            here = f"{where}.ratings[{place}]"
            product = "_".join(_text(here, "docId", rating).split())
            if (query, product) in seen:
                raise DataError(
                    f"{here}: product {product} repeats for query {query}. Keep one rating a pair."
                )
            seen.add((query, product))
            rows.append((query, product, _grade(here, rating.get("rating"))))
    schema = {"query_id": pl.String, "product_id": pl.String, "grade": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _text(where: str, key: str, entry: Any) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'{where}: "{key}" is {value!r}, expected a text.')
    return value


def _grade(where: str, value: Any) -> int:
    try:
        number = float(value)
        whole = int(number)
    except (TypeError, ValueError, OverflowError):
        number, whole = 0.5, 0
    if number != whole or isinstance(value, bool) or abs(whole) >= 2**63:
        raise DataError(f'{where}: "rating" is {value!r}, expected a whole number.')
    return whole
