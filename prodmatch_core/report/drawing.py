"""A pipeline as a drawing: SVG for the report, box-drawing characters for the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import attrs

from prodmatch_core.report.flow import Block, Flow, flow
from prodmatch_core.report.svg import (
    ACCENT,
    FONT_SIZE,
    INK,
    MUTED,
    RULE,
    SURFACE,
    columns,
    document,
    element,
    path,
    shorten,
    text,
    tooltip,
)
from prodmatch_core.sections import PipelineFile

LETTERS = 30
"Longest text of a row; what is longer ends in an ellipsis and is told in full under the pointer."
ADVANCE, TITLE_ADVANCE = 7.0, 9.2
"Estimated width of a character of a row and of a title in the widest of usual fonts, in pixels."
PADDING, LINE, HEAD, LABEL, GAP, STACK = 12.0, 17.0, 46.0, 72.0, 40.0, 16.0
DOWN_WIDTH = 344.0


def draw(pipeline: PipelineFile, down: bool = False, ident: str = "pipeline") -> str:
    """Return an SVG drawing of a pipeline: data, members, aggregator, calibrators, decisions.

    Args:
        pipeline: what to draw; settings at their defaults are left out.
        down: draw from top to bottom, 344 pixels wide, for a phone; otherwise from left to right.
        ident: prefix of the ids, unique in a page.
    """
    found = flow(pipeline)
    boxes, arrows, width, height = _down(found) if down else _across(found)
    marks = [mark for box in boxes for mark in _box(box)]
    title = f"Pipeline {pipeline.pipeline.name}"
    return document(width, height, title, found.told(), [*arrows, *marks], ident, class_="drawing")


@attrs.frozen
class Box:
    """A block and its place, in pixels."""

    block: Block
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        """Return the height that the block's rows take."""
        return _height(self.block)

    @property
    def middle(self) -> float:
        """Return the y of the middle."""
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        """Return the x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Return the y of the lower edge."""
        return self.y + self.height


def _height(block: Block) -> float:
    return HEAD + LINE * len(block.rows) + (PADDING if block.rows else 6)


def _width(block: Block) -> float:
    label = LABEL if any(row.label for row in block.rows) else 0
    rows = max((min(columns(row.text), LETTERS) * ADVANCE + label for row in block.rows), default=0)
    return max(rows, min(columns(block.title), LETTERS) * TITLE_ADVANCE, 84.0) + 2 * PADDING


def _across(found: Flow) -> tuple[list[Box], list[str], float, float]:
    stacks: list[Sequence[Block]] = [[found.source], found.members]
    stacks += [[found.aggregator]] if found.aggregator else []
    stacks += [found.calibrators] if found.calibrators else []
    stacks.append([found.decisions])
    height = max(sum(map(_height, stack)) + STACK * (len(stack) - 1) for stack in stacks) + 2
    placed: list[list[Box]] = []
    x = 1.0
    for stack in stacks:
        width = max(map(_width, stack))
        y = (height - sum(map(_height, stack)) - STACK * (len(stack) - 1)) / 2
        column = []
        for block in stack:
            column.append(Box(block, x, y, width))
            y = column[-1].bottom + STACK
        placed.append(column)
        x += width + GAP
    arrows = []
    for left, right in itertools.pairwise(placed):
        # Calibrators run one after the other: the flow enters at the first and leaves at the last.
        ends = left if left is placed[1] else left[-1:]
        starts = right if right is placed[1] else right[:1]
        arrows += [_curve(a, b) for a in ends for b in starts]
    if found.calibrators:
        steps = placed[-2]
        arrows += [
            _arrow([(a.x + a.width / 2, a.bottom), (a.x + a.width / 2, b.y)])
            for a, b in itertools.pairwise(steps)
        ]
    return [box for column in placed for box in column], arrows, x - GAP + 1, height


def _down(found: Flow) -> tuple[list[Box], list[str], float, float]:
    rail, inset = 12.0, 30.0
    source = Box(found.source, 1, 1, DOWN_WIDTH - 2)
    boxes, y = [source], source.bottom + STACK
    members = []
    for block in found.members:
        members.append(Box(block, inset, y, DOWN_WIDTH - 2 * inset))
        y = members[-1].bottom + STACK
    after = []
    y += STACK / 2
    for block in found.after:
        after.append(Box(block, 1, y, DOWN_WIDTH - 2))
        y = after[-1].bottom + STACK + 8
    arrows = [_arrow([(rail, source.bottom), (rail, box.middle), (box.x, box.middle)]) for box in members]
    far = DOWN_WIDTH - rail
    arrows += [_arrow([(box.right, box.middle), (far, box.middle), (far, after[0].y)]) for box in members]
    arrows += [
        _arrow([(DOWN_WIDTH / 2, a.bottom), (DOWN_WIDTH / 2, b.y)]) for a, b in itertools.pairwise(after)
    ]
    return [*boxes, *members, *after], arrows, DOWN_WIDTH, after[-1].bottom + 1


