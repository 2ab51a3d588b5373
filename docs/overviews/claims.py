"""`docs/explanation/evidence/README.md`: what papers claim, what was measured here, and what follows by one rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from overviews.reading import Cell, OverviewError, Sentence, script, title
from reference_pages.markdown import NOTE, table

MOST = 3
"Figures that are told one by one; of more, how many are clear and between what they lie."
_INTERVAL = re.compile(r"([-+]?[\d.]+%?) \[([-+]?[\d.]+)%?, ([-+]?[\d.]+)%?\]")
_COUNT = re.compile(r"(\d+) of (\d+)")


@attrs.frozen
class Figure:
    """One measured figure: what it is called, how it is told, its value, and whether it is clear."""

    name: str
    told: str
    value: float
    clear: str
    "better, worse or open, in the sense of the claim"


@attrs.frozen
class Differences:
    """Differences with intervals: clear where the interval leaves 0 out.

    Attributes:
        cell: where they stand.
        name: what they are called; rows that are read by a pattern have their first cells behind it.
        sign: 1 where the claim needs them above 0, -1 where below.
    """

    cell: Cell
    name: str
    sign: int = 1

    def figures(self) -> Iterator[Figure]:
        """Yield the figures.

        Raises:
            OverviewError: they are not where they should be, or have no interval.
        """
        for row, text in self.cell.read():
            found = _INTERVAL.search(text)
            if found is None:
                raise OverviewError(
                    f"docs/explanation/{self.cell.page}: {text!r} of row {row!r} has no interval"
                )
            low, high = sorted(self.sign * float(bound) for bound in found.groups()[1:])
            clear = "better" if low > 0 else "worse" if high < 0 else "open"
            name = f"{self.name} {row}" if "*" in " ".join(self.cell.row) else self.name
            yield Figure(name, found[0], float(found[1].rstrip("%")), clear)


@attrs.frozen
class Seeds:
    """A mean difference, and in how many seeds its interval leaves 0 out: clear where it does in all of them.

    Attributes:
        cells: of the difference, and of the seeds on the better and on the worse side.
        name: what it is called.
    """

    cells: tuple[Cell, Cell, Cell]
    name: str

    def figures(self) -> Iterator[Figure]:
        """Yield the figure.

        Raises:
            OverviewError: it is not where it should be.
        """
        value, *sides = (cell.read()[0][1] for cell in self.cells)
        (won, seeds), (lost, _) = (_count(text) for text in sides)
        clear = "better" if won == seeds else "worse" if lost == seeds else "open"
        worse = f", clearly worse in {lost}" if lost else ""
        told = f"{value}, clearly better in {won} of {seeds} seeds{worse}"
        yield Figure(self.name, told, float(value), clear)


@attrs.frozen
class Said:
    """The same told by a sentence, whose groups are the difference and the seeds on the better side."""

    sentence: Sentence
    name: str

    def figures(self) -> Iterator[Figure]:
        """Yield the figure.

        Raises:
            OverviewError: there is no such sentence.
        """
        value, seeds_won = self.sentence.read()
        won, seeds = _count(seeds_won)
        told = f"{value}, clearly better in {won} of {seeds} seeds"
        yield Figure(self.name, told, float(value), "better" if won == seeds else "open")


@attrs.frozen
class Claim:
    """One line of the table.

    Attributes:
        method: whose claim.
        claim: in words.
        published: the paper's figure, or that there is none.
        page: of the evidence, below docs/explanation.
        real: figures on real data.
        made: figures on the embedded shop, or on data drawn from a known truth.
    """

    method: str
    claim: str
    published: str
    page: str
    real: tuple[Differences | Seeds | Said, ...] = ()
    made: tuple[Differences | Seeds | Said, ...] = ()


def page(claims: Sequence[Claim]) -> Iterator[str]:
    """Yield the lines of the page.

    Raises:
        OverviewError: a page no longer says what the list of claims reads.
    """
    rows, words = [], Counter[str]()
    for claim in claims:
        real, made = ([f for one in group for f in one.figures()] for group in (claim.real, claim.made))
        word = verdict([*real, *made])
        words[re.split(r" \(|;", word)[0]] += 1
        name = title(claim.page).removeprefix("Evidence: ")
        link = f"[{name}]({claim.page.removeprefix('evidence/')})"
        made_by = f"{link}, `{script(claim.page)}`"
        rows.append([claim.method, claim.claim, claim.published, told(real), told(made), word, made_by])
    counted = ", ".join(f"{words[word]} {word}" for word in ("shown", "partly", "not shown"))
    yield from ("# All claims in one table", "", NOTE, "")
    yield from INTRODUCTION.splitlines()
    yield ""
    yield f"Of {len(claims)} claims: {counted}."
    yield ""
    heads = [
        "from",
        "claim",
        "published",
        "ours, real data",
        "ours, the shop or a known truth",
        "verdict",
        "page",
    ]
    yield from table(heads, rows)


INTRODUCTION = """\
What the papers behind the methods claim, and what came of each claim here. Every figure of ours is read out of the
evidence page named in its line, where it stands with its setting and with what limits it; none is typed. The program
behind the page's name makes the page again, `PRODMATCH_DATA=DIR python benchmarks/NAME`; this table then follows by
`python docs/generate.py`.

**The rule.** A figure of ours is *clearly better* where its 95% interval leaves 0 out on the side of the claim (with
seeds alone: in all of them), *clearly worse* where it does on the other side. A claim is **shown** where all figures of
its line are clearly better, **partly** shown where some are, else **not shown**. So a claim that asks much, of every
member or every data set, is harder to show than one that asks for little. Models, data and epochs are far smaller
here than in the papers: *not shown* is what was found at this size, not that a paper is wrong.
"""


def verdict(figures: Sequence[Figure]) -> str:
    """Return what follows from the figures of a claim by the rule the page states."""
    better, worse = (sum(f.clear == word for f in figures) for word in ("better", "worse"))
    of = len(figures)
    word = "shown" if better == of else f"partly ({better} of {of})" if better else "not shown"
    return word + (f"; clearly worse in {worse} of {of}" if worse else "")


def told(figures: Sequence[Figure]) -> str:
    """Return figures as a cell: one by one, or how many are clear and the least and the most of them."""
    if not figures:
        return "–"
    if len(figures) <= MOST:
        return "<br>".join(f"{f.name}: {f.told}" for f in figures)
    low, high = (choose(figures, key=lambda f: f.value) for choose in (min, max))
    better, worse = (sum(f.clear == word for f in figures) for word in ("better", "worse"))
    counts = f"clearly better in {better} of {len(figures)}, worse in {worse}"
    return f"{counts}<br>least: {low.name} {low.told}<br>most: {high.name} {high.told}"


def _count(text: str) -> tuple[int, int]:
    found = _COUNT.search(text)
    if found is None:
        raise OverviewError(f"{text!r} does not say how many of how many")
    return int(found[1]), int(found[2])
