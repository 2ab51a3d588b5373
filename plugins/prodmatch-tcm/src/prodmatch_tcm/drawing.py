"""Pictures of thresholds: every class's utility, runs side by side, and digits on a circle."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_core.report import svg
from prodmatch_core.report.charts import WIDTH
from prodmatch_tcm.utility import Curves

COLUMNS, ROWS = 64, 30
"Cells of the picture of all classes' curves."
TENTHS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def utility_chart(
    curves: Curves,
    calibration: tuple[float, float],
    ident: str,
    title: str = "Utility of every class at every threshold",
    chosen: float | None = None,
) -> str:
    """Return the curves of all classes, as a picture of how many pass where, with their mean and their worst tenth.

    Args:
        curves: over the thresholds that are drawn.
        calibration: the range that scores look at, shaded.
        ident: prefix of ids.
        title: what it is.
        chosen: a threshold to mark.
    """
    low, high = float(curves.thresholds[0]), float(curves.thresholds[-1])
    plot = svg.Plot(40, 26, 344, 260, (low, high))
    left, right = (plot.x(float(np.clip(end, low, high))) for end in calibration)
    marks = [
        svg.element(
            "rect", x=left, y=plot.top, width=max(right - left, 0.5), height=plot.height, fill=svg.SURFACE
        ),
        *plot.x_axis(svg.ticks(low, high), "Threshold: cosine similarity from which a pair is accepted"),
        *plot.y_axis(TENTHS, "Utility"),
        *_density(curves, plot),
    ]
    order = np.argsort(curves.means, kind="stable")
    worst = curves.utility[order[: max(1, round(0.1 * len(order)))]].mean(axis=0)
    for values, colour, dash in ((curves.utility.mean(axis=0), svg.INK, None), (worst, svg.SECOND, "5 3")):
        points = zip(curves.thresholds.tolist(), values.tolist(), strict=True)
        marks.append(
            svg.path(
                ((plot.x(x), plot.y(y)) for x, y in points),
                stroke=colour,
                stroke_width=2,
                stroke_dasharray=dash,
            )
        )
    if chosen is not None and low <= chosen <= high:
        x = plot.x(chosen)
        marks.append(svg.line(x, plot.top, x, plot.bottom, stroke=svg.ACCENT, stroke_width=1.5))
    told = (
        f"{len(order)} classes. Black: their mean. Dashed: the worst tenth. Shaded: thresholds from "
        f"{calibration[0]:.3f} to {calibration[1]:.3f}."
    )
    return svg.document(WIDTH, plot.bottom + 44, title, told, marks, ident, class_="chart")


def _density(curves: Curves, plot: svg.Plot) -> list[str]:
    """Return cells whose strength says how many classes' curves pass."""
    place = np.linspace(0, len(curves.thresholds) - 1, COLUMNS).round().astype(int)
    rows = np.minimum((curves.utility[:, place] * ROWS).astype(int), ROWS - 1)
    counts = np.stack([np.bincount(column, minlength=ROWS) for column in rows.T])
    most = max(int(counts.max()), 1)
    width, height = plot.width / COLUMNS, plot.height / ROWS
    return [
        svg.element(
            "rect",
            x=plot.left + column * width,
            y=plot.bottom - (row + 1) * height,
            width=width,
            height=height,
            shape_rendering="crispEdges",
            fill=svg.ACCENT,
            fill_opacity=round(0.08 + 0.8 * float(counts[column, row] / most) ** 0.5, 2),
        )
        for column, row in np.argwhere(counts > 0).tolist()
    ]


@attrs.frozen
class Standing:
    """One run in the picture of inconsistency against error."""

    name: str
    error: float
    inconsistency: float
    term: bool
    "Whether the margin term was among its losses."


