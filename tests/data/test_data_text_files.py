from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from prodmatch_core.data.batches import read_batches
from prodmatch_core.data.text_files import open_text, readable
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.trec import read_qrels


def reason(path: Path) -> str:
    with pytest.raises(DataError) as error, readable(path, "a list"), open_text(path) as file:
        file.read()
    return str(error.value).removeprefix(f"{path}: ")


def test_an_absent_file(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.txt") == "no such file."


def test_a_folder(tmp_path: Path) -> None:
    assert reason(tmp_path) == "is a folder. Name a list."


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("größe".encode("latin-1"))
    assert reason(tmp_path / "a.txt") == "not UTF-8: invalid start byte. Save the file as UTF-8."


def test_a_gzip_file_cut_short(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"words " * 100)[:-12])
    assert reason(tmp_path / "a.gz") == (
        "the gzip file is damaged: Compressed file ended before the end-of-stream marker was reached. Copy or pack it "
        "again."
    )


def damaged(path: Path) -> Path:
    """Write a gzip file whose content cannot be unpacked."""
    packed = bytearray(gzip.compress(b"query title and words " * 50))
    packed[12:30] = b"\xff" * 18
    path.write_bytes(packed)
    return path


def test_a_gzip_file_with_wrong_bytes(tmp_path: Path) -> None:
    assert reason(damaged(tmp_path / "a.gz")).startswith(
        "the gzip file is damaged: Error -3 while decompressing"
    )


@pytest.mark.parametrize(
    "read", [lambda path: list(read_batches(path, 10)), read_qrels], ids=["pairs", "qrels"]
)
def test_readers_of_lines_say_so(tmp_path: Path, read) -> None:
    with pytest.raises(DataError, match="the gzip file is damaged: Error -3"):
        read(damaged(tmp_path / "a.csv.gz"))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_byte_order_mark_is_left_out(tmp_path: Path, name: str) -> None:
    data = "\ufeffwords".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with open_text(tmp_path / name) as file:
        assert file.read() == "words"