def _curve(a: Box, b: Box) -> str:
    x1, y1, x2, y2 = a.right, a.middle, b.x, b.middle
    if abs(y1 - y2) < 1:
        return _arrow([(x1, y1), (x2, y2)])
    middle = (x1 + x2) / 2
    data = f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2 - 6:.1f} {y2:.1f}"
    return element("path", d=data, fill="none", stroke=MUTED, stroke_width=1.5) + _head(x2, y2, down=False)


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    (x1, _), (x2, y2) = points[-2:]
    down = abs(x1 - x2) < 0.1
    last = (x2, y2 - 6) if down else (x2 - 6, y2)
    return path([*points[:-1], last], stroke=MUTED, stroke_width=1.5) + _head(x2, y2, down)


def _head(x: float, y: float, down: bool) -> str:
    corners = (
        [(x, y), (x - 4.5, y - 8), (x + 4.5, y - 8)] if down else [(x, y), (x - 8, y - 4.5), (x - 8, y + 4.5)]
    )
    return element("polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), fill=MUTED)


def _box(box: Box) -> Iterator[str]:
    member = box.block.kind == "member"
    frame = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": 6}
    yield element("rect", fill=SURFACE, stroke=ACCENT if member else RULE, **frame)
    x, y = box.x + PADDING, box.y + 18
    yield text(x, y, box.block.kind, fill=MUTED, font_size=11)
    yield _fitting(x, y + 18, box.block.title, font_size=14, font_weight="600")
    label = LABEL if any(row.label for row in box.block.rows) else 0
    for number, row in enumerate(box.block.rows):
        at = box.y + HEAD + LINE * number + FONT_SIZE
        if row.label:
            yield text(x, at, row.label, fill=MUTED)
        yield _fitting(x + label, at, row.text, fill=MUTED if row.detail else INK)


def _fitting(x: float, y: float, content: str, **attributes: object) -> str:
    short = shorten(content, LETTERS)
    line = text(x, y, short, **attributes)
    return line if short == content else element("g", tooltip(content), line)


TEXT_WIDTH = 72
"Columns of the terminal drawing; it fits a window of 80."
LEFT_RAIL, RIGHT_RAIL = 3, TEXT_WIDTH - 4
"Columns of the lines that lead into and out of the members."


def draw_text(pipeline: PipelineFile) -> str:
    """Return a drawing of a pipeline in box-drawing characters, 72 columns wide, without a final newline."""
    found = flow(pipeline)
    lines = _text_box(found.source, TEXT_WIDTH)
    lines[-1] = _put(lines[-1], LEFT_RAIL, "┬")
    for number, member in enumerate(found.members):
        first, last = number == 0, number == len(found.members) - 1
        for index, row in enumerate(_text_box(member, RIGHT_RAIL - LEFT_RAIL - 6)):
            left, right = _rails(index, first, last)
            into, out = ("──▶", "──") if index == 1 else ("   ", "  ")
            lines.append(f"{' ' * LEFT_RAIL}{left}{into}{row}{out}{right}")
    entry = RIGHT_RAIL
    for block in found.after:
        box = _text_box(block, TEXT_WIDTH)
        box[0] = _put(box[0], entry, "▼")
        entry = TEXT_WIDTH // 2
        if block is not found.after[-1]:
            box[-1] = _put(box[-1], entry, "┬")
        lines += box
    return "\n".join(line.rstrip() for line in lines)


def _rails(index: int, first: bool, last: bool) -> tuple[str, str]:
    """Return the marks beside row `index` of a member's box; the flow enters and leaves at row 1."""
    if index == 0:
        return "│", " " if first else "│"
    if index == 1:
        return "╰" if last else "├", "╮" if first else "┤"
    return " " if last else "│", "│"


def _text_box(block: Block, width: int) -> list[str]:
    label = max((columns(row.label) for row in block.rows), default=0)
    indent = label + 2 if label else 0
    leads = [f"{row.label:<{indent}}{'  ' if row.detail else ''}" for row in block.rows]
    texts = [("", block.title), *zip(leads, (row.text for row in block.rows), strict=True)]
    return [
        f"╭─ {block.kind} {'─' * (width - 5 - columns(block.kind))}╮",
        *(f"│ {lead}{_pad(content, width - 4 - columns(lead))} │" for lead, content in texts),
        f"╰{'─' * (width - 2)}╯",
    ]


def _pad(content: str, width: int) -> str:
    short = shorten(content, width)
    return short + " " * (width - columns(short))


def _put(row: str, column: int, mark: str) -> str:
    return row[:column] + mark + row[column + 1 :]
