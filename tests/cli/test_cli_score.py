"""`score` and the batches it reads and writes."""

from __future__ import annotations

import errno
import gzip
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.batch_writer import BatchWriter
from prodmatch_core.data.batches import read_batches
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import DataError, RunError

PAIRS = pl.DataFrame(
    {
        "query": [f"query {n}" for n in range(7)],
        "title": ["short", 'with "quotes", and comma', "two\nlines", "日本語", "tab\there", "x", "last"],
        "note": ["a", None, "c", None, "e", None, None],
    }
)


class FakeFitted:
    """Scores a pair by the length of its title; remembers the sizes of its batches."""

    scheme = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))
    batches: list[int]
    stops_at: int | None
    precision: str

    @classmethod
    def load(cls, path: Path, precision: str, backend: str) -> FakeFitted:
        cls.batches, cls.precision = [], precision
        return cls()

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        if len(self.batches) == self.stops_at:
            raise KeyboardInterrupt
        self.batches.append(frame.height)
        share = frame["title"].str.len_chars().cast(pl.Float64) / 100
        return frame.with_columns(
            decided=pl.lit("match"),
            accepted=pl.lit(True),
            score=share,
            uncertainty=pl.lit(0.0),
            p_match=share,
            p_mismatch=1 - share,
        )


@pytest.fixture
def fitted(stand_in: Callable[..., None]) -> type[FakeFitted]:
    stand_in("prodmatch_core.pipeline", Pipeline=FakeFitted)
    FakeFitted.batches, FakeFitted.stops_at = [], None
    return FakeFitted


def write(path: Path, frame: pl.DataFrame = PAIRS) -> Path:
    with BatchWriter.open(path) as writer:
        writer.write(frame)
    return path


def read(path: Path, rows: int = 1000) -> pl.DataFrame:
    return pl.concat(read_batches(path, rows))


SUFFIXES = ["csv", "tsv", "jsonl", "parquet", "csv.gz", "tsv.gz", "jsonl.gz"]


@pytest.mark.parametrize("given_as", SUFFIXES)
@pytest.mark.parametrize("wanted_as", ["csv", "jsonl", "parquet"])
def test_scores_keep_rows_order_and_columns(invoke, fitted, given_as: str, wanted_as: str) -> None:
    pairs = write(Path(f"pairs.{given_as}"))
    result = invoke("score", "run", str(pairs), "-o", f"out.{wanted_as}", "--batch-rows", "3")
    assert (result.exit_code, result.stdout) == (0, f"out.{wanted_as}\n")
    scored = read(Path(f"out.{wanted_as}"))
    assert scored.select(PAIRS.columns).equals(PAIRS)
    assert scored.columns == [
        *PAIRS.columns,
        "decided",
        "accepted",
        "score",
        "uncertainty",
        "p_match",
        "p_mismatch",
    ]
    expected = [len(title) / 100 for title in PAIRS["title"]]
    assert scored["score"].cast(pl.Float64).to_list() == pytest.approx(expected)
    assert fitted.batches == [3, 3, 1]
    assert sorted(p.name for p in Path().iterdir() if "out" in p.name) == [f"out.{wanted_as}"]


def test_progress_goes_to_stderr_and_can_be_silenced(invoke, fitted) -> None:
    write(Path("pairs.csv"))
    words = ("score", "run", "pairs.csv", "-o", "out.csv", "--batch-rows", "5")
    assert invoke(*words).stderr == "scored 5 rows\nscored 7 rows\n"
    assert invoke(*words, "--quiet").stderr == ""


def test_failure_in_a_later_batch_leaves_the_old_output(invoke, fitted) -> None:
    Path("pairs.csv").write_text("query,title\na,b\nc,d\ne,\n")
    Path("out.csv").write_text("old")
    result = invoke("score", "run", "pairs.csv", "-o", "out.csv", "--batch-rows", "1", "--quiet")
    assert (result.exit_code, result.stderr) == (
        1,
        "pairs.csv: row 3: title is empty. Fill it or remove the row.\n",
    )
    assert Path("out.csv").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == ["out.csv", "p.toml", "pairs.csv"]


