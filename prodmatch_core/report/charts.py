"""The report's charts as inline SVG.

Drawn here rather than by matplotlib because a chart is part of the page: its colours follow the reader's
theme, its text is set in the page's type, can be selected and found, points tell their figures under the
pointer, and a chart weighs a few kilobytes. What it costs is this file; what matplotlib would add (hundreds
of kinds of chart, a layout of its own) the report does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from prodmatch_core.evaluation.curves import PrecisionRecall, Reliability
from prodmatch_core.report import formats
from prodmatch_core.report.svg import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    MUTED,
    PAPER,
    RULE,
    SECOND,
    Plot,
    document,
    element,
    line,
    path,
    shorten,
    text,
    ticks,
    tooltip,
    width_of,
)

WIDTH = 400
"Natural width of a chart: one fills a phone, two stand side by side on a desktop."

FEW = 20
"A bin of the reliability diagram with fewer pairs says little: its point is hollow and shows no gap."

TENTHS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


@attrs.frozen
class Dot:
    """One row of a dot plot: a value with its interval."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    group: str = ""
    "Rows of a group follow each other under its name."
    strong: bool = False
    "Written bold."
    hollow: bool = False
    "Drawn as a ring, to stand back behind the others."

    @property
    def span(self) -> str:
        """Return the interval in words, empty where there is none."""
        return formats.span({"low": self.low, "high": self.high})


def dot_plot(
    dots: Sequence[Dot],
    title: str,
    axis: str,
    ident: str,
    reference: float | None = None,
    write: Callable[[float | None], str] = formats.figure,
) -> str:
    """Return a dot plot with intervals, one row per dot.

    Args:
        dots: the rows, top to bottom; a row without a value shows an en dash.
        title: what is compared.
        axis: name of the measure.
        ident: prefix of ids.
        reference: a value to draw a line through all rows at.
        write: how a value is written.
    """
    known = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    if reference is not None:
        known.append(reference)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = (high - low) * 0.06 or 0.05
    rows = _rows(dots)
    plot = Plot(128, 8, 204, 24.0 * len(rows), (low - margin, high + margin))
    marks = plot.x_axis(ticks(*plot.x_range, about=5), axis)
    if reference is not None:
        x = plot.x(reference)
        marks.append(line(x, plot.top, x, plot.bottom, stroke=MUTED, stroke_dasharray="3 3"))
    for index, row in enumerate(rows):
        y = plot.top + 24 * index + 12
        marks += (
            [text(0, y + 4, row, fill=MUTED, font_style="italic")]
            if isinstance(row, str)
            else _dot(plot, row, y, write)
        )
    told = "; ".join(f"{dot.name} {write(dot.value)} ({dot.span or 'no interval'})" for dot in dots)
    return document(WIDTH, plot.bottom + 44, title, f"{axis}: {told}.", marks, ident, class_="chart")


def _rows(dots: Sequence[Dot]) -> list[Dot | str]:
    rows: list[Dot | str] = []
    group = ""
    for dot in dots:
        if dot.group != group:
            group = dot.group
            rows.append(group)
        rows.append(dot)
    return rows


def _dot(plot: Plot, dot: Dot, y: float, write: Callable[[float | None], str]) -> list[str]:
    weight = "600" if dot.strong else None
    marks = [
        text(8 if dot.group else 0, y + 4, shorten(dot.name, 18), font_weight=weight),
        text(WIDTH, y + 4, write(dot.value), text_anchor="end", font_weight=weight),
    ]
    if dot.low is not None and dot.high is not None:
        marks.append(line(plot.x(dot.low), y, plot.x(dot.high), y, stroke=ACCENT, stroke_width=2))
    if dot.value is not None:
        note = f"{dot.name}: {write(dot.value)} ({dot.span or 'no interval'})"
        fill = PAPER if dot.hollow else ACCENT
        marks.append(_point(plot.x(dot.value), y, note, fill=fill, stroke=ACCENT, stroke_width=2))
    return marks


