"""Tables on the terminal: aligned text everywhere, with rules and colour where a person is looking."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence

import click


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table. On a terminal Rich draws it; elsewhere it is plain text that `cut` and `diff` can read.

    Args:
        headers: names of the columns.
        rows: one text per column.
        right: columns that are aligned to the right.
    """
    if sys.stdout.isatty():
        _print_rich(headers, rows, right)
    else:
        for line in lines([headers, *rows], right):
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


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, so that brackets in a cell are not taken as markup
    Console().print(table)