def interrupted(invoke, fitted, *words: str) -> None:
    fitted.stops_at = 2
    invoke(*words)
    fitted.stops_at = None
    assert fitted.batches == [3, 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_interrupted_scoring_goes_on_to_the_same_bytes(invoke, fitted, suffix: str) -> None:
    write(Path("pairs.csv"))
    words = ("score", "run", "pairs.csv", "-o", f"out.{suffix}", "--batch-rows", "3")
    invoke(*words, "--quiet")
    undisturbed = Path(f"out.{suffix}").read_bytes()
    Path(f"out.{suffix}").unlink()
    interrupted(invoke, fitted, *words)
    assert not Path(f"out.{suffix}").exists()
    assert invoke(*words).stderr == "6 rows were scored before\nscored 7 rows\n"
    assert fitted.batches == [1]
    assert Path(f"out.{suffix}").read_bytes() == undisturbed
    assert sorted(p.name for p in Path().iterdir() if "out" in p.name) == [f"out.{suffix}"]


def test_other_pairs_other_options_or_another_model_start_anew(invoke, fitted) -> None:
    words = ("score", "run", "pairs.csv", "-o", "out.csv", "--batch-rows", "3", "--quiet")
    write(Path("pairs.csv"))
    Path("run").mkdir()
    interrupted(invoke, fitted, *words)
    invoke(*words, "--precision", "fp32")
    assert (fitted.batches, fitted.precision) == ([3, 3, 1], "fp32")
    interrupted(invoke, fitted, *words)
    write(Path("pairs.csv"), PAIRS.reverse())
    invoke(*words)
    assert fitted.batches == [3, 3, 1]
    interrupted(invoke, fitted, *words)
    Path("run/members/ngram").mkdir(parents=True)
    Path("run/members/ngram/model.safetensors").write_bytes(b"other")
    invoke(*words)
    assert fitted.batches == [3, 3, 1]


def test_a_report_rendered_again_does_not_start_scoring_anew(invoke, fitted) -> None:
    words = ("score", "run", "pairs.csv", "-o", "out.csv", "--batch-rows", "3", "--quiet")
    write(Path("pairs.csv"))
    Path("run").mkdir()
    interrupted(invoke, fitted, *words)
    Path("run/report.html").write_text("new")
    invoke(*words)
    assert fitted.batches == [1]


def test_killed_writer_leaves_whole_batches_only(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    script = f"""
import os, signal
from pathlib import Path
import polars as pl
from prodmatch_core.data.batch_writer import BatchWriter
with BatchWriter.open(Path({str(path)!r}), "key") as writer:
    writer.write(pl.DataFrame({{"a": [1, 2]}}))
    writer.write(pl.DataFrame({{"a": [3]}}))
    (writer._folder / "unfinished").write_bytes(b"half of a bat")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    with BatchWriter.open(path, "key") as writer:
        assert (writer.batches, writer.rows) == (2, 3)
        writer.write(pl.DataFrame({"a": [4]}))
    assert pl.read_parquet(path)["a"].to_list() == [1, 2, 3, 4]


def test_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    frame = pl.DataFrame({"a": [1]})

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        with BatchWriter.open(path, "key") as writer:
            writer.write(frame)
            monkeypatch.setattr(Path, "write_bytes", full)
            writer.write(frame)

    with pytest.raises(DataError) as caught:
        fill()
    assert str(caught.value) == (
        f"{path}: cannot be written: [Errno 28] No space left on device. Free space or choose another output."
    )
    monkeypatch.undo()
    with BatchWriter.open(path, "key") as writer:
        assert writer.batches == 1


def test_second_writer_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        BatchWriter.open(path),
        pytest.raises(RunError, match=r"out\.csv: is being written by another run"),
        BatchWriter.open(path),
    ):
        raise AssertionError("a second writer got in")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "Query,titel\na,b\n",
            "pairs.csv: lacks columns query and title; it has Query, titel. Rename the columns of the file. "
            '(query; did you mean "Query"?; title; did you mean "titel"?)',
        ),
        (
            "query,title,score\na,b,1\n",
            "pairs.csv: has column score, which the scores are written to. Rename or drop what the file has.",
        ),
        (
            "query,title,p_match,accepted\na,b,1,1\n",
            "pairs.csv: has columns accepted, p_match, which the scores are written to. "
            "Rename or drop what the file has.",
        ),
        ("query,title\n", "pairs.csv: holds no pairs. Nothing was written."),
        ("", "pairs.csv: is empty. A header line with the columns' names is expected."),
        ("query,title,title\na,b,c\n", "pairs.csv: column title occurs more than once. Rename one of them."),
        (
            'query,title\na,"b\nb"\nc\n',
            "pairs.csv: line 4: 1 fields where the header has 2. Quote fields that hold the separator.",
        ),
        ('query,title\na,"b', "pairs.csv: line 2: unexpected end of data. Mend the quotes."),
    ],
)
def test_broken_pairs_are_told_in_full_and_nothing_is_written(
    invoke, fitted, content: str, told: str
) -> None:
    Path("pairs.csv").write_text(content)
    result = invoke("score", "run", "pairs.csv", "-o", "out.csv", "--quiet")
    assert (result.exit_code, result.stderr) == (1, f"{told}\n")
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pairs.csv", None, "pairs.csv: no such file."),
        (
            "pairs.xlsx",
            b"",
            "pairs.xlsx: cannot tell the format from the name; known are CSV, TSV, JSON lines and Parquet "
            "(.csv .tsv .jsonl .parquet; text also .gz). Rename or convert the file.",
        ),
        (
            "pairs.csv",
            b"query,title\ncaf\xe9,b\n",
            "pairs.csv: not UTF-8: invalid continuation byte. Save the file as UTF-8.",
        ),
        (
            "pairs.jsonl",
            b'{"query": "a", "title": "b"}\n{"query": \n',
            "pairs.jsonl: line 2: not JSON: Expecting value: line 2 column 1 (char 11). One object a line is expected.",
        ),
        ("pairs.jsonl", b"[1, 2]\n", "pairs.jsonl: line 1: one JSON object a line is expected, got [1, 2]."),
        (
            "pairs.csv.gz",
            gzip.compress(b"query,title\n" + b"a,b\n" * 1000, mtime=0)[:-20],
            "pairs.csv.gz: the gzip file is damaged: Compressed file ended before the end-of-stream marker "
            "was reached. Copy or pack it again.",
        ),
        (
            "pairs.csv.gz",
            b"query,title\n",
            "pairs.csv.gz: the gzip file is damaged: Not a gzipped file (b'qu'). Copy or pack it again.",
        ),
    ],
)
def test_files_that_cannot_be_read_are_told_in_full(
    invoke, fitted, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    result = invoke("score", "run", name, "-o", "out.csv", "--quiet")
    assert (result.exit_code, result.stderr) == (1, f"{told}\n")


def test_damaged_parquet_names_the_file(invoke, fitted) -> None:
    Path("pairs.parquet").write_bytes(b"not parquet")
    result = invoke("score", "run", "pairs.parquet", "-o", "out.csv")
    assert result.exit_code == 1
    assert result.stderr.startswith("pairs.parquet: not a Parquet file, or damaged: ")


def test_folder_instead_of_pairs(invoke, fitted) -> None:
    Path("pairs.parquet").mkdir()
    result = invoke("score", "run", "pairs.parquet", "-o", "out.csv")
    assert result.stderr == "pairs.parquet: is a folder. Name a file of pairs.\n"


def test_output_of_unknown_format_is_told_before_any_work(invoke, fitted) -> None:
    write(Path("pairs.csv"))
    result = invoke("score", "run", "pairs.csv", "-o", "out.xlsx")
    assert (result.exit_code, fitted.batches) == (1, [])
    assert result.stderr.endswith("Name the output with one of these endings.\n")


def test_output_in_a_folder_that_is_not_there(invoke, fitted) -> None:
    write(Path("pairs.csv"))
    result = invoke("score", "run", "pairs.csv", "-o", "absent/out.csv")
    assert result.stderr == (
        "absent/out.csv: cannot be written: No such file or directory. Choose another output.\n"
    )


def test_json_key_that_comes_late_is_not_dropped_silently(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"query": "a"}\n{"query": "b", "brand": "c"}\n')
    with pytest.raises(DataError) as caught:
        read(path, 1)
    assert str(caught.value) == (
        f"{path}: line 2: key brand is in none of the first 1 lines. "
        "Give the first line every key, null where there is no value."
    )


def test_json_key_that_is_null_at_first_may_hold_texts_later(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"brand": null}\n{"brand": "c"}\n')
    assert read(path, 1)["brand"].to_list() == [None, "c"]


cells = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=12),
    st.integers(1, 13),
    st.sampled_from(["csv", "tsv", "jsonl", "parquet", "csv.gz"]),
)
def test_what_is_written_is_read_back_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, str | None]],
    size: int,
    suffix: str,
) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    path = tmp_path_factory.mktemp("batches") / f"x.{suffix}"
    with BatchWriter.open(path) as writer:
        for part in frame.iter_slices(size):
            writer.write(part)
    batches = list(read_batches(path, size))
    assert pl.concat(batches).equals(frame)
    assert [batch.height for batch in batches[:-1]] == [size] * (len(batches) - 1)
