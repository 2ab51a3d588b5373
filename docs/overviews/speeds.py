"""`docs/explanation/benchmarks.md`: every comparison of speed or memory in one table, and what it takes to make it."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from overviews.reading import Cell, OverviewError, Sentence, script, title
from reference_pages.markdown import NOTE, table

DURATIONS = Path(__file__).resolve().parents[2] / "benchmarks" / "durations.json"
"What `make bench` wrote when it was last run: seconds by program, and the machine."
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+")


@attrs.frozen
class Speed:
    """One comparison.

    Attributes:
        what: of ours.
        against: what a user would otherwise take, or the least that the work can cost.
        figure: where it stands; the first number there.
        said: what the number says, with `{}` in its place.
        most, least: where the page states a ceiling or a floor, or that figure itself where the page states it in words
            that are no figure.
    """

    what: str
    against: str
    figure: Cell | Sentence
    said: str
    most: Cell | Sentence | None = None
    least: Cell | Sentence | None = None


def page(speeds: Sequence[Speed]) -> Iterator[str]:
    """Yield the lines of the page.

    Raises:
        OverviewError: a page no longer says what the list of comparisons reads.
    """
    rows = []
    for speed in speeds:
        figure = _text(speed.figure)
        name = speed.figure.page
        link = f"[{title(name).removeprefix('Benchmark: ').removeprefix('Benchmarks: ')}]({name})"
        made_by = f"{link}, `{script(name)}`"
        rows.append([speed.what, speed.against, speed.said.format(figure), _bound(speed, figure), made_by])
    yield from ("# All speeds in one table", "", NOTE, "", *INTRODUCTION.splitlines(), "")
    yield from table(["what", "against", "figure", "target", "page"], rows)
    yield from ("", "## How long it takes", "", *durations())


INTRODUCTION = """\
What parts cost beside what one would otherwise take, or beside the least that the work can cost. Every figure is read
out of the page named in its line, where it stands with its setting; none is typed. `make bench` makes all of these
pages again, each by `python benchmarks/NAME`, and then this one.
"""


def durations() -> Iterator[str]:
    """Yield what `make bench` took when it was last run."""
    if not DURATIONS.is_file():
        yield "`make bench` has not been run as a whole yet; it writes here what each program took."
        return
    noted: Mapping[str, Mapping[str, object]] = json.loads(DURATIONS.read_text(encoding="utf-8"))
    seconds = {name: float(str(taken)) for name, taken in noted["seconds"].items()}
    yield f"`make bench` took {_clock(sum(seconds.values()))} when it was last run ({noted['machine']['name']}):"
    yield ""
    yield from table(["program", "time"], [[f"`{name}`", _clock(taken)] for name, taken in seconds.items()])


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _text(place: Cell | Sentence) -> str:
    """Return the first number at a place, with a percent sign behind it."""
    text = place.read()[0][1] if isinstance(place, Cell) else place.read()[0]
    found = _NUMBER.search(text)
    if found is None:
        raise OverviewError(f"docs/explanation/{place.page}: {text!r} has no number")
    return found[0] + ("%" if text[found.end() : found.end() + 1] == "%" else "")


def _bound(speed: Speed, figure: str) -> str:
    for place, word, holds in ((speed.most, "at most", operator.le), (speed.least, "at least", operator.ge)):
        if place is not None:
            bound = _text(place)
            held = holds(*(float(text.rstrip("%").replace(",", "")) for text in (figure, bound)))
            return f"{word} {bound}: {'held' if held else '**missed**'}"
    return "–"
