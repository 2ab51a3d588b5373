"""JSON lines hold what no table can: whatever a line holds, it becomes texts or a named bad row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.files import read_table
from prodmatch_core.errors import DataError

GOOD = '{"query": "tv", "title": "a"}\n'


def read(path: Path, text: str, skip: bool = False):
    path.write_text(text, encoding="utf-8")
    return read_table(path, "jsonl", "utf-8", '"', BadRows(path, skip))


def outcome(path: Path, text: str, skip: bool = False) -> int | str:
    """Return how many records were read, or what the reader said instead."""
    try:
        return read(path, text, skip).frame.height
    except DataError as error:
        return str(error)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"query": ' + "1" * 5000 + "}", "a whole number of too many digits; write it as a text"),
        ('{"query": [[' + "1" * 5000 + "]]}", "a whole number of too many digits; write it as a text"),
        (
            '{"query": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "lists or objects within each other, too deep to read",
        ),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "lists or objects within each other, too deep to read"),
        ('{"query": "tv \\ud83d"}', "\\ud83d is half of a character; write both halves"),
        ('{"query": ["a", {"b": "\\udc00"}]}', "\\udc00 is half of a character; write both halves"),
        ('{"que\\udfffry": 1}', "\\udfff is half of a character; write both halves"),
        ('"too many digits"', '"too many digits" where a JSON object is expected'),
    ],
    ids=["long", "long-inside", "deep-list", "deep-object", "half", "half-inside", "half-name", "text"],
)
def test_what_has_no_text_is_a_bad_row(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.jsonl", GOOD + line + "\n" + GOOD)
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'}, row 2: {reason}. ")


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    table = read(tmp_path / "a.jsonl", GOOD + '{"query": "\\ud83d"}\n' + GOOD, skip=True)
    assert table.frame.rows() == [("tv", "a"), ("tv", "a")]


def test_both_halves_make_a_character(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", '{"query": "\\ud83d\\ude00"}\n').frame["query"].to_list() == ["😀"]


@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(), max_size=3),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.text(st.characters(), max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
                ),
                max_leaves=6,
            ),
            min_size=1,
            max_size=3,
        ),
        max_size=3,
    ),
    st.booleans(),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_objects_become_texts_or_an_error_that_names_the_row(
    tmp_path: Path, records: list[dict], skip: bool
) -> None:
    path = tmp_path / "any.jsonl"
    found = outcome(path, "".join(json.dumps(record) + "\n" for record in records), skip)
    if isinstance(found, str):
        assert found.startswith(f"{path}: " if skip or not any(records) else f"{path}, row ")
    else:
        assert found <= len(records) if skip else found == len(records)


@given(st.text(st.sampled_from('{}[]":,\\\\ud8 0e+-.tnf'), max_size=30))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_becomes_texts_or_an_error_that_names_the_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "any.jsonl"
    found = outcome(path, GOOD + line)
    assert found.startswith(str(path)) if isinstance(found, str) else found >= 1