def scatter(standings: Sequence[Standing], ident: str) -> str:
    """Return OPIS against recognition error, a point a run; runs with the term are drawn as triangles."""
    xs, ys = [s.error for s in standings], [s.inconsistency for s in standings]
    plot = svg.Plot(58, 26, 326, 260, _around(xs), _around(ys))
    marks = [
        *plot.x_axis(svg.ticks(*plot.x_range, about=4), "Recognition error: 1 minus hit rate at 1"),
        *plot.y_axis(svg.ticks(*plot.y_range), "OPIS: threshold inconsistency"),
    ]
    for standing in standings:
        x, y = plot.x(standing.error), plot.y(standing.inconsistency)
        note = svg.tooltip(f"{standing.name}: error {standing.error:.4f}, OPIS {standing.inconsistency:.5f}")
        marks.append(
            svg.element("path", note, d=f"M{x:.1f} {y - 6:.1f}l6 11h-12z", fill=svg.SECOND)
            if standing.term
            else svg.element("circle", note, cx=x, cy=y, r=5, fill=svg.ACCENT)
        )
        beyond = x > plot.left + 0.6 * plot.width
        marks.append(
            svg.text(
                x + (-9 if beyond else 9),
                y + 4,
                svg.shorten(standing.name, 24),
                text_anchor="end" if beyond else "start",
            )
        )
    told = "; ".join(f"{s.name}: error {s.error:.4f}, OPIS {s.inconsistency:.5f}" for s in standings)
    return svg.document(
        WIDTH, plot.bottom + 44, "Inconsistency against error", f"{told}.", marks, ident, class_="chart"
    )


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.15 or max(abs(high) * 0.1, 1e-3)
    return max(low - margin, 0.0), high + margin


def circles(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], ident: str) -> str:
    """Return vectors of two entries by their direction, a circle a panel: density by class, and each class's mean.

    Args:
        panels: name, (n, 2) vectors and (n,) class of each.
        ident: prefix of ids.
    """
    size, marks = 320, []
    for number, (name, vectors, labels) in enumerate(panels):
        centre = (size * number + size / 2, size / 2 + 20)
        marks += [
            svg.text(centre[0], 16, name, text_anchor="middle", font_weight="600"),
            *_circle(centre, vectors, labels),
        ]
    told = " and ".join(name for name, _, _ in panels)
    return svg.document(
        size * len(panels), size + 30, "Digits on a circle", f"{told}.", marks, ident, class_="chart"
    )


def _circle(centre: tuple[float, float], vectors: np.ndarray, labels: np.ndarray) -> list[str]:
    """Return one panel: a ring whose redness is the density of directions, and an arrow to each class's mean."""
    sectors, inner, outer = 240, 96.0, 122.0
    angle = np.arctan2(vectors[:, 1], vectors[:, 0])
    place = ((angle + np.pi) / (2 * np.pi) * sectors).astype(int) % sectors
    counts = np.bincount(place, minlength=sectors).astype(float)
    share = counts / max(counts.max(), 1)

    def at(radius: float, turn: float) -> str:
        return f"{centre[0] + radius * np.cos(turn):.1f} {centre[1] - radius * np.sin(turn):.1f}"

    marks = []
    for sector in range(sectors):
        start, end = (-np.pi + 2 * np.pi * (sector + step) / sectors for step in (0, 1.05))
        shape = (
            f"M{at(inner, start)}L{at(outer, start)}A{outer} {outer} 0 0 0 {at(outer, end)}"
            f"L{at(inner, end)}A{inner} {inner} 0 0 1 {at(inner, start)}Z"
        )
        strength = float(share[sector]) ** 0.5
        fill = svg.SECOND if strength else svg.ACCENT
        marks.append(svg.element("path", d=shape, fill=fill, fill_opacity=round(max(strength, 0.12), 2)))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for label in np.unique(labels).tolist():
        x, y = unit[labels == label].mean(axis=0).tolist()
        turn = float(np.arctan2(y, x))
        marks.append(
            svg.element(
                "path", d=f"M{centre[0]} {centre[1]}L{at(inner - 2, turn)}", stroke=svg.INK, stroke_width=1.5
            )
        )
        tip = (centre[0] + (outer + 14) * np.cos(turn), centre[1] - (outer + 14) * np.sin(turn) + 4)
        marks.append(
            svg.text(float(tip[0]), float(tip[1]), str(label), text_anchor="middle", font_weight="600")
        )
    return marks
