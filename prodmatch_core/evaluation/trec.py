"""Rankings and judgements in the text formats of TREC, which trec_eval, ir-measures and others read.

A run holds `query Q0 product rank score tag` a line, judgements (qrels) `query 0 product grade`. trec_eval
ignores the rank: it orders by score, read as a 32-bit float, and breaks ties by product id, descending. The
rank written here is the one it will find. Scores are written in full, for readers that keep 64 bits.

Files of millions of lines are read and written by Polars. A file that is not one blank or one tab between columns
on every line, or has anything wrong with it, is read again line by line, which knows where an error is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.data.text_files import open_text, readable
from prodmatch_core.errors import DataError
from prodmatch_core.writing import write_text

MAX_DECIMALS = 6
"Decimals of a gain that an integer grade can keep."

RUN_COLUMNS = ("query", "Q0", "product", "rank", "score", "tag")
QRELS_COLUMNS = ("query", "iteration", "product", "grade")
_WHITE = r"[\s\x1c-\x1f]"
"What separates columns: all that Python's `split` takes for white space."


def grades(scheme: LabelScheme) -> tuple[int, ...]:
    """Return the scheme's gains times the least power of ten that makes all of them whole numbers.

    TREC grades are integers; nDCG does not change when all gains are scaled alike. ESCI: (100, 10, 1, 0).

    Raises:
        DataError: a gain is negative, or has more decimals than a grade can keep.
    """
    if min(scheme.gains) < 0:
        raise DataError(
            f"label scheme {scheme.name}: gain {min(scheme.gains)} is negative; TREC grades start at 0."
        )
    for decimals in range(MAX_DECIMALS + 1):
        scaled = [gain * 10**decimals for gain in scheme.gains]
        if all(math.isclose(value, round(value), abs_tol=1e-9) for value in scaled):
            return tuple(round(value) for value in scaled)
    raise DataError(
        f"label scheme {scheme.name}: gains {scheme.gains} need more than {MAX_DECIMALS} decimals, and TREC "
        "grades are integers. Round the gains."
    )


def write_run(
    path: Path,
    query_ids: Sequence[str] | pl.Series,
    product_ids: Sequence[str] | pl.Series,
    scores: np.ndarray,
    tag: str = "prodmatch",
) -> None:
    """Write a ranking; queries keep the order of their first row.

    Args:
        path: file to write, whole or not at all.
        query_ids: (n,) query of each row.
        product_ids: (n,) product of each row.
        scores: (n,) higher is better.
        tag: name of the run, one word.

    Raises:
        DataError: an id or the tag is empty or holds white space, a pair repeats, or a score is not finite.
        RunError: the file cannot be written.
    """
    scores = np.asarray(scores, dtype=np.float64)
    table = _checked_pairs(path, query_ids, product_ids, len(scores))
    if tag.split() != [tag]:
        raise DataError(_no_word(f"{path}: tag", tag))
    if not np.isfinite(scores).all():
        row = int((~np.isfinite(scores)).argmax())
        raise DataError(f"{path}: row {row + 1}: score is {scores[row]}, expected a finite number.")
    with np.errstate(over="ignore"):  # beyond 32 bits is infinite, to trec_eval too
        seen_by_trec = scores.astype(np.float32)
    table = table.with_columns(score=pl.Series(scores), seen=pl.Series(seen_by_trec)).with_row_index("row")
    table = table.with_columns(first=pl.col("row").min().over("query"))
    table = table.sort("first", "seen", "product", descending=[False, True, True])
    lines = table.select(
        "query",
        pl.lit("Q0").alias("Q0"),
        "product",
        (pl.int_range(pl.len()).over("query") + 1).alias("rank"),
        "score",
        pl.lit(tag).alias("tag"),
    )
    write_text(path, _text(lines))


def write_qrels(
    path: Path,
    query_ids: Sequence[str] | pl.Series,
    product_ids: Sequence[str] | pl.Series,
    labels: np.ndarray,
    scheme: LabelScheme,
) -> None:
    """Write judgements with the grade of each label.

    Args:
        path: file to write, whole or not at all.
        query_ids: (n,) query of each row.
        product_ids: (n,) product of each row.
        labels: (n,) class index, 0 = best match.
        scheme: the labels' scheme; see `grades`.

    Raises:
        DataError: an id is empty or holds white space, a pair repeats, or the gains fit no integer grades.
        RunError: the file cannot be written.
    """
    table = _checked_pairs(path, query_ids, product_ids, len(labels))
    grade = np.array(grades(scheme))[np.asarray(labels, dtype=np.int64)]
    write_text(path, _text(table.select("query", pl.lit(0).alias("0"), "product", pl.Series("grade", grade))))


def read_run(path: Path) -> pl.DataFrame:
    """Read a ranking, plain or gzipped, in the order of the file.

    Returns:
        Columns query_id and product_id (String) and score (Float64).

    Raises:
        DataError: a line has not six columns, a score is no finite number, or a pair occurs twice; the message
            names the line. Or the file is missing or not UTF-8.
    """
    return _read(path, RUN_COLUMNS, pl.Float64)


def read_qrels(path: Path) -> pl.DataFrame:
    """Read judgements, plain or gzipped, in the order of the file.

    Returns:
        Columns query_id and product_id (String) and grade (Int64).

    Raises:
        DataError: a line has not four columns, a grade is no whole number, or a pair occurs twice; the message
            names the line. Or the file is missing or not UTF-8.
    """
    return _read(path, QRELS_COLUMNS, pl.Int64)


def _text(lines: pl.DataFrame) -> str:
    return lines.write_csv(separator=" ", include_header=False, quote_style="never")


def _read(path: Path, columns: tuple[str, ...], number: type[pl.DataType]) -> pl.DataFrame:
    with readable(path, "a TREC file"):
        quick = _read_regular(path, columns, number)
        return _read_lines(path, columns, number) if quick is None else quick


def _read_regular(path: Path, columns: tuple[str, ...], number: type[pl.DataType]) -> pl.DataFrame | None:
    """Return the table of a file that is as regular as programs write it, or None where it is not."""
    with open_text(path) as file:
        separator = "\t" if "\t" in file.readline() else " "
    value = columns[4] if number == pl.Float64 else columns[3]
    try:
        table = pl.read_csv(
            path,
            has_header=False,
            separator=separator,
            quote_char=None,
            new_columns=list(columns),
            schema_overrides=dict.fromkeys(columns, pl.String) | {value: number},
            infer_schema=False,
        )
    except pl.exceptions.PolarsError:
        return None
    if tuple(table.columns) != columns or any(table.null_count().row(0)):
        return None
    table = table.select(query_id="query", product_id="product", **{value: value})
    odd = pl.any_horizontal(pl.col("query_id", "product_id").str.contains(_WHITE))
    regular = table.select(~odd.any() & pl.col(value).cast(pl.Float64).is_finite().all()).item()
    return table if regular and _first_repeat(table) is None else None


def _read_lines(path: Path, columns: tuple[str, ...], number: type[pl.DataType]) -> pl.DataFrame:
    queries: list[str] = []
    products: list[str] = []
    found: list[float] = []
    numbers: list[int] = []
    place = 4 if number == pl.Float64 else 3
    for line, cells in _lines(path, columns):
        value = _number(path, line, columns[place], cells[place])
        if number == pl.Int64 and (value != int(value) or abs(value) >= 2**63):
            raise DataError(f"{path}, line {line}: grade is {cells[place]!r}, expected a whole number.")
        queries.append(cells[0])
        products.append(cells[2])
        found.append(value if number == pl.Float64 else int(value))
        numbers.append(line)
    table = pl.DataFrame(
        {"query_id": queries, "product_id": products, columns[place]: found},
        schema={"query_id": pl.String, "product_id": pl.String, columns[place]: number},
    )
    if (row := _first_repeat(table)) is not None:
        raise DataError(
            f"{path}, line {numbers[row]}: product {products[row]} repeats for query {queries[row]}. "
            "Keep one line a pair."
        )
    return table


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{path}, line {number}: {len(cells)} columns, "
                    f"expected {len(columns)}: {' '.join(columns)}."
                )
            yield number, cells


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {line}: {column} is {text!r}, expected a finite number.")
    return value


def _no_word(where: str, word: str) -> str:
    return f"{where} is {word!r}, expected one word: TREC columns are separated by white space. Rename it."


def _checked_pairs(
    path: Path, query_ids: Sequence[str] | pl.Series, product_ids: Sequence[str] | pl.Series, rows: int
) -> pl.DataFrame:
    """Return the columns query and product, after the checks that both writers make."""
    if not len(query_ids) == len(product_ids) == rows:
        raise DataError(
            f"{path}: {len(query_ids)} query ids, {len(product_ids)} product ids and {rows} values; "
            "expected one of each per row."
        )
    table = pl.DataFrame(
        {"query": pl.Series(query_ids, dtype=pl.String), "product": pl.Series(product_ids, dtype=pl.String)}
    )
    for name in ("query", "product"):
        broken = (table[name] == "") | table[name].str.contains(_WHITE)
        if broken.any():
            row = int(broken.arg_max() or 0)
            raise DataError(_no_word(f"{path}: row {row + 1}: {name} id", table[name][row]))
    if (row_of_repeat := _first_repeat(table)) is not None:
        query, product = table.row(row_of_repeat)[:2]
        raise DataError(
            f"{path}: row {row_of_repeat + 1}: product {product} repeats for query {query}. Keep one row a pair."
        )
    return table


def _first_repeat(table: pl.DataFrame) -> int | None:
    """Return the first row whose first two columns an earlier row has, None where there is none."""
    pair = pl.struct(table.columns[:2])
    repeats = ~table.select(pair.is_first_distinct()).to_series()
    return int(repeats.arg_max() or 0) if repeats.any() else None
