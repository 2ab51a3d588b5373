"""Tables on the terminal: aligned text everywhere, with rules and colour where a person is looking."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import click

if TYPE_CHECKING:
    from rich.text import Text


@attrs.frozen
class Bar:
    """A number as a bar: as long as its share of `largest`, its sign told by character or colour."""

    value: float
    largest: float
    width: int
    "Cells of the longest bar."

    @property
    def cells(self) -> int:
        """Return the bar's length."""
        return round(self.width * abs(self.value) / self.largest) if self.largest else 0

    def __str__(self) -> str:
        return ("+" if self.value > 0 else "-") * self.cells


Cell = str | Bar


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[int] = ()) -> None:
    """Print a table. On a terminal Rich draws it; elsewhere it is plain text that `cut` and `diff` can read.

    Args:
        headers: names of the columns.
        rows: one text or bar per column.
        right: columns that are aligned to the right.
    """
    if sys.stdout.isatty():
        _print_rich(headers, rows, right)
    else:
        for line in lines([headers, *([str(cell) for cell in row] for row in rows)], right):
            click.echo(line)


def lines(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Yield rows as text with aligned columns, two blanks apart."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            " " * (widths[i] - _width(cell)) + cell if i in right else cell + " " * (widths[i] - _width(cell))
            for i, cell in enumerate(row)
        ]
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Return how many terminal cells a text takes: Chinese and Japanese characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        # Text, so that brackets in a cell are not taken as markup
        table.add_row(*(_drawn(cell) if isinstance(cell, Bar) else Text(cell) for cell in row))
    Console().print(table)


def _drawn(bar: Bar) -> Text:
    from rich.text import Text

    return Text("━" * bar.cells, style="green" if bar.value > 0 else "red")
