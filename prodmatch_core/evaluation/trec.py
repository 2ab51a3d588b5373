"""Rankings and judgements in the text formats of TREC, which trec_eval, ir-measures and others read.

A run holds `query Q0 product rank score tag` a line, judgements (qrels) `query 0 product grade`. trec_eval
ignores the rank: it orders by score, read as a 32-bit float, and breaks ties by product id, descending. The
rank written here is the one it will find. Scores are written in full, for readers that keep 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import DataError

MAX_DECIMALS = 6
"Decimals of a gain that an integer grade can keep."


@attrs.frozen(eq=False)
class Run:
    """A ranking as read from a file, in its order."""

    query_ids: list[str]
    product_ids: list[str]
    scores: np.ndarray
    "(n,) float64."


@attrs.frozen(eq=False)
class Qrels:
    """Judgements as read from a file, in its order."""

    query_ids: list[str]
    product_ids: list[str]
    grades: np.ndarray
    "(n,) int64."


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
    query_ids: Sequence[str],
    product_ids: Sequence[str],
    scores: np.ndarray,
    tag: str = "prodmatch",
) -> None:
    """Write a ranking; queries keep the order of their first row.

    Args:
        path: file to write.
        query_ids: (n,) query of each row.
        product_ids: (n,) product of each row.
        scores: (n,) higher is better.
        tag: name of the run, one word.

    Raises:
        DataError: an id or the tag is empty or holds white space, a pair repeats, or a score is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    _check_pairs(path, query_ids, product_ids, len(scores))
    _check_word(f"{path}: tag", tag)
    if not np.isfinite(scores).all():
        row = int((~np.isfinite(scores)).argmax())
        raise DataError(f"{path}: row {row + 1}: score is {scores[row]}, expected a finite number.")
    rows_of: dict[str, list[int]] = {}
    for row, query in enumerate(query_ids):
        rows_of.setdefault(query, []).append(row)
    with np.errstate(over="ignore"):  # beyond 32 bits is infinite, to trec_eval too
        seen_by_trec = scores.astype(np.float32)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, rows in rows_of.items():
            rows.sort(key=lambda row: (seen_by_trec[row], product_ids[row]), reverse=True)
            for rank, row in enumerate(rows, start=1):
                file.write(f"{query} Q0 {product_ids[row]} {rank} {float(scores[row])!r} {tag}\n")


def write_qrels(
    path: Path, query_ids: Sequence[str], product_ids: Sequence[str], labels: np.ndarray, scheme: LabelScheme
) -> None:
    """Write judgements with the grade of each label.

    Args:
        path: file to write.
        query_ids: (n,) query of each row.
        product_ids: (n,) product of each row.
        labels: (n,) class index, 0 = best match.
        scheme: the labels' scheme; see `grades`.

    Raises:
        DataError: an id is empty or holds white space, a pair repeats, or the gains fit no integer grades.
    """
    _check_pairs(path, query_ids, product_ids, len(labels))
    grade = grades(scheme)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, product, label in zip(query_ids, product_ids, labels, strict=True):
            file.write(f"{query} 0 {product} {grade[label]}\n")


def read_run(path: Path) -> Run:
    """Read a ranking.

    Raises:
        DataError: a line has not six columns, a score is no finite number, or a pair occurs twice.
    """
    queries, products, scores = [], [], []
    for number, cells in _lines(path, ("query", "Q0", "product", "rank", "score", "tag")):
        queries.append(cells[0])
        products.append(cells[2])
        scores.append(_number(path, number, "score", cells[4]))
    _check_pairs(path, queries, products, len(scores))
    return Run(queries, products, np.asarray(scores, dtype=np.float64))


def read_qrels(path: Path) -> Qrels:
    """Read judgements.

    Raises:
        DataError: a line has not four columns, a grade is no whole number, or a pair occurs twice.
    """
    queries, products, found = [], [], []
    for number, cells in _lines(path, ("query", "iteration", "product", "grade")):
        value = _number(path, number, "grade", cells[3])
        if value != int(value):
            raise DataError(f"{path}, line {number}: grade is {cells[3]!r}, expected a whole number.")
        queries.append(cells[0])
        products.append(cells[2])
        found.append(int(value))
    _check_pairs(path, queries, products, len(found))
    return Qrels(queries, products, np.asarray(found, dtype=np.int64))


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8") as file:
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


def _check_word(where: str, word: str) -> None:
    if word.split() != [word]:
        raise DataError(
            f"{where} is {word!r}, expected one word: TREC columns are separated by white space. Rename it."
        )


def _check_pairs(path: Path, query_ids: Sequence[str], product_ids: Sequence[str], rows: int) -> None:
    if not len(query_ids) == len(product_ids) == rows:
        raise DataError(
            f"{path}: {len(query_ids)} query ids, {len(product_ids)} product ids and {rows} values; "
            "expected one of each per row."
        )
    seen = set()
    for row, pair in enumerate(zip(query_ids, product_ids, strict=True)):
        for name, word in zip(("query id", "product id"), pair, strict=True):
            _check_word(f"{path}: row {row + 1}: {name}", word)
        if pair in seen:
            raise DataError(
                f"{path}: row {row + 1}: product {pair[1]} repeats for query {pair[0]}. Keep one row a pair."
            )
        seen.add(pair)
