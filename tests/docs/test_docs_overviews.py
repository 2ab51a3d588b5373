"""The overviews of all claims and speeds: figures come out of pages, and what a page no longer says is an error."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from overviews import claims, reading
from overviews.claims import Claim, Differences, Figure, Seeds
from overviews.reading import Cell, OverviewError, Sentence

ROOT = Path(__file__).parent.parent.parent
PAGE = """\
# Evidence: a made page

    PRODMATCH_DATA=DIR python benchmarks/evidence_made.py

## Shop: one

| arm | against | gain | mean | wins | losses |
|---|---|---:|---:|---:|---:|
| **new** | old | **+0.10 [+0.02, +0.18]** | +0.10 | 3 of 3 | 0 of 3 |
| new | older | -0.10 [-0.18, -0.02] | -0.10 | 0 of 3 | 3 of 3 |
| other | old | +0.01 [-0.02, +0.04] | +0.01 | 1 of 3 | 0 of 3 |
| other | older | – | | | |

### Differences

The new arm is ahead by +0.25 on
average, in 2 of 3 seeds.
"""


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of pages with one page."""
    (tmp_path / "made.md").write_text(PAGE)
    monkeypatch.setattr(reading, "EXPLANATION", tmp_path)
    reading.sections.cache_clear()
    yield tmp_path
    reading.sections.cache_clear()


def cell(*row: str, column: str = "gain", headings: tuple[str, ...] = ("Shop",)) -> Cell:
    return Cell("made.md", headings, row, column)


def test_a_figure_is_read_with_its_interval_and_its_side() -> None:
    (found,) = Differences(cell("new", "old"), "shop").figures()
    assert found == Figure("shop", "+0.10 [+0.02, +0.18]", 0.10, "better")
    (against,) = Differences(cell("new", "old"), "shop", sign=-1).figures()
    assert against.clear == "worse"
    (open_,) = Differences(cell("other", "old"), "shop").figures()
    assert open_.clear == "open"


def test_a_pattern_reads_all_rows_that_say_something() -> None:
    found = list(Differences(cell("*", "*"), "shop").figures())
    assert [figure.name for figure in found] == ["shop new old", "shop new older", "shop other old"]


@pytest.mark.parametrize(
    ("arm", "clear"), [(("new", "old"), "better"), (("new", "older"), "worse"), (("other", "old"), "open")]
)
def test_seeds_are_clear_where_all_are(arm: tuple[str, str], clear: str) -> None:
    cells = (cell(*arm, column="mean"), cell(*arm, column="wins"), cell(*arm, column="losses"))
    assert [figure.clear for figure in Seeds(cells, "shop").figures()] == [clear]


def test_a_sentence_is_found_over_the_end_of_a_line() -> None:
    place = Sentence("made.md", ("Shop", "Differences"), r"ahead by (\S+) on average, in (\d of \d) seeds")
    assert place.read() == ("+0.25", "2 of 3")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Cell("gone.md", (), ("a",), "b"), "docs/explanation/gone.md: no such page"),
        (
            cell("new", "old", headings=("Real",)),
            "docs/explanation/made.md: 0 sections are 'Real'; there are 'Shop: one', 'Shop: one / Differences'",
        ),
        (cell("new", "old", column="loss"), "docs/explanation/made.md, Shop: no table has a column 'loss'"),
        (
            cell("newer", "old"),
            "docs/explanation/made.md, Shop: no row 'newer | old' with a column 'gain'; rows are 'new | old', "
            "'new | older', 'other | old', 'other | older'",
        ),
        (cell("new"), "docs/explanation/made.md, Shop: 2 rows are 'new'"),
        (
            cell("other", "older"),
            "docs/explanation/made.md, Shop: row 'other | older' says nothing under 'gain'",
        ),
    ],
)
def test_what_a_page_does_not_say_is_an_error(place: Cell, message: str) -> None:
    with pytest.raises(OverviewError) as caught:
        place.read()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sides", "word"),
    [
        (("better", "better"), "shown"),
        (("better", "open"), "partly (1 of 2)"),
        (("better", "worse"), "partly (1 of 2); clearly worse in 1 of 2"),
        (("open", "open"), "not shown"),
        (("worse", "open"), "not shown; clearly worse in 1 of 2"),
    ],
)
def test_verdicts_follow_from_the_sides(sides: tuple[str, ...], word: str) -> None:
    assert claims.verdict([Figure("", "", 0.0, side) for side in sides]) == word


def test_a_claim_is_a_row_with_its_page_and_program() -> None:
    claim = Claim("M", "better", "+5%", "made.md", (Differences(cell("new", "old"), "shop"),))
    lines = list(claims.page([claim]))
    assert "Of 1 claims: 1 shown, 0 partly, 0 not shown." in lines
    assert lines[-1] == (
        "| M | better | +5% | shop: +0.10 [+0.02, +0.18] | – | shown | [a made page](made.md), `evidence_made.py` |"
    )


def test_make_bench_runs_every_benchmark_of_speed() -> None:
    spec = importlib.util.spec_from_file_location("bench_run", ROOT / "benchmarks" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    files = {file.name for file in (ROOT / "benchmarks").glob("*.py")}
    apart = {name for name in files if name.startswith("evidence_")} | {"run.py"}
    assert {program.name for program in run.ORDER} == files - apart
