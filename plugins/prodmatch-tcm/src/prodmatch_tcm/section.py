"""The report's section: how well one threshold serves every class, and who suffers from it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from prodmatch_core.records import Section
from prodmatch_core.rundir import Run
from prodmatch_core.writing import write_parquet
from prodmatch_tcm import segments
from prodmatch_tcm.drawing import utility_chart
from prodmatch_tcm.histograms import ClassHistograms
from prodmatch_tcm.segments import Served
from prodmatch_tcm.utility import (
    PAPER,
    Curves,
    curves_at,
    curves_of,
    mean_utility,
    opis,
    opis_worst,
    threshold_at,
    threshold_range,
)
from prodmatch_tcm.vectors import SplitPairs, pairs_of

RATE = 1e-2
"False-accept rate whose threshold the section tells the consequences of."


def sections(run: Run) -> list[Section]:
    """Return the section, and keep the curves it is drawn from in the run: class_utility.parquet.

    Raises:
        RunError: the run keeps no vectors, or cannot be written to.
    """
    valid, test = pairs_of(run, "valid"), pairs_of(run, "test")
    curves = curves_of(test.histograms)
    keep(run, curves, test)
    threshold = threshold_at(valid.histograms, RATE)
    at = segments.served(test.histograms, threshold)
    rates = segments.rates(test.histograms, threshold)
    everyone = Served.of("all classes", at, np.ones(len(at.classes), dtype=bool))
    chart = utility_chart(
        wide(test.histograms), threshold_range(test.histograms, PAPER), "tcm-utility", chosen=threshold
    )
    html = "\n".join(
        [
            f"<p>{_verdict(threshold, rates, everyone)}</p>",
            '<div class="charts">',
            f"<figure>{chart}<figcaption>All {len(curves.classes):,} classes: the stronger the colour, the more curves "
            "pass. Black, their mean; dashed, the worst tenth; the upright line, the threshold above. Shaded, "
            "thresholds of 1% to 10% false accepts, which OPIS looks at.</figcaption></figure>",
            "<div>",
            _table("By size of the class", [everyone, *segments.by_size(at)]),
            f"<p>OPIS {opis(curves):.5f}, of the worst tenth {opis_worst(curves):.5f} (0: one threshold serves all "
            f"alike); mean utility {mean_utility(curves):.4f}. {_left_out(curves.singles)}</p>",
            "</div></div>",
            "<h3>Who suffers: the classes of the lowest utility</h3>",
            _table("Who suffers", segments.worst(at, test.classes, test.examples, 10), classes=True),
        ]
    )
    note = (
        "Utility is the harmonic mean of the share of a class's own pairs that are accepted and the share of its pairs "
        "with others that are rejected."
    )
    return [Section(title="One threshold for every class", html=html, note=note)]


def keep(run: Run, curves: Curves, pairs: SplitPairs) -> None:
    """Write every class's curve: group, items, threshold, accepted, rejected, utility."""
    import polars as pl

    points = len(curves.thresholds)
    table = pl.DataFrame(
        {
            "group": np.repeat(np.array(pairs.classes), points),
            "items": np.repeat(curves.items, points),
            "threshold": np.tile(curves.thresholds, len(curves.classes)),
            "accepted": curves.accepted.ravel(),
            "rejected": curves.rejected.ravel(),
            "utility": curves.utility.ravel(),
        }
    )
    write_parquet(run.path / "class_utility.parquet", table)


def wide(found: ClassHistograms) -> Curves:
    """Return the curves from where half of all negatives are accepted to where half of all positives are rejected."""
    low, high = threshold_at(found, 0.5), threshold_at(found, 0.5, "frr")
    if high <= low:
        low, high = threshold_range(found, PAPER)
    return curves_at(found, np.linspace(low, max(high, low + 1e-3), 193))


def _left_out(singles: int) -> str:
    return f"{singles:,} classes of one item have no pair of their own and are left out." if singles else ""


def _verdict(threshold: float, rates: dict[str, float], everyone: Served) -> str:
    return (
        f"A threshold of <strong>{threshold:.4f}</strong> (cosine) accepted {RATE:.0%} of the negative pairs of "
        f"validation. On test it accepts {rates['false_accepts']:.2%} of them and rejects "
        f"{rates['false_rejects']:.1%} of the pairs that belong together. {everyone.poor:,} of "
        f"{everyone.classes:,} classes are served poorly (utility below {segments.POOR:g}). "
        "<code>prodmatch threshold RUN --far 0.01</code> tells the same for any rate."
    )


def _table(caption: str, rows: Sequence[Served], *, classes: bool = False) -> str:
    """Return a table of segments, or of single classes, of which there is nothing to count."""
    counted = ("segment", "classes", "items", "own pairs accepted", "others accepted", "utility", "poor")
    heads = ("class", *counted[2:-1]) if classes else counted
    number = ' class="n"'
    head = "".join(
        f'<th scope="col"{number if place else ""}>{escape(name)}</th>' for place, name in enumerate(heads)
    )
    if classes:
        head += '<th scope="col">one of its items</th>'
    body = []
    for row in rows:
        cells = [f"{row.items:,}", f"{row.accepted:.1%}", f"{row.false_accepts:.2%}", f"{row.utility:.3f}"]
        if not classes:
            cells = [f"{row.classes:,}", *cells, f"{row.poor:,}"]
        shown = "".join(f"<td{number}>{cell}</td>" for cell in cells)
        if classes:
            shown += f"<td>{escape(row.example)}</td>"
        body.append(f'<tr><th scope="row">{escape(row.name)}</th>{shown}</tr>')
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
