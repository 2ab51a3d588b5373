"""Pictures of the report: attention as a heat map, and how P(mismatch) is spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prodmatch_core.report import svg
from prodmatch_core.report.charts import WIDTH

CELL = 24
"Side of a heat map's cell, in pixels."
LEFT, TOP = 110, 104
"Room for the query's tokens beside the map, and for the product's above it."
EVEN = 4.0
"The full colour is at least this many times an even share."
NAMES = {
    "match": "matches",
    "true_decoded": "true, decoded",
    "generated": "generated",
    "mined": "mined",
    "random": "random",
}
"Kinds of rows, in the order they are drawn."
BINS = 20


def heat_map(weights: np.ndarray, query: Sequence[str], product: Sequence[str], ident: str) -> str:
    """Return how much each query token attends to each product token, words on both axes.

    Args:
        weights: (n, m) float, at least 0; tanh attention may be below 0, which is drawn in the second colour.
        query: n tokens.
        product: m tokens.
        ident: prefix of ids.
    """
    # Attention that is even over all tokens stays pale.
    largest = max(float(np.abs(weights).max(initial=0.0)), min(1.0, EVEN / max(len(product), 1)))
    marks = [
        svg.text(LEFT - 8, TOP + CELL * row + 16, svg.shorten(token, 15), text_anchor="end")
        for row, token in enumerate(query)
    ]
    for column, token in enumerate(product):
        x, y = LEFT + CELL * column + 16, TOP - 8
        marks.append(svg.text(x, y, svg.shorten(token, 14), transform=f"rotate(-60 {x} {y})"))
    for row, asked in enumerate(query):
        for column, token in enumerate(product):
            value = float(weights[row, column])
            marks.append(
                svg.element(
                    "rect",
                    svg.tooltip(f"{asked} → {token}: {value:.2f}"),
                    x=LEFT + CELL * column,
                    y=TOP + CELL * row,
                    width=CELL - 1,
                    height=CELL - 1,
                    fill=svg.ACCENT if value >= 0 else svg.SECOND,
                    fill_opacity=round(0.04 + 0.96 * abs(value) / largest, 3),
                )
            )
    told = "; ".join(
        f"{asked} attends most to {product[int(np.argmax(weights[row]))]}" for row, asked in enumerate(query)
    )
    return svg.document(
        LEFT + CELL * len(product) + 40,
        TOP + CELL * len(query) + 6,
        "Attention of query tokens over product tokens",
        f"{told}.",
        marks,
        ident,
    )


def spreads(scores: Mapping[str, np.ndarray], ident: str) -> str:
    """Return histograms of P(mismatch), a strip a kind on one axis, each with its mean.

    Args:
        scores: kind -> P(mismatch) of each row.
        ident: prefix of ids.
    """
    kinds = [kind for kind in NAMES if len(scores.get(kind, ()))]
    height = 46
    plot = svg.Plot(120, 12, 240, float(height * len(kinds)))
    marks = plot.x_axis([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "P(mismatch)")
    told = []
    for number, kind in enumerate(kinds):
        values = scores[kind]
        base = plot.top + height * (number + 1) - 4
        counts = np.histogram(values, BINS, (0.0, 1.0))[0]
        top = max(int(counts.max()), 1)
        mean = float(np.mean(values))
        marks.append(svg.line(plot.left, base, plot.right, base))
        for place, count in enumerate(counts.tolist()):
            tall = (height - 12) * count / top
            if count:
                marks.append(
                    svg.element(
                        "rect",
                        svg.tooltip(f"{NAMES[kind]}: {count} of {len(values)}"),
                        x=plot.left + plot.width * place / BINS,
                        y=base - tall,
                        width=plot.width / BINS - 1,
                        height=tall,
                        fill=svg.SECOND if kind == "generated" else svg.ACCENT,
                    )
                )
        marks += [
            svg.line(plot.x(mean), base - height + 10, plot.x(mean), base, stroke=svg.INK, stroke_width=1.5),
            svg.text(plot.left - 8, base - 12, svg.shorten(NAMES[kind], 22), text_anchor="end"),
            svg.text(WIDTH, base - 12, f"{mean:.2f}", text_anchor="end"),
        ]
        told.append(f"{NAMES[kind]} {mean:.2f} on average")
    return svg.document(
        WIDTH, plot.bottom + 44, "P(mismatch) by kind", f"{'; '.join(told)}.", marks, ident, class_="chart"
    )
