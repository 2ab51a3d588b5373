"""Tables and progress: plain where a program reads, drawn where a person does."""

from __future__ import annotations

import io
import sys

import pytest

from prodmatch_core.cli.tables import lines, print_table
from prodmatch_core.progress import Bars, Plain, Silent, epoch_text, reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    assert list(lines([["name", "value"], ["a", "1"], ["long name", ""]])) == [
        "name       value",
        "a          1",
        "long name",
    ]


def test_numbers_are_aligned_to_the_right() -> None:
    assert list(lines([["", "f1"], ["a", "0.5"]], right=[1])) == ["    f1", "a  0.5"]


def test_japanese_takes_two_cells_a_character() -> None:
    assert list(lines([["検索", "x"], ["abcd", "y"]])) == ["検索  x", "abcd  y"]


def test_table_is_plain_where_no_person_is_looking(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["1", "[bold]2"]])
    assert capsys.readouterr().out == "a  b\n1  [bold]2\n"


def test_table_on_a_terminal_shows_the_same_cells_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    print_table(["measure"], [["[bold]0.5"]])
    assert "measure" in screen.getvalue()
    assert "[bold]0.5" in screen.getvalue()


def test_plain_reporter_writes_a_line_per_stage_quarter_and_epoch() -> None:
    stream = io.StringIO()
    reporter = Plain(stream)
    reporter.stage("load")
    for done in range(101):
        reporter.progress("hashing", done, 100)
    reporter.epoch("text", 1, {"loss": 0.51234, "macro_f1": 0.25})
    reporter.message("done")
    assert stream.getvalue().splitlines() == [
        "load",
        "hashing: 25/100",
        "hashing: 50/100",
        "hashing: 75/100",
        "hashing: 100/100",
        "text: epoch 1: loss 0.5123, macro_f1 0.25",
        "done",
    ]


def test_plain_reporter_tells_a_progress_that_begins_anew() -> None:
    stream = io.StringIO()
    reporter = Plain(stream)
    for done in (0, 2, 0, 2):
        reporter.progress("epoch", done, 2)
    assert stream.getvalue() == "epoch: 2/2\nepoch: 2/2\n"


def test_plain_reporter_stands_an_empty_progress() -> None:
    stream = io.StringIO()
    Plain(stream).progress("nothing", 0, 0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("quiet", "terminal", "kind"), [(True, True, Silent), (False, True, Bars), (False, False, Plain)]
)
def test_reporter_fits_the_place(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, terminal: bool, kind: type
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    with reporting(quiet) as reporter:
        assert type(reporter) is kind


def test_bars_show_stages_messages_and_epochs_without_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with reporting() as reporter:
        reporter.stage("member [a]")
        reporter.progress("epoch [1]", 1, 2)
        reporter.epoch("text", 1, {"loss": 0.5})
        reporter.stage("evaluate")
    for text in ("member [a]", epoch_text("text", 1, {"loss": 0.5}), "evaluate"):
        assert text in screen.getvalue()


def test_silent_reporter_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(quiet=True) as reporter:
        reporter.stage("a")
        reporter.progress("b", 1, 2)
        reporter.message("c")
        reporter.epoch("d", 1, {})
    assert capsys.readouterr() == ("", "")