def precision_recall_chart(
    curve: PrecisionRecall, share: float, decided: tuple[float, float] | None, ident: str
) -> str:
    """Return the precision-recall curve of the match.

    Args:
        curve: its points.
        share: share of pairs that match; the precision of calling everything a match.
        decided: recall and precision of the labels decided, or None where undefined.
        ident: prefix of ids.
    """
    plot = Plot(40, 26, 344, 260)
    marks = [*plot.x_axis(TENTHS, "Recall: share of matches found"), *plot.y_axis(TENTHS, "Precision")]
    y = plot.y(share)
    marks.append(line(plot.left, y, plot.right, y, stroke=MUTED, stroke_dasharray="3 3"))
    if len(curve.recall):
        # Between two thresholds nothing can be had, so the curve is steps, not slopes.
        steps = [(plot.x(float(curve.recall[0])), plot.y(float(curve.precision[0])))]
        for recall, precision in zip(curve.recall[1:].tolist(), curve.precision[1:].tolist(), strict=True):
            steps += [(plot.x(recall), steps[-1][1]), (plot.x(recall), plot.y(precision))]
        marks.append(path(steps))
    # The curve of a score that says anything runs above the line: what is under it is free, where there is room.
    under = 14 if share > 0.08 else -6
    marks.append(_haloed(plot.left + 6, y + under, f"all pairs called a match: {share:.2f}", MUTED))
    told = "No pair matches, so there is no curve."
    if len(curve.recall):
        told = f"{share:.1%} of the pairs match."
    if decided is not None:
        recall, precision = decided
        note = f"labels decided: precision {precision:.3f}, recall {recall:.3f}"
        told += f" {note.capitalize()}."
        x, y = plot.x(recall), plot.y(precision)
        marks.append(_point(x, y, note, fill=SECOND, radius=5))
        anchor, shift = ("end", -9) if recall > 0.5 else ("start", 9)
        lift = 18 if precision > 0.5 else -10
        marks.append(_haloed(x + shift, y + lift, "labels decided", SECOND, anchor))
    return document(
        WIDTH, plot.bottom + 44, "Precision-recall curve of the match", told, marks, ident, class_="chart"
    )


def reliability_chart(bins: Reliability, error: float | None, ident: str) -> str:
    """Return the reliability diagram with a histogram of counts under it."""
    plot = Plot(40, 26, 344, 260)
    total = max(int(bins.count.sum()), 1)
    marks = [*plot.x_axis(TENTHS, numbered=False), *plot.y_axis(TENTHS, "Share that came true")]
    marks.append(line(plot.x(0), plot.y(0), plot.x(1), plot.y(1), stroke=MUTED, stroke_dasharray="3 3"))
    filled = np.flatnonzero(np.isfinite(bins.observed) & np.isfinite(bins.confidence))
    for index in filled.tolist():
        stated, observed = float(bins.confidence[index]), float(bins.observed[index])
        x, y = plot.x(stated), plot.y(observed)
        if bins.count[index] < FEW:
            marks.append(
                _point(x, y, _bin_note(bins, index), fill=PAPER, stroke=MUTED, stroke_width=1.5, radius=3)
            )
            continue
        marks.append(line(x, plot.y(stated), x, y, stroke=SECOND, stroke_width=1.5))
        radius = 2.5 + 4 * float(bins.count[index] / total) ** 0.5
        marks.append(_point(x, y, _bin_note(bins, index), fill=ACCENT, radius=radius))
    if error is not None:
        marks.append(text(plot.left + 10, plot.top + 22, f"ECE {error:.3f}", font_weight="600", font_size=14))
    marks += _histogram(bins, Plot(40, plot.bottom + 32, 344, 64))
    told = f"Expected calibration error {formats.figure(error)}. " + " ".join(
        f"{_bin_note(bins, index)}." for index in filled.tolist()
    )
    return document(WIDTH, 26 + 260 + 32 + 64 + 44, "Reliability diagram", told, marks, ident, class_="chart")


