"""Comparisons on the terminal: arms, their differences, the settings that differ, and what to know of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from prodmatch_core.cli.tables import print_table

WORDS: Mapping[str, str] = {
    "better": "better",
    "worse": "worse",
    "open": "not clear",
    "same": "the same",
    "unknown": "-",
}
"What the table says of a difference."


def show(figures: Mapping[str, Any]) -> None:
    """Print a comparison; nothing where no arm was finished."""
    if not figures["arms"]:
        return
    names = list(figures["directions"])
    columns = [_figures_of([arm["measures"][name] for arm in figures["arms"]]) for name in names]
    rows = [
        [arm["name"], str(len(arm["runs"])), *cells]
        for arm, *cells in zip(figures["arms"], *columns, strict=True)
    ]
    print_table(["arm", "runs", *names], rows, right=range(1, 2 + len(names)))
    if figures["differences"]:
        click.echo()
        won = f"{figures['grouped']} won/tied/lost"
        headers = ["measure", "arm", "against", "difference", "p", "Holm", "verdict", won]
        rows = list(_differences(figures))
        if len({one["against"] for one in figures["differences"]}) == 1:
            # A terminal is narrow: what is the same in every row stands above them.
            click.echo(f"differences from {rows[0][2]}")
            headers, *rows = ([*line[:2], *line[3:]] for line in (headers, *rows))
        figure = headers.index("difference")
        print_table(headers, rows, right=(figure, figure + 1, figure + 2, figure + 4))
    if figures["settings"]:
        click.echo()
        names = [arm["name"] for arm in figures["arms"]]
        told = [[path, *map(_setting, values)] for path, values in figures["settings"].items()]
        print_table(["differs in", *names], told)
    click.echo()
    for note in figures["notes"]:
        click.echo(note)


def _differences(figures: Mapping[str, Any]) -> Iterator[list[str]]:
    for name in figures["directions"]:
        mine = [found for found in figures["differences"] if found["measure"] == name]
        for found, written in zip(mine, _figures_of(mine, "+"), strict=True):
            yield [
                name,
                found["arm"],
                found["against"],
                written,
                _p(found["p"]),
                _p(found["holm"]),
                WORDS[found["standing"]],
                "/".join(map(str, found["queries"].values())) if found["queries"] else "-",
            ]


def _figures_of(estimates: Sequence[Mapping[str, float]], sign: str = "") -> list[str]:
    """Write estimates of one measure as `value [low, high]`, all with the same decimals."""
    from prodmatch_core.report.formats import estimate_decimals

    form = f"{sign}.{estimate_decimals(estimates)}f"
    return [_figure(estimate, form) for estimate in estimates]


def _figure(estimate: Mapping[str, float], form: str) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value != value:
        return "-"
    return f"{value:{form}}" + ("" if low != low or high != high else f" [{low:{form}}, {high:{form}}]")


def _p(value: float) -> str:
    return "-" if value != value else "<0.001" if value < 0.001 else f"{value:.3f}"


def _setting(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else str(value)
