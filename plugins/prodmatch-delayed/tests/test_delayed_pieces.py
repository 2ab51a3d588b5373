"""Streams of any length: the same rows as at once, in pieces; and what a wrong file is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from prodmatch_core.data.streams import HOUR, NEVER
from prodmatch_core.errors import DataError
from prodmatch_delayed.commands.stream import stream
from prodmatch_delayed.configs import METHODS
from prodmatch_delayed.pieces import pieces, streamed
from prodmatch_delayed.streams import Part, Rows, rows_of

WINDOW = 48 * HOUR


def written(path: Path, count: int = 3000) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    shown = np.sort(rng.integers(0, 240 * HOUR, count))
    delay = (rng.exponential(20, count) * HOUR).astype(np.int64)
    converts = rng.random(count) < 0.3
    frame = pl.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(count)],
            "shown_at": pl.Series(shown).cast(pl.Datetime("us")),
            "converted_at": pl.Series(shown + delay).set(pl.Series(~converts), None).cast(pl.Datetime("us")),
            "engaged_at": pl.Series(shown + delay // 2)
            .set(pl.Series(~converts), None)
            .cast(pl.Datetime("us")),
            "device": rng.integers(0, 9, count),
        }
    )
    frame.write_parquet(path)
    return frame


def parts(path: Path, size: int) -> Iterator[Part]:
    return (piece.part for piece in pieces(path, WINDOW, size))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_pieces_give_the_rows_of_the_whole_in_the_same_order(tmp_path: Path, method: str, size: int) -> None:
    path = tmp_path / "events.parquet"
    written(path, 60 if size == 1 else 3000)
    found = Rows.joined(list(streamed(parts(path, size), method, 1.0, WINDOW)))
    (whole,) = parts(path, 1 << 20)
    expected = rows_of(whole, method, 1.0, WINDOW, trained=0).in_order()
    for field in attrs.fields(Rows):
        assert np.array_equal(getattr(found, field.name), getattr(expected, field.name)), field.name


def test_what_waits_is_what_is_not_known_yet(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    written(path)
    ends = [part.shown[-1] for part in parts(path, 500)]
    for rows, end in zip(streamed(parts(path, 500), "exact", 1.0, WINDOW), ends, strict=False):
        assert (rows.at < end).all()
    (whole,) = parts(path, 1 << 20)
    assert (whole.converted[whole.converted < NEVER] - whole.shown[whole.converted < NEVER] <= WINDOW).all()


def test_the_command_writes_the_stream(tmp_path: Path) -> None:
    frame = written(tmp_path / "events.parquet")
    out = tmp_path / "stream.parquet"
    arguments = [str(tmp_path / "events.parquet"), "-o", str(out), "--method", "defer", "--window", "2"]
    result = CliRunner().invoke(stream, arguments, catch_exceptions=False)
    assert (
        result.output
        == f"{out}: {2 * frame.height:,} rows of defer, in order of the moment they were known\n"
    )
    table = pl.read_parquet(out)
    assert table["at"].is_sorted()
    assert table.columns == ["event", "at", "converted", "kind", "elapsed", "delay", "signal", "trains"]
    assert set(table["kind"]) == {"fresh", "settled"}


def test_a_log_out_of_order_is_told_where(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    written(path, 100).reverse().write_parquet(path)
    with pytest.raises(DataError) as caught:
        list(pieces(path, 0))
    assert str(caught.value) == (
        f"{path}, row 2: shown_at is before that of the row above. Sort the events by shown_at."
    )


def test_a_log_without_times_and_a_missing_one_are_told(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame({"clicked": [1]}).write_parquet(path)
    with pytest.raises(DataError) as caught:
        list(pieces(path, 0))
    assert str(caught.value) == (
        f"{path}: no column shown_at; it has clicked. `prodmatch data convert core.events` writes a log under the "
        "canonical names."
    )
    with pytest.raises(DataError) as caught:
        list(pieces(tmp_path / "none.parquet", 0))
    assert str(caught.value) == f"{tmp_path / 'none.parquet'}: no such file. Name a Parquet file of events."
