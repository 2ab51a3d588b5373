"""The report's pictures of an ensemble, as inline SVG in the report's own manner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    ticks,
    tooltip,
)

ROW = 24
LEFT = 128


def shapley_bars(names: Sequence[str], by_class: Mapping[str, Sequence[float]], ident: str) -> str:
    """Return a bar a source, cut by class, the most important first.

    Args:
        names: the sources.
        by_class: label -> mean |Shapley value| of each source.
        ident: prefix of ids.
    """
    total = [sum(values[place] for values in by_class.values()) for place in range(len(names))]
    order = sorted(range(len(names)), key=lambda place: -total[place])
    plot = Plot(LEFT, 30, WIDTH - LEFT - 46, ROW * len(names), (0.0, max(total, default=0.0) or 1.0))
    marks = _legend(list(by_class), 0.0)
    told = []
    for row, place in enumerate(order):
        y, begin = plot.top + ROW * row, 0.0
        marks.append(text(0, y + 16, shorten(names[place], 18)))
        for number, (label, values) in enumerate(by_class.items()):
            x, right = plot.x(begin), plot.x(begin + values[place])
            note = tooltip(f"{names[place]}, {label}: {values[place]:.3f}")
            marks.append(
                element(
                    "rect",
                    note,
                    x=x,
                    y=y + 4,
                    width=right - x,
                    height=ROW - 8,
                    **_shade(number, len(by_class)),
                )
            )
            begin += values[place]
        marks.append(text(plot.x(begin) + 6, y + 16, f"{begin:.2f}", fill=MUTED))
        told.append(f"{names[place]} {begin:.3f}")
    title = "Mean absolute Shapley value of each member, by class"
    return document(WIDTH, plot.bottom + 8, title, "; ".join(told) + ".", marks, ident, class_="chart")


def _legend(labels: Sequence[str], left: float) -> list[str]:
    marks, x = [], left
    for number, label in enumerate(labels):
        marks.append(element("rect", x=x, y=6, width=10, height=10, **_shade(number, len(labels))))
        marks.append(text(x + 14, 15, shorten(label, 11), fill=MUTED, font_size=11))
        x += 26 + 6.6 * len(shorten(label, 11))
    return marks


def _shade(number: int, count: int) -> dict[str, Any]:
    return {"fill": ACCENT, "fill_opacity": round(1 - 0.78 * number / max(count - 1, 1), 3)}


def frontier_chart(tried: Sequence[Mapping[str, Any]], measure: str, ident: str) -> str:
    """Return every set of members that was tried, by cost and quality, with the frontier and what was kept.

    Args:
        tried: sets as the aggregator keeps them; by the number of members where costs were not measured.
        measure: name of the quality.
        ident: prefix of ids.
    """
    priced = all(one["p95_ms"] is not None for one in tried)
    costs = [one["p95_ms"] if priced else len(one["members"]) for one in tried]
    worth = [one["quality"] for one in tried]
    margin = (max(worth) - min(worth)) * 0.08 or 0.01
    plot = Plot(44, 26, WIDTH - 60, 220, (0.0, max(costs) * 1.05), (min(worth) - margin, max(worth) + margin))
    across = ticks(*plot.x_range)
    marks = [
        *plot.x_axis(across, "Milliseconds a pair (95th percentiles added)" if priced else "Members"),
        *plot.y_axis(ticks(*plot.y_range), measure),
    ]
    front = sorted((cost, one["quality"]) for cost, one in zip(costs, tried, strict=True) if one["frontier"])
    if len(front) > 1:
        marks.append(path([(plot.x(cost), plot.y(value)) for cost, value in front], stroke=ACCENT))
    for cost, one in sorted(zip(costs, tried, strict=True), key=lambda pair: pair[1]["kept"]):
        note = tooltip(
            f"{', '.join(one['members'])}: {one['quality']:.3f}, {cost:.3g}{' ms' if priced else ''}"
        )
        fill = SECOND if one["kept"] else ACCENT if one["frontier"] else PAPER
        marks.append(
            element(
                "circle",
                note,
                cx=plot.x(cost),
                cy=plot.y(one["quality"]),
                r=6 if one["kept"] else 4,
                fill=fill,
                stroke=SECOND if one["kept"] else ACCENT,
            )
        )
    told = "; ".join(f"{', '.join(one['members'])} {one['quality']:.3f}" for one in tried if one["frontier"])
    title = "Quality against cost of every set of members that was tried"
    return document(WIDTH, plot.bottom + 44, title, f"Frontier: {told}.", marks, ident, class_="chart")


def waterfall(label: str, base: float, added: Sequence[tuple[str, float]], ident: str) -> str:
    """Return how one pair's score of one label comes about, from where nothing is known to the score.

    Args:
        label: the label.
        base: score where nothing is known.
        added: source and Shapley value, in the order they are drawn.
        ident: prefix of ids.
    """
    steps, at = [("nothing known", 0.0, base)], base
    for name, value in added:
        steps.append((name, at, at + value))
        at += value
    steps.append(("score", 0.0, at))
    edges = [value for _, begin, end in steps for value in (begin, end)]
    margin = (max(edges) - min(edges)) * 0.08 or 0.1
    plot = Plot(LEFT, 8, WIDTH - LEFT - 52, ROW * len(steps), (min(edges) - margin, max(edges) + margin))
    marks = plot.x_axis(ticks(*plot.x_range, about=4), f"Score of {label}, log-odds")
    marks.append(line(plot.x(0), plot.top, plot.x(0), plot.bottom, stroke=MUTED))
    for row, (name, begin, end) in enumerate(steps):
        y, whole = plot.top + ROW * row, row in (0, len(steps) - 1)
        left, right = sorted((plot.x(begin), plot.x(end)))
        fill = MUTED if whole else GOOD if end >= begin else BAD
        value = end if whole else end - begin
        marks.append(text(0, y + 16, shorten(name, 18), fill=MUTED if whole else INK))
        marks.append(
            element(
                "rect",
                tooltip(f"{name}: {value:+.3f}"),
                x=left,
                y=y + 5,
                width=max(right - left, 1),
                height=ROW - 10,
                fill=fill,
            )
        )
        marks.append(text(WIDTH, y + 16, f"{value:+.2f}".replace("-", "−"), text_anchor="end"))
    told = "; ".join(f"{name} {value:+.3f}" for name, value in added)
    title = f"How the score of {label} comes about"
    return document(
        WIDTH, plot.bottom + 44, title, f"From {base:+.3f}: {told}; {at:+.3f}.", marks, ident, class_="chart"
    )
