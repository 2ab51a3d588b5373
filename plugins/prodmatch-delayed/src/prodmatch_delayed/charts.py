"""The section's pictures, as inline SVG in the report's own manner."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from prodmatch_core.report.charts import WIDTH
from prodmatch_core.report.svg import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    MUTED,
    PAPER,
    SECOND,
    Plot,
    document,
    element,
    line,
    path,
    shorten,
    text,
    tick_labels,
    ticks,
    tooltip,
)

COLOURS = (ACCENT, SECOND, GOOD, BAD, MUTED)


@attrs.frozen
class Line:
    """One line over time: `values`, None where there is nothing to say."""

    name: str
    values: Sequence[float | None]
    dashed: bool = False


def over_time(when: Sequence[str], lines: Sequence[Line], title: str, axis: str, ident: str) -> str:
    """Return lines over moments, each named above the plot.

    Args:
        when: what the moments are called, in order.
        lines: at most as many as there are colours are told apart by colour.
        title: of the picture.
        axis: name of the values.
        ident: prefix of ids.
    """
    known = [value for one in lines for value in one.values if value is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    margin = (high - low) * 0.08 or 0.05
    rows = -(-len(lines) // 2)
    plot = Plot(52, 26 + 17 * rows, 332, 200, (0, max(len(when) - 1, 1)), (low - margin, high + margin))
    rule = sorted({0, len(when) // 2, len(when) - 1})
    up = ticks(*plot.y_range, about=5)
    marks = [
        *plot.x_axis([float(v) for v in rule], "Day", labels=[when[v][5:] for v in rule]),
        *plot.y_axis(up, axis, labels=tick_labels(up)),
    ]
    for number, one in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)] if not one.dashed else INK
        dash = "3 3" if one.dashed else None
        points = [(plot.x(i), plot.y(v)) for i, v in enumerate(one.values) if v is not None]
        marks.append(path(points, stroke=colour, stroke_dasharray=dash))
        for (x, y), (i, v) in zip(
            points, ((i, v) for i, v in enumerate(one.values) if v is not None), strict=True
        ):
            note = tooltip(f"{one.name}, {when[i]}: {v:.4g}")
            marks.append(element("circle", note, cx=x, cy=y, r=2.5, fill=PAPER, stroke=colour))
        x, y = plot.left + 166 * (number % 2), 10 + 17 * (number // 2)
        marks.append(line(x, y, x + 18, y, stroke=colour, stroke_width=2, stroke_dasharray=dash))
        marks.append(text(x + 24, y + 4, shorten(one.name, 18)))
    told = "; ".join(
        f"{one.name} from {first:.4g} to {last:.4g}"
        for one in lines
        if (first := next((v for v in one.values if v is not None), None)) is not None
        and (last := next((v for v in reversed(one.values) if v is not None), None)) is not None
    )
    return document(WIDTH, plot.bottom + 44, title, f"{axis}: {told}.", marks, ident, class_="chart")


def weight_bars(
    edges: Sequence[float], counts: Sequence[tuple[str, Sequence[float]]], title: str, ident: str
) -> str:
    """Return the share of rows in each range of weights, a row of bars for each label.

    Args:
        edges: bounds of the ranges; below the first and above the last are ranges too.
        counts: (label, rows in each of the len(edges) + 1 ranges).
        title: of the picture.
        ident: prefix of ids.
    """
    names = [f"< {edges[0]:g}", *(f"{low:g}" for low in edges[:-1]), f"> {edges[-1]:g}"]
    marks, told, top = [], [], 26.0
    for number, (label, rows) in enumerate(counts):
        whole = sum(rows) or 1.0
        plot = Plot(52, top, 332, 70, (0, len(rows)), (0.0, 1.0))
        marks += plot.y_axis([0.0, 0.5, 1.0], f"Share of {label} rows", labels=["0", "50%", "100%"])
        for place, count in enumerate(rows):
            x, y = plot.x(place) + 2, plot.y(count / whole)
            note = tooltip(f"{label}, weight {names[place]}: {count:,.0f} rows, {count / whole:.1%}")
            box = {"x": x, "y": y, "width": plot.width / len(rows) - 4, "height": plot.bottom - y}
            marks.append(element("rect", note, **box, fill=COLOURS[number]))
        told.append(f"{label}: most rows at {names[max(range(len(rows)), key=lambda i: rows[i])]}")
        top = plot.bottom + 34
    marks += [
        text(plot.x(place + 0.5), plot.bottom + 16, name, fill=MUTED, text_anchor="middle", font_size=10)
        for place, name in enumerate(names)
    ]
    marks.append(
        text(plot.left + plot.width / 2, plot.bottom + 34, "Weight from", fill=MUTED, text_anchor="middle")
    )
    return document(WIDTH, plot.bottom + 44, title, "; ".join(told) + ".", marks, ident, class_="chart")
