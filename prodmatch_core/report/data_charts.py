"""Charts of a data set: lengths, the laws of degrees and delays, conversions by day."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import zeta

from prodmatch_core.data.describing.text import elapsed
from prodmatch_core.report import formats
from prodmatch_core.report.charts import WIDTH
from prodmatch_core.report.svg import (
    ACCENT,
    MUTED,
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

_TIMES = (
    *(1e-3, 1e-2, 0.1, 1, 10),
    *(60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400, 3650 * 86_400),
)
"Seconds that people name, for the axis of delays."


def histogram_chart(found: Mapping[str, Any], title: str, axis: str, ident: str) -> str:
    """Return a histogram of whole numbers.

    Args:
        found: `low`, `width`, `counts` and `above`, as `data.describing.spreads.histogram` gives it.
        title: what is counted.
        axis: name of the numbers.
        ident: prefix of ids.
    """
    low, width, counts = found["low"], found["width"], found["counts"]
    top = max(counts)
    plot = Plot(52, 26, 332, 150, (low, low + width * len(counts)), (0.0, float(top)))
    rule = [tick for tick in ticks(*plot.x_range) if tick == round(tick)]
    marks = [*plot.x_axis(rule, axis), *plot.y_axis(ticks(0, top, about=4), title)]
    for place, count in enumerate(counts):
        first = low + place * width
        last = first + width - 1
        name = f"{first:,}" if width == 1 else f"{first:,} to {last:,}"
        if found["above"] and place == len(counts) - 1:
            name = f"{first:,} or more"
        left, right = plot.x(first), plot.x(first + width)
        gap = 1 if right - left > 4 else 0
        box = {"x": left + gap / 2, "y": plot.y(count), "width": right - left - gap}
        if count:
            note = tooltip(f"{name}: {count:,}")
            marks.append(element("rect", note, **box, height=plot.bottom - plot.y(count), fill=ACCENT))
    marks.append(line(plot.left, plot.bottom, plot.right, plot.bottom, stroke=MUTED))
    told = f"{axis}, {sum(counts):,} in all; most, {top:,}, near {low + width * counts.index(top):,}."
    return document(WIDTH, plot.bottom + 44, f"{title} by {axis}", told, marks, ident, class_="chart")


def survival_chart(curves: Sequence[tuple[str, Mapping[str, Any]]], title: str, axis: str, ident: str) -> str:
    """Return in log-log scale the share of numbers at least as large as each, with the law of the tail.

    Args:
        curves: one or two (name, spread), as `data.describing.degrees.spread` gives it.
        title: what is shown.
        axis: name of the numbers.
        ident: prefix of ids.
    """
    known = [(name, spread) for name, spread in curves if spread["survival"]]
    highest = max((spread["survival"][-1][0] for _, spread in known), default=1.0)
    lowest = min((spread["survival"][-1][1] for _, spread in known), default=0.1)
    right, bottom = math.log10(max(highest, 2.0)), min(math.log10(lowest), -1.0)
    plot = Plot(52, 26, 332, 230, (0.0, right * 1.03), (bottom, 0.0))
    rule, names = _decades(0.0, right)
    down, shares = _decades(bottom, 0.0, share=True)
    marks = [
        *plot.x_axis(rule, axis, labels=names),
        *plot.y_axis(down, "Share at least this large", labels=shares),
    ]
    told = []
    for number, ((name, spread), colour) in enumerate(zip(known, (ACCENT, SECOND), strict=False)):
        law = spread["law"]
        for x, share in spread["survival"]:
            note = tooltip(f"{name}: {share:.2%} have {x:,.0f} or more")
            at = {"cx": plot.x(math.log10(x)), "cy": plot.y(math.log10(share)), "r": 2.5}
            marks.append(element("circle", note, **at, fill=colour))
        words = f"{name}: no law"
        if law:
            marks.append(_law(plot, law, highest, colour))
            words = f"{name}: exponent {law['exponent']:.2f} from {law['xmin']:,}"
        told.append(words)
        y = plot.bottom + 56 + 18 * number  # under the axis, where no curve can run through it
        marks += [
            element("circle", cx=plot.left + 4, cy=y - 4, r=3.5, fill=colour),
            _legend(plot.left + 14, y, words),
        ]
    told_all = "; ".join(told) or "nothing to show"
    height = plot.bottom + 44 + 18 * len(told)
    return document(WIDTH, height, title, f"{axis}: {told_all}.", marks, ident, class_="chart")


def _law(plot: Plot, law: Mapping[str, Any], highest: float, colour: str) -> str:
    x = np.geomspace(law["xmin"], max(highest, law["xmin"] + 1), 60)
    share = np.log10(law["share"] * zeta(law["exponent"], x) / zeta(law["exponent"], law["xmin"]))
    shown = share >= plot.y_range[0]
    points = zip(np.log10(x[shown]).tolist(), share[shown].tolist(), strict=True)
    return path(
        [(plot.x(a), plot.y(b)) for a, b in points], stroke=colour, stroke_width=1.5, stroke_dasharray="5 3"
    )


def delay_chart(
    curve: Sequence[Sequence[float]], laws: Sequence[tuple[str, Sequence[float]]], ident: str
) -> str:
    """Return the share of conversions that have come by a time, in log time, with laws.

    Args:
        curve: [days, share of the conversions seen] in ascending order.
        laws: at most two (name, share at the days of `curve`); the first is drawn in the stronger colour.
        ident: prefix of ids.
    """
    days = [point[0] for point in curve]
    low, high = _log(days[0]), _log(days[-1])
    plot = Plot(52, 26, 332, 230, (low, high if high > low else low + 1), (0.0, 1.0))
    rule, names = _moments(plot)
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    marks = [
        *plot.x_axis(rule, "Time until the conversion", labels=names),
        *plot.y_axis(
            shares, "Share of conversions that have come", labels=["0", "25%", "50%", "75%", "100%"]
        ),
    ]
    steps: list[tuple[float, float]] = []
    for day, share in curve:  # nothing comes between two conversions: steps, not slopes
        x = plot.x(_log(day))
        steps += [(x, steps[-1][1] if steps else plot.y(0)), (x, plot.y(min(share, 1.0)))]
    marks.append(path(steps, stroke=ACCENT, stroke_width=2.5))
    middle = next((day for day, share in curve if share >= 0.5), days[-1])
    legend: list[tuple[str, str, str | None]] = [("seen", ACCENT, None)]
    for (name, values), (colour, dash) in zip(laws, ((SECOND, "6 3"), (MUTED, "2 3")), strict=False):
        points = [(plot.x(_log(d)), plot.y(min(max(v, 0.0), 1.0))) for d, v in zip(days, values, strict=True)]
        marks.append(path(points, stroke=colour, stroke_width=2, stroke_dasharray=dash))
        legend.append((name, colour, dash))
    for number, (name, colour, dashes) in enumerate(legend):
        y = plot.top + 16 + 17 * number
        marks.append(
            line(
                plot.left + 8,
                y - 4,
                plot.left + 30,
                y - 4,
                stroke=colour,
                stroke_width=2,
                stroke_dasharray=dashes,
            )
        )
        marks.append(_legend(plot.left + 36, y, name))
    told = f"Half of the conversions seen came within {elapsed(middle)}, the last after {elapsed(days[-1])}."
    return document(WIDTH, plot.bottom + 44, "Delay until the conversion", told, marks, ident, class_="chart")


def course_chart(course: Mapping[str, Any], ident: str) -> str:
    """Return the conversion rate by day with its 95% interval (Wilson), and under it the number of events.

    Args:
        course: `step_days` and `steps` of `day`, `events`, `converted`.
        ident: prefix of ids.
    """
    steps, width = course["steps"], course["step_days"]
    first = dt.date.fromisoformat(steps[0]["day"])
    place = [(dt.date.fromisoformat(step["day"]) - first).days for step in steps]
    span = (-width * 0.6, place[-1] + width * 0.6)
    rates = [_wilson(step["converted"], step["events"]) for step in steps]
    top = max(max(high for _, _, high in rates), 1e-6)
    most = max(step["events"] for step in steps)
    upper = Plot(52, 26, 332, 150, span, (0.0, top))
    lower = Plot(52, upper.bottom + 34, 332, 60, span, (0.0, float(most)))
    rule, names = _days(first, place[-1], width)
    up = ticks(0, top, about=4)
    marks = [
        *upper.x_axis(rule, numbered=False),
        *upper.y_axis(
            up, "Conversion rate", labels=[f"{written}%" for written in tick_labels([100 * v for v in up])]
        ),
        *lower.x_axis(rule, "Day of the event" if width == 1 else f"Steps of {width} days", labels=names),
        *lower.y_axis(ticks(0, most, about=2), "Events"),
    ]
    bar = max(lower.width / (place[-1] + 1.2 * width) * width - 1, 1.0)
    for day, step, (rate, low, high) in zip(place, steps, rates, strict=True):
        note = f"{step['day']}: {step['converted']:,} of {step['events']:,} converted, "
        note += f"{rate:.2%} ({low:.2%}–{high:.2%})"
        x = upper.x(day)
        marks.append(
            line(x, upper.y(low), x, upper.y(high), stroke=ACCENT, stroke_opacity=0.45, stroke_width=1.5)
        )
        marks.append(element("circle", tooltip(note), cx=x, cy=upper.y(rate), r=2.5, fill=ACCENT))
        height = lower.bottom - lower.y(step["events"])
        box = {"x": x - bar / 2, "y": lower.bottom - height, "width": bar, "height": height}
        marks.append(element("rect", tooltip(note), **box, fill=MUTED, fill_opacity=0.6))
    events, converted = (sum(step[key] for step in steps) for key in ("events", "converted"))
    told = f"{converted:,} of {events:,} events converted, from {steps[0]['day']} to {steps[-1]['day']}."
    return document(WIDTH, lower.bottom + 44, "Conversions by day", told, marks, ident, class_="chart")


def count_bars(rows: Sequence[tuple[str, float]], axis: str, ident: str) -> str:
    """Return horizontal bars of counts, one a row, each with its number."""
    most = max((value for _, value in rows), default=1.0) or 1.0
    marks = []
    for number, (name, value) in enumerate(rows):
        y = 22.0 * number + 6
        marks += [
            text(0, y + 12, shorten(name, 14)),
            element(
                "rect",
                tooltip(f"{name}: {value:,.0f}"),
                x=104,
                y=y + 2,
                width=max(220 * value / most, 1),
                height=12,
                fill=ACCENT,
            ),
            text(WIDTH, y + 12, formats.count(value), fill=MUTED, text_anchor="end"),
        ]
    told = ", ".join(f"{name} {formats.count(value)}" for name, value in rows)
    return document(WIDTH, 22 * len(rows) + 12, axis, f"{axis}: {told}.", marks, ident, class_="chart")


def _legend(x: float, y: float, words: str) -> str:
    halo = {"stroke": "var(--paper, #fcfbf8)", "stroke_width": 4, "paint_order": "stroke"}
    return text(x, y, shorten(words, 46), **halo)


def _decades(low: float, high: float, share: bool = False) -> tuple[list[float], list[str]]:
    """Return exponents of ten from `low` to `high`, at most seven, and how they are written."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    step = -(-(last - first + 1) // 7)
    found = list(range(last, first - 1, -step))[::-1] if share else list(range(first, last + 1, step))
    if share:
        return [float(k) for k in found], [f"{100 * 10.0**k:.{max(0, -k - 2)}f}%" for k in found]
    if len(found) < 3:  # less than two decades: 2 and 5 help to read it
        values = [
            m * 10**k for k in range(first, last + 1) for m in (1, 2, 5) if math.log10(m) + k <= high + 1e-9
        ]
        return [math.log10(v) for v in values], [f"{v:,}" for v in values]
    return [float(k) for k in found], [f"{10**k:,}" if k < 5 else f"10{_superscript(k)}" for k in found]


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _moments(plot: Plot) -> tuple[list[float], list[str]]:
    """Return where times that people name stand, far enough apart to be written."""
    low, high = plot.x_range
    places: list[float] = []
    for seconds in _TIMES:
        place = _log(seconds / 86_400)
        if low - 1e-9 <= place <= high + 1e-9 and (not places or plot.x(place) - plot.x(places[-1]) > 46):
            places.append(place)
    return places, [elapsed(10**place) for place in places]


def _days(first: dt.date, last: int, width: int) -> tuple[list[float], list[str]]:
    """Return at most six days, evenly apart, and how they are written."""
    step = next(
        step
        for step in (1, 2, 7, 14, 28, 91, 182, 364, 10**6)
        if last / step < 6 and (step >= width or step > last)
    )
    days = list(range(0, last + 1, step))
    year = step >= 91
    return [float(d) for d in days], [
        f"{(when := first + dt.timedelta(days=d)).day} {when:%b}" + (f" {when:%y}" if year else "")
        for d in days
    ]


def _wilson(hits: int, of: int) -> tuple[float, float, float]:
    """Return a share and its 95% interval (Wilson, 1927)."""
    z2 = 1.96**2
    rate = hits / of
    middle = (rate + z2 / (2 * of)) / (1 + z2 / of)
    half = 1.96 / (1 + z2 / of) * math.sqrt(rate * (1 - rate) / of + z2 / (4 * of * of))
    return rate, max(middle - half, 0.0), min(middle + half, 1.0)


def _log(days: float) -> float:
    return math.log10(max(days, 1e-12))
