"""SVG as text: elements, ticks and the plot area that every chart stands on.

Colours are CSS variables with a light colour to fall back on: inside the report they follow its theme, and a
drawing saved alone still looks right.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import attrs

from prodmatch_core.report.formats import clean

PAPER = "var(--paper, #fcfbf8)"
SURFACE = "var(--surface, #f3f1ec)"
INK = "var(--ink, #1d2126)"
MUTED = "var(--muted, #59616a)"
RULE = "var(--rule, #d9d5cc)"
ACCENT = "var(--accent, #1f5f8b)"
SECOND = "var(--second, #a34a1c)"
GOOD = "var(--good, #1d6b3f)"
BAD = "var(--bad, #a3262a)"

FONT_SIZE = 12
"Of all text, in the units of the view box, which are CSS pixels at a chart's natural size."


def element(name: str, *children: str, **attributes: Any) -> str:
    """Return an element; `children` are markup already, attributes are escaped and None is left out.

    Underscores in attribute names become hyphens, one at the end is dropped: `stroke_width`, `class_`.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(clean(_plain(value)))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(x: float, y: float, content: str, **attributes: Any) -> str:
    """Return a line of text with its baseline at `y`."""
    options = {"fill": INK, "font_size": FONT_SIZE, **attributes}
    return element("text", escape(clean(content)), x=x, y=y, **options)


def tooltip(content: str) -> str:
    """Return a title element: what a browser shows when the pointer rests on the element around it."""
    return element("title", escape(clean(content)))


def path(points: Iterable[tuple[float, float]], **attributes: Any) -> str:
    """Return a line through `points`."""
    data = "L".join(f"{_plain(x)} {_plain(y)}" for x, y in points)
    options = {"fill": "none", "stroke": ACCENT, "stroke_width": 2, "stroke_linejoin": "round", **attributes}
    return element("path", d=f"M{data}", **options)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Any) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": RULE, **attributes})


def document(
    width: float,
    height: float,
    title: str,
    description: str,
    children: Sequence[str],
    ident: str,
    **attributes: Any,
) -> str:
    """Return a whole SVG with a title and a description for those who cannot see it.

    Args:
        width: natural width in CSS pixels; the view box has the same size.
        height: natural height.
        title: what it is.
        description: what it shows, in words.
        children: its elements.
        ident: prefix of its ids, unique in the page.
        attributes: further attributes of the root.
    """
    return element(
        "svg",
        element("title", escape(clean(title)), id=f"{ident}-title"),
        element("desc", escape(clean(description)), id=f"{ident}-desc"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
        font_family="inherit",
        **attributes,
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return some `about` round numbers from `low` to `high`, steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Write ticks with as many decimals as their step needs."""
    step = min((b - a for a, b in itertools.pairwise(values)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in values]


@attrs.frozen
class Plot:
    """A rectangle of the drawing and the values at its edges."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    @property
    def right(self) -> float:
        """Return the x of the right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Return the y of the lower edge."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """Return where `value` stands on the horizontal axis."""
        low, high = self.x_range
        return self.left + self.width * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        """Return where `value` stands on the vertical axis."""
        low, high = self.y_range
        return self.bottom - self.height * ((value - low) / (high - low) if high > low else 0.5)

    def x_axis(
        self,
        values: Sequence[float],
        label: str = "",
        numbered: bool = True,
        labels: Sequence[str] | None = None,
    ) -> list[str]:
        """Return vertical grid lines at `values`, their numbers (or `labels` instead) and the axis' name."""
        marks = [line(self.x(v), self.top, self.x(v), self.bottom) for v in values]
        if numbered:
            marks += [
                text(self.x(v), self.bottom + 16, written, fill=MUTED, text_anchor="middle")
                for v, written in zip(values, labels or tick_labels(values), strict=True)
            ]
        if label:
            middle = self.left + self.width / 2
            marks.append(text(middle, self.bottom + 34, label, fill=MUTED, text_anchor="middle"))
        return marks

    def y_axis(
        self, values: Sequence[float], label: str = "", labels: Sequence[str] | None = None
    ) -> list[str]:
        """Return horizontal grid lines at `values`, their numbers (or `labels`), and the axis' name above."""
        marks = [line(self.left, self.y(v), self.right, self.y(v)) for v in values]
        marks += [
            text(self.left - 7, self.y(v) + 4, written, fill=MUTED, text_anchor="end")
            for v, written in zip(values, labels or tick_labels(values), strict=True)
        ]
        if label:
            marks.append(text(self.left, self.top - 10, label, fill=MUTED))
        return marks


def columns(content: str) -> int:
    """Return how many terminal columns `content` takes: East Asian wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in content
    )


def width_of(content: str) -> float:
    """Return about how many pixels `content` takes as a line of text: fonts differ from reader to reader."""
    return 0.58 * FONT_SIZE * columns(content)


def shorten(content: str, width: int) -> str:
    """Return `content` cut to `width` columns, an ellipsis where something was left out."""
    content = re.sub(r"\s+", " ", clean(content)).strip()
    if columns(content) <= width:
        return content
    while content and columns(content) > width - 1:
        content = content[:-1]
    return f"{content.rstrip()}…"


def _plain(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