def _histogram(bins: Reliability, area: Plot) -> list[str]:
    most = max(int(bins.count.max(initial=0)), 1)
    plot = attrs.evolve(area, y_range=(0.0, float(most)))
    marks = [
        *plot.x_axis(TENTHS, "Stated probability of the likeliest label"),
        line(plot.left, plot.bottom, plot.right, plot.bottom),
        text(plot.left, plot.top - 7, f"Pairs per bin, at most {most:,}", fill=MUTED),
    ]
    for index in np.flatnonzero(bins.count).tolist():
        left, right = plot.x(float(bins.edges[index])), plot.x(float(bins.edges[index + 1]))
        height = max(plot.bottom - plot.y(float(bins.count[index])), 1.0)
        note = tooltip(_bin_note(bins, index))
        box = {"x": left + 1, "y": plot.bottom - height, "width": right - left - 2, "height": height}
        marks.append(element("rect", note, fill=ACCENT, **box))
    return marks


def _bin_note(bins: Reliability, index: int) -> str:
    low, high = bins.edges[index], bins.edges[index + 1]
    stated, observed = (formats.figure(float(values[index])) for values in (bins.confidence, bins.observed))
    pairs = formats.plural(int(bins.count[index]), "pair")
    return f"{low:.2f} to {high:.2f}: {pairs}, stated {stated}, true {observed}"


@attrs.frozen
class Epoch:
    """One epoch of a member as the log has it."""

    phase: str
    loss: float | None
    valid: float | None


