"""The report's pictures of score and uncertainty, as inline SVG in the report's own manner."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_core.report import formats
from prodmatch_core.report.charts import FEW, TENTHS, WIDTH
from prodmatch_core.report.svg import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    SECOND,
    Plot,
    document,
    element,
    line,
    path,
    text,
    tooltip,
)
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.grid import levels_of
from prodmatch_uncertainty.sample import Sample

COLUMNS = 20
"Columns of the plane, equally wide in the score."


@attrs.frozen
class Point:
    """Rows of one level with neighbouring scores: their mean score, the share that matches, how many they are."""

    score: float
    positivity: float
    rows: int


def positivity_curves(sample: Sample, edges: np.ndarray, points: int = 8) -> list[list[Point]]:
    """Return for each level positivity against score, in bins of equally many rows, by rising score."""
    level = levels_of(sample.uncertainty, edges)
    curves = []
    for number in range(len(edges) + 1):
        rows = np.flatnonzero(level == number)
        rows = rows[np.argsort(sample.score[rows], kind="stable")]
        parts = np.array_split(rows, min(points, max(len(rows) // FEW, 1)))
        curves.append(
            [
                Point(float(sample.score[part].mean()), float(sample.positive[part].mean()), len(part))
                for part in parts
                if len(part)
            ]
        )
    return curves


def positivity_chart(curves: Sequence[Sequence[Point]], ident: str) -> str:
    """Return the share that matches against the score, a line for each level of uncertainty, the surest darkest."""
    plot = Plot(40, 26, 344, 260)
    marks = [*plot.x_axis(TENTHS, "Score"), *plot.y_axis(TENTHS, "Share that matches")]
    marks.append(line(plot.x(0), plot.y(0), plot.x(1), plot.y(1), stroke=MUTED, stroke_dasharray="3 3"))
    told = []
    for number, points in reversed(list(enumerate(curves))):
        opacity = _opacity(number, len(curves))
        drawn = [(plot.x(p.score), plot.y(p.positivity)) for p in points]
        if len(drawn) > 1:
            marks.append(path(drawn, stroke=ACCENT, stroke_opacity=opacity))
        for (x, y), p in zip(drawn, points, strict=True):
            note = f"level {number + 1}: score {p.score:.2f}, {p.positivity:.1%} of {p.rows:,} match"
            marks.append(
                element(
                    "circle",
                    tooltip(note),
                    cx=x,
                    cy=y,
                    r=3.5,
                    fill=ACCENT,
                    fill_opacity=opacity,
                    stroke=PAPER,
                )
            )
    for number, points in enumerate(curves):
        y = plot.top + 14 + 17 * number
        marks.append(
            line(
                plot.left + 10,
                y - 4,
                plot.left + 30,
                y - 4,
                stroke=ACCENT,
                stroke_width=3,
                stroke_opacity=_opacity(number, len(curves)),
            )
        )
        marks.append(text(plot.left + 36, y, level_name(number, len(curves)), fill=INK))
        told.append(
            f"Level {number + 1}: " + ", ".join(f"{p.positivity:.2f} at {p.score:.2f}" for p in points)
        )
    return document(
        WIDTH,
        plot.bottom + 44,
        "Share that matches against score, by level of uncertainty",
        "; ".join(told) + ".",
        marks,
        ident,
        class_="chart",
    )


def level_name(number: int, levels: int) -> str:
    """Return what a level is called."""
    extra = " (surest)" if number == 0 else " (least sure)" if number == levels - 1 else ""
    return f"level {number + 1}{extra}"


def _opacity(number: int, levels: int) -> float:
    return round(1 - 0.75 * number / max(levels - 1, 1), 3)


def plane_chart(sample: Sample, boundary: Boundary, review: Boundary | None, ident: str) -> str:
    """Return the plane of score and level: cells shaded by the share that matches, and the boundary through it."""
    levels = len(boundary.thresholds)
    height = min(max(260.0 / levels, 8.0), 60.0)
    plot = Plot(96, 26, 288, height * levels, y_range=(0.0, float(levels)))
    level = levels_of(sample.uncertainty, boundary.edges)
    column = np.minimum((sample.score * COLUMNS).astype(np.int64), COLUMNS - 1)
    cell = level * COLUMNS + column
    rows = np.bincount(cell, minlength=levels * COLUMNS).reshape(levels, COLUMNS)
    matches = np.bincount(cell, sample.positive, minlength=levels * COLUMNS).reshape(levels, COLUMNS)
    marks = [text(plot.left, plot.top - 10, "Uncertainty, the surest below", fill=MUTED)]
    for i, j in zip(*np.nonzero(rows), strict=True):
        share = matches[i, j] / rows[i, j]
        x, right = plot.x(j / COLUMNS), plot.x((j + 1) / COLUMNS)
        note = tooltip(
            f"level {i + 1}, score {j / COLUMNS:.2f} to {(j + 1) / COLUMNS:.2f}: {share:.0%} of {rows[i, j]:,} match"
        )
        box = {"x": x, "y": plot.y(i + 1), "width": right - x - 1, "height": height - 1}
        few = rows[i, j] < FEW
        edge = {"stroke": MUTED, "stroke_dasharray": "1 3"} if few else {}
        shade = round((0.06 + 0.84 * share) * (0.4 if few else 1), 3)
        marks.append(element("rect", note, fill=ACCENT, fill_opacity=shade, **box, **edge))
    marks += [
        text(plot.left - 7, plot.y(i + 0.5) + 4, label, fill=MUTED, text_anchor="end")
        for i, label in enumerate(_level_spans(boundary.edges))
        if levels <= 16 or i % (levels // 8) == 0
    ]
    marks += plot.x_axis(TENTHS, "Score")
    for drawn, options in ((review, {"stroke_dasharray": "5 4"}), (boundary, {})):
        if drawn is not None:
            marks.append(path(_steps(plot, drawn), stroke=SECOND, stroke_width=2.5, **options))
    told = "; ".join(
        f"level {i + 1} from {formats.figure(float(t))}" if np.isfinite(t) else f"level {i + 1} never"
        for i, t in enumerate(boundary.thresholds)
    )
    return document(
        WIDTH,
        plot.bottom + 44,
        "The boundary over score and uncertainty",
        f"Accepted: {told}.",
        marks,
        ident,
        class_="chart",
    )


def _steps(plot: Plot, boundary: Boundary) -> list[tuple[float, float]]:
    points = []
    for i, threshold in enumerate(boundary.thresholds):
        x = plot.x(float(np.clip(threshold, 0, 1))) if np.isfinite(threshold) else plot.right + 6
        points += [(x, plot.y(i)), (x, plot.y(i + 1))]
    return points


def _level_spans(edges: np.ndarray) -> list[str]:
    if not len(edges):
        return ["all"]
    names = [f"{edge:.2g}".replace("-", "−") for edge in edges]
    return [f"below {names[0]}", *(f"from {name}" for name in names)]
