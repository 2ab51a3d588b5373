"""`prodmatch consistency RUN... -o PAGE`: how consistent one threshold is, runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run
    from prodmatch_tcm.vectors import SplitPairs

TERM = "tcm.margin"


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    metavar="PAGE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="HTML page to write.",
)
def consistency(runs: tuple[Path, ...], out: Path) -> None:
    """Draw how consistent one threshold is, of several runs side by side.

    Each RUN is a finished run of the task embed, such as one with the loss tcm.margin and one without. The page shows
    the utility of all classes at every threshold of each run, and inconsistency against recognition error over the
    runs; the figures are printed too. They are of each run's own test split, so name runs of the same data and seed.
    """
    from prodmatch_core.cli.tables import print_table
    from prodmatch_core.rundir import Run
    from prodmatch_core.writing import write_text
    from prodmatch_tcm.vectors import pairs_of

    opened = [Run.open(run) for run in runs]
    pairs = [pairs_of(run, "test") for run in opened]
    rows = [_figures(run, found) for run, found in zip(opened, pairs, strict=True)]
    write_text(out, _page(opened, pairs, rows))
    heads = ("run", "R@1", "OPIS", "10%-OPIS", "OPIS strict", "mean utility")
    cells = [
        [name, f"{hit:.4f}", *(f"{value:.5f}" for value in values), f"{mean:.4f}"]
        for name, hit, *values, mean in rows
    ]
    print_table(heads, cells, right=range(1, 6))
    click.echo(f"\n{out}: written")


def _figures(run: Run, pairs: SplitPairs) -> tuple:
    from prodmatch_tcm.utility import PAPER, STRICT, curves_of, mean_utility, opis, opis_worst

    curves, strict = curves_of(pairs.histograms, PAPER), curves_of(pairs.histograms, STRICT)
    hit = run.metrics["lines"][-1]["measures"]["hit_rate@1"]["value"]
    return run.path.name, hit, opis(curves), opis_worst(curves), opis(strict), mean_utility(curves)


def _page(runs: list[Run], pairs: list[SplitPairs], rows: list[tuple]) -> str:
    from html import escape

    import numpy as np

    from prodmatch_tcm.drawing import Standing, scatter, utility_chart
    from prodmatch_tcm.section import wide
    from prodmatch_tcm.utility import PAPER, curves_at, threshold_range

    ends = [wide(found.histograms).thresholds[[0, -1]] for found in pairs]
    # One axis for all, so that shapes can be compared.
    thresholds = np.linspace(min(low for low, _ in ends), max(high for _, high in ends), 193)
    figures = []
    for number, (run, found, row) in enumerate(zip(runs, pairs, rows, strict=True)):
        chart = utility_chart(
            curves_at(found.histograms, thresholds), threshold_range(found.histograms, PAPER), f"run-{number}"
        )
        caption = f"{escape(run.path.name)}: R@1 {row[1]:.4f}, OPIS {row[2]:.5f}, worst tenth {row[3]:.5f}"
        figures.append(f"<figure>{chart}<figcaption>{caption}</figcaption></figure>")
    standings = [
        Standing(row[0], 1 - row[1], row[2], TERM in (run.path / "resolved.toml").read_text(encoding="utf-8"))
        for run, row in zip(runs, rows, strict=True)
    ]
    figures.append(
        f"<figure>{scatter(standings, 'standings')}<figcaption>Towards the lower left is better on both. "
        "Triangles: with the margin term.</figcaption></figure>"
    )
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1d2126;"
        "background:#fcfbf8}main{display:grid;gap:2rem;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr))}"
        "figure{margin:0}svg{max-width:100%;height:auto}figcaption,p{color:#59616a;font-size:.92rem;max-width:60rem}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>One threshold for every class</title><style>{style}</style></head><body>"
        "<h1>One threshold for every class</h1><p>The utility of all test classes at every threshold: the stronger the "
        "colour, the more curves pass. Black, their mean; dashed, the worst tenth; shaded, thresholds of 1% to 10% "
        "false accepts. Where the curves lie on each other, one threshold serves all classes alike.</p>"
        f"<main>{''.join(figures)}</main></body></html>\n"
    )