def learning_chart(member: str, epochs: Sequence[Epoch], measure: str, higher: bool, ident: str) -> str:
    """Return a member's loss and, where it was looked at, its validation measure by epoch, one above the other.

    Args:
        member: its name.
        epochs: in order, over all phases.
        measure: name of the validation measure.
        higher: whether more of it is better; the best epoch is marked.
        ident: prefix of ids.
    """
    span = (1.0, float(max(len(epochs), 2)))
    losses = [(n, e.loss) for n, e in enumerate(epochs, 1) if e.loss is not None]
    valid = [(n, e.valid) for n, e in enumerate(epochs, 1) if e.valid is not None]
    upper = Plot(48, 26, 336, 84, span, _range([v for _, v in losses]))
    lower = Plot(48, upper.bottom + 34, 336, 84, span, _range([v for _, v in valid])) if valid else upper
    plots = (upper, lower) if valid else (upper,)
    epoch_ticks = [tick for tick in ticks(*span, about=8) if tick == int(tick)]
    marks = [
        *(upper.x_axis(epoch_ticks, numbered=False) if valid else ()),
        *upper.y_axis(ticks(*upper.y_range, about=3), "Training loss"),
        *lower.x_axis(epoch_ticks, "Epoch"),
        *_series(upper, losses, "loss", SECOND),
        *_series(lower, valid, measure, ACCENT),
        *_phase_marks(epochs, plots),
    ]
    told = f"{member}: {formats.plural(len(epochs), 'epoch')}."
    if valid:
        epoch, best = (max if higher else min)(valid, key=lambda pair: pair[1])
        note = f"best: {formats.figure(best)} at epoch {epoch}"
        told += f" {measure} on validation, {note}."
        x, y = lower.x(epoch), lower.y(best)
        marks.append(_point(x, y, note, fill=ACCENT, radius=5))
        room = lower.right - lower.left - width_of(note) - 10
        title = f"{measure} on validation"
        marks += lower.y_axis(ticks(*lower.y_range, about=3), title if width_of(title) <= room else measure)
        marks.append(text(lower.right, lower.top - 10, note, fill=INK, text_anchor="end"))
    return document(
        WIDTH, lower.bottom + 44, f"Learning curves of {member}", told, marks, ident, class_="chart"
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    margin = (max(values) - min(values)) * 0.08 or abs(values[0]) * 0.1 or 0.1
    return min(values) - margin, max(values) + margin


def _phase_marks(epochs: Sequence[Epoch], plots: Sequence[Plot]) -> list[str]:
    marks, upper = [], plots[0]
    starts = [n for n in range(1, len(epochs)) if epochs[n].phase != epochs[n - 1].phase]
    for start in starts:
        x = upper.x(start + 0.5)
        marks += [line(x, p.top, x, p.bottom, stroke=MUTED, stroke_dasharray="2 4") for p in plots]
    for number, start in enumerate([0, *starts] if starts else []):
        name = shorten(epochs[start].phase, 14)
        # The loss starts high and ends low: its curve leaves free the lower left and the upper right, where short
        # phases have their names on two lines in turn, and the last one's ends where the plot does.
        x, y = upper.x(start + 0.5) + 6, upper.top + 12 + 14 * (1 - number % 2)
        x = min(x, upper.right - width_of(name))
        if not start:
            x, y = upper.left + 6, upper.bottom - 6
        marks.append(_haloed(x, y, name, MUTED))
    return marks


def _series(plot: Plot, values: Sequence[tuple[int, float]], name: str, colour: str) -> list[str]:
    points = [(plot.x(n), plot.y(v)) for n, v in values]
    marks = [path(points, stroke=colour)] if len(points) > 1 else []
    return marks + [
        _point(
            x,
            y,
            f"epoch {n}: {name} {formats.figure(v)}",
            fill=PAPER,
            stroke=colour,
            stroke_width=1.5,
            radius=3,
        )
        for (x, y), (n, v) in zip(points, values, strict=True)
    ]


def _point(x: float, y: float, note: str, radius: float = 4.5, **attributes: object) -> str:
    return element("circle", tooltip(note), cx=x, cy=y, r=radius, **attributes)


def _haloed(x: float, y: float, content: str, fill: str, anchor: str = "start") -> str:
    # A stroke of the page's colour under the letters keeps them legible where they cross a line.
    halo = {"stroke": PAPER, "stroke_width": 4, "paint_order": "stroke", "stroke_linejoin": "round"}
    return text(x, y, content, fill=fill, text_anchor=anchor, **halo)


def share_bar(shares: Sequence[tuple[str, float]], ident: str, title: str) -> str:
    """Return a bar cut into shares that sum to 1, first label darkest."""
    marks, x = [], 0.0
    for index, (name, share) in enumerate(shares):
        opacity = 0.9 - 0.7 * index / max(len(shares) - 1, 1)
        width = max(WIDTH * share - 1, 0.0)
        marks.append(
            element(
                "rect",
                tooltip(f"{name}: {share:.1%}"),
                x=x,
                y=0,
                width=width,
                height=12,
                fill=ACCENT,
                fill_opacity=opacity,
            )
        )
        x += WIDTH * share
    told = ", ".join(f"{name} {share:.1%}" for name, share in shares)
    frame = element("rect", x=0.5, y=0.5, width=WIDTH - 1, height=11, fill="none", stroke=RULE)
    return document(WIDTH, 12, title, told, [*marks, frame], ident, class_="bar", preserveAspectRatio="none")


def won_bar(wins: int, ties: int, losses: int, grouped: str, title: str, ident: str) -> str:
    """Return a bar of what was won, tied and lost, won to the left.

    Args:
        wins: how many of the groups were won.
        ties: how many were tied.
        losses: how many were lost.
        grouped: what a group is called, in the plural.
        title: what is compared.
        ident: prefix of ids.
    """
    total, x = max(wins + ties + losses, 1), 0.0
    told = f"{wins:,} {grouped} won, {ties:,} tied, {losses:,} lost"
    marks = []
    for count, colour in ((wins, GOOD), (ties, RULE), (losses, BAD)):
        width = WIDTH * count / total
        marks.append(element("rect", tooltip(told), x=x, y=0, width=width, height=12, fill=colour))
        x += width
    return document(WIDTH, 12, title, told, marks, ident, class_="bar", preserveAspectRatio="none")
