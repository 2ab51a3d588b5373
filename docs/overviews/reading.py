"""Figures in the documentation's own pages: found by page, headings, row and column, or by a sentence.

A page, heading, row or column that is not there is an error that says which: pages are made again by other programs,
and what they no longer say must not stand in an overview.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

EXPLANATION = Path(__file__).resolve().parents[1] / "explanation"
_BAR = re.compile(r"(?<!\\)\|")
_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*python (benchmarks/(\w+\.py)[^`\n]*)")


class OverviewError(Exception):
    """What an overview names is not in the page it names."""


@attrs.frozen
class Table:
    """A table of a page: cells as they stand there, without the bold."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@attrs.frozen
class Section:
    """A heading with its text and tables, down to the next heading of any level.

    Attributes:
        path: headings above it and its own, without the title of the page; empty for what stands before them.
        text: its lines in one.
    """

    path: tuple[str, ...]
    text: str
    tables: tuple[Table, ...]


@functools.cache
def sections(page: str) -> tuple[Section, ...]:
    """Return the sections of a page, named below docs/explanation.

    Raises:
        OverviewError: there is no such page.
    """
    file = EXPLANATION / page
    if not file.is_file():
        raise OverviewError(f"docs/explanation/{page}: no such page")
    found: list[Section] = []
    path: list[str] = []
    lines: list[str] = []
    for line in [*file.read_text(encoding="utf-8").splitlines(), "## "]:
        heading = re.match(r"(##+) (.*)", line)
        if heading is None:
            lines.append(line)
            continue
        found.append(Section(tuple(path), " ".join(" ".join(lines).split()), tuple(_tables(lines))))
        path, lines = [*path[: len(heading[1]) - 2], heading[2].strip()], []
    return tuple(found)


def section(page: str, headings: Sequence[str]) -> Section:
    """Return the one section under `headings`, each given by its beginning, the last one its own.

    Raises:
        OverviewError: none or several are.
    """
    there = [
        one
        for one in sections(page)
        if len(one.path) == len(headings)
        and all(path.startswith(begins) for path, begins in zip(one.path, headings, strict=True))
    ]
    if len(there) != 1:
        names = ", ".join(repr(" / ".join(one.path)) for one in sections(page) if one.path)
        wanted = " / ".join(headings) or "the beginning"
        raise OverviewError(
            f"docs/explanation/{page}: {len(there)} sections are {wanted!r}; there are {names or 'none'}"
        )
    return there[0]


@attrs.frozen
class Cell:
    """Where figures stand in a table.

    Attributes:
        page: below docs/explanation.
        headings: beginnings of the headings above the table.
        row: first cells of the row, as they stand; `*` stands for anything, and then all such rows are read.
        column: head of the column.
        right: columns to the right of it, where heads are not told apart by their words.
        table: number of the table among those of the section that have the row and the column; None: there is one.
    """

    page: str
    headings: tuple[str, ...]
    row: tuple[str, ...]
    column: str
    right: int = 0
    table: int | None = None

    def read(self) -> list[tuple[str, str]]:
        """Return (first cells of the row, the cell) of each row; cells that say nothing are left out.

        Raises:
            OverviewError: the section, the row or the column is not there, or stands there twice.
        """
        where = f"docs/explanation/{self.page}, {' / '.join(self.headings) or 'its beginning'}"
        tables = [t for t in section(self.page, self.headings).tables if self.column in t.columns]
        if not tables:
            raise OverviewError(f"{where}: no table has a column {self.column!r}")
        hits = [(t, rows) for t in tables if (rows := [row for row in t.rows if self._meant(row)])]
        row = " | ".join(self.row)
        if not hits:
            there = ", ".join(repr(" | ".join(r[: len(self.row)])) for t in tables for r in t.rows)
            raise OverviewError(f"{where}: no row {row!r} with a column {self.column!r}; rows are {there}")
        if self.table is None and len(hits) > 1:
            raise OverviewError(f"{where}: row {row!r} with {self.column!r} stands in {len(hits)} tables")
        if self.table is not None and self.table >= len(hits):
            raise OverviewError(
                f"{where}: row {row!r} stands in {len(hits)} tables, asked for is {self.table + 1}"
            )
        table, rows = hits[self.table or 0]
        if len(rows) > 1 and "*" not in row:
            raise OverviewError(f"{where}: {len(rows)} rows are {row!r}")
        place = table.columns.index(self.column) + self.right
        found = [(" ".join(r[: len(self.row)]), r[place]) for r in rows if r[place] not in ("", "–")]
        if not found:
            raise OverviewError(f"{where}: row {row!r} says nothing under {self.column!r}")
        return found

    def _meant(self, row: tuple[str, ...]) -> bool:
        return len(row) >= len(self.row) and all(
            fnmatch.fnmatchcase(cell, wanted.replace("[", "[[]"))
            for cell, wanted in zip(row, self.row, strict=False)
        )


@attrs.frozen
class Sentence:
    """Where figures stand in a text: the groups of a pattern that the section's text, in one line, has once."""

    page: str
    headings: tuple[str, ...]
    pattern: str

    def read(self) -> tuple[str, ...]:
        """Return the groups.

        Raises:
            OverviewError: the section is not there, or no sentence of it fits.
        """
        text = section(self.page, self.headings).text
        found = re.search(self.pattern, text)
        if found is None:
            where = f"docs/explanation/{self.page}, {' / '.join(self.headings) or 'its beginning'}"
            raise OverviewError(f"{where}: no sentence like {self.pattern!r}")
        return tuple(group for group in found.groups() if group is not None)


def script(page: str) -> str:
    """Return the program of benchmarks/ that a page says it is made by.

    Raises:
        OverviewError: it names none.
    """
    for one in sections(page):
        if found := _COMMAND.search(one.text):
            return found[2]
    raise OverviewError(f"docs/explanation/{page}: no command that makes it again")


def title(page: str) -> str:
    """Return the title of a page."""
    first = (EXPLANATION / page).read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# ")


def _tables(lines: Sequence[str]) -> Iterator[Table]:
    rows: list[tuple[str, ...]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            cells = _BAR.split(line.strip().removeprefix("|").removesuffix("|"))
            rows.append(tuple(cell.strip().replace("**", "") for cell in cells))
        elif rows:
            yield Table(rows[0], tuple(rows[2:]))
            rows = []
