"""Broken files: for each, everything the user gets to read."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from prodmatch_core.data.pairs import read
from prodmatch_core.data.pairs_config import Columns, CrowdflowerConfig, PairsConfig, Scheme
from prodmatch_core.data.public_pairs import read_crowdflower
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError

HEADER = "query,title,label\n"
GOOD = HEADER + "tv,samsung tv,match\ntv,radio,mismatch\n"


def message(folder: Path, name: str, content: bytes | str, **options: object) -> str:
    """Return the text of the error that reading `content` raises, with the folder left out."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as error:
        read(PairsConfig(path=name, **options), ReadContext(root=folder))
    return str(error.value).replace(f"{folder}/", "")


def test_unknown_label(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", GOOD + "tv,remote,maybe\n") == (
        'a.csv, row 4, column label: "maybe" is none of the known labels (match, mismatch). '
        'Say what it means with labels = {"maybe" = "match", ...}, or correct it, '
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_label_absent_from_the_mapping(tmp_path: Path) -> None:
    text = "query,title,label\ntv,a,1\ntv,b,0\ntv,c,2\ntv,d,2\n"
    assert message(tmp_path, "a.csv", text, labels={"1": "match", "0": "mismatch"}) == (
        'a.csv, row 4, column label: "2" is none of the known labels (1, 0). '
        'Say what it means in labels, e.g. "2" = "match", or correct it, '
        "or pass --skip-bad-rows to leave such rows out. Bad rows found: 2."
    )


def test_relevance_that_is_no_number(tmp_path: Path) -> None:
    text = "query,title,relevance\ntv,a,3\ntv,b,1\ntv,c,high\n"
    options = {"columns": Columns(label="relevance"), "thresholds": {"match": 2.0}}
    assert message(tmp_path, "a.csv", text, **options) == (
        'a.csv, row 4, column relevance: "high" is not a number. '
        "Correct it, or pass --skip-bad-rows to leave such rows out."
    )


def test_relevance_below_the_least_threshold(tmp_path: Path) -> None:
    text = HEADER + "tv,a,3\ntv,b,1\ntv,c,0.5\n"
    assert message(tmp_path, "a.csv", text, thresholds={"match": 2.0, "mismatch": 1.0}) == (
        "a.csv, row 4, column label: 0.5 is below 1, the least there is. "
        "Correct it, or pass --skip-bad-rows to leave such rows out."
    )


def test_empty_title(tmp_path: Path) -> None:
    text = "query,title,label,product_id\ntv,a,match,7\ntv,  ,mismatch,8\n"
    assert message(tmp_path, "a.csv", text) == (
        "a.csv, row 3, column title: the title is empty (product_id 8). "
        "Fill it, or pass --skip-bad-rows to leave such rows out."
    )


def test_query_id_without_text(tmp_path: Path) -> None:
    text = "query_id,query,title,label\n1,tv,a,match\n2,,b,mismatch\n"
    assert message(tmp_path, "a.csv", text) == (
        "a.csv, row 3, column query: the query is empty (query_id 2). "
        "Fill it, or pass --skip-bad-rows to leave such rows out."
    )


def test_query_id_with_two_texts(tmp_path: Path) -> None:
    text = "query_id,query,title,label\n1,tv,a,match\n1,radio,b,mismatch\n"
    assert message(tmp_path, "a.csv", text) == (
        'a.csv, row 3, column query_id: 1 is "radio" (en) here and "tv" (en) in row 2. '
        'Correct it, or set columns.query_id = "", or pass --skip-bad-rows to leave such rows out.'
    )


def test_too_many_fields(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", GOOD + "tv,a tv, black,match\n") == (
        "a.csv, row 4: 4 fields where the header has 3. "
        "Quote fields that contain the separator, a quote or a line break, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_too_few_fields(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", GOOD + "tv,radio\ntv,phone,match\n") == (
        "a.csv, row 4: 2 fields where the header has 3. "
        "Quote fields that contain the separator, a quote or a line break, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_quote_that_is_never_closed(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", HEADER + 'tv,"samsung tv,match\ntv,radio,mismatch\n') == (
        "a.csv, row 2: a quoted field is opened and never closed. "
        "Quote fields that contain the separator, a quote or a line break, "
        "or pass --skip-bad-rows to leave such rows out."
    )


@pytest.mark.parametrize(
    "row", ['""best"",a,match', '""best"" tv,a,match', '"best" "tv",a,match', '"best" tv,a,match']
)
def test_text_outside_the_quotes_of_a_field(tmp_path: Path, row: str) -> None:
    assert message(tmp_path, "a.csv", GOOD + row + "\n") == (
        "a.csv, row 4: a quote inside a quoted field is not doubled. "
        "Quote fields that contain the separator, a quote or a line break, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_surplus_field_in_a_last_row_without_line_end(tmp_path: Path) -> None:
    text = "query,title,label,brand\ntv,a,match,X\ntv,b,mismatch,Y,"
    assert message(tmp_path, "a.csv", text).startswith("a.csv, row 3: 5 fields where the header has 4. ")


def test_row_numbers_count_the_lines_within_quoted_fields(tmp_path: Path) -> None:
    text = 'query,title,label,description\ntv,a,match,"one\ntwo\nthree"\n\ntv,b,bad,\n'
    assert message(tmp_path, "a.csv", text).startswith('a.csv, row 6, column label: "bad" is none')


def test_missing_columns(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", "querry,name,label\ntv,a,match\n") == (
        'a.csv: no column "query" (did you mean "querry"?), "title". The file has querry, name, label. '
        'Say which column holds what, e.g. columns.query = "search_term".'
    )


def test_optional_column_that_was_named_and_is_not_there(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", GOOD, columns=Columns(brand="brnad")) == (
        'a.csv: no column "brnad". The file has query, title, label. '
        'Say which column holds what, e.g. columns.query = "search_term".'
    )


def test_column_that_is_there_twice(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", "query,title,label,title\ntv,a,match,b\n") == (
        "a.csv, row 1: column title is there more than once. Rename one of them in the header."
    )


def test_wrong_encoding(tmp_path: Path) -> None:
    content = (HEADER + "tv,caf\xe9,match\n").encode("ISO-8859-1")
    assert message(tmp_path, "a.csv", content) == (
        "a.csv, row 2: byte 0xe9 at offset 24 is not utf-8. "
        'Name the encoding of the file, e.g. encoding = "ISO-8859-1", or save it as UTF-8.'
    )


def test_empty_file(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", "") == (
        "a.csv: the file is empty. Check that it was written completely."
    )


def test_header_without_rows(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", HEADER) == (
        "a.csv: no rows, only a header. Check that the file was written completely."
    )


def test_blank_header(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", "\n" + GOOD) == (
        "a.csv, row 1: blank where the header is expected. Remove the rows above the header."
    )


def test_one_label_only(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", HEADER + "tv,a,match\ntv,b,match\n") == (
        'a.csv: all 2 rows have the label "match"; there is nothing to tell apart. '
        "Check labels or thresholds, and that the file is whole."
    )


def test_gzip_cut_off(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv.gz", gzip.compress(GOOD.encode())[:-12]) == (
        "a.csv.gz: the gzip data is cut off or damaged (Compressed file ended before the end-of-stream "
        "marker was reached). Fetch or compress the file again."
    )


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError) as error:
        read(PairsConfig(path="a.csv"), ReadContext(root=tmp_path))
    assert str(error.value) == (
        f"{tmp_path}/a.csv: is a folder where a file is expected. Name a file in it, or read a folder that "
        'prodmatch wrote with use = "core.folder".'
    )


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(PairsConfig(path="a.csv"), ReadContext(root=tmp_path, base=tmp_path / "pipelines"))
    assert str(error.value) == (
        f"a.csv: not found; looked for {tmp_path}/a.csv and {tmp_path}/pipelines/a.csv. "
        "Name the folder that holds it with --data DIR or the environment variable PRODMATCH_DATA."
    )


def test_name_that_tells_no_format(tmp_path: Path) -> None:
    assert message(tmp_path, "a.dat", GOOD) == (
        "a.dat: cannot tell the format from the name (known endings: .csv, .tsv, .jsonl, .ndjson, .json, "
        '.parquet, .pq). Set format = "csv", "tsv", "jsonl" or "parquet".'
    )


def test_broken_json_line(tmp_path: Path) -> None:
    good = '{"query": "tv", "title": "a", "label": "match"}\n'
    assert message(tmp_path, "a.jsonl", good + '{"query": "tv", "title"\n' + good) == (
        "a.jsonl, row 2: not JSON at character 24: Expecting ':' delimiter. "
        "Correct the row, or pass --skip-bad-rows to leave such rows out."
    )


def test_json_line_that_is_no_object(tmp_path: Path) -> None:
    assert message(tmp_path, "a.jsonl", '{"query": "tv", "title": "a", "label": "match"}\n17\n') == (
        "a.jsonl, row 2: 17 where a JSON object is expected. "
        "Correct the row, or pass --skip-bad-rows to leave such rows out."
    )


def test_json_array(tmp_path: Path) -> None:
    assert message(tmp_path, "a.json", "[{}]") == (
        "a.json: a JSON array where one object a line is expected. Convert it, e.g. with jq -c '.[]'."
    )


def test_parquet_that_is_none(tmp_path: Path) -> None:
    text = message(tmp_path, "a.parquet", GOOD)
    assert text.startswith("a.parquet: not a Parquet file, or damaged: ")
    assert text.endswith(". Write or fetch the file again.")


def test_split_that_is_no_split(tmp_path: Path) -> None:
    text = "query,title,label,split\ntv,a,match,train\ntv,b,mismatch,holdout\n"
    assert message(tmp_path, "a.csv", text) == (
        'a.csv, row 3, column split: "holdout" is none of train, training, valid, validation, val, dev, test. '
        'Correct it, or set columns.split = "" to divide the queries anew, '
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_query_in_two_splits(tmp_path: Path) -> None:
    text = "query,title,label,split\ntv,a,match,train\npc,a,match,test\ntv,b,mismatch,test\n"
    assert message(tmp_path, "a.csv", text) == (
        'a.csv, row 4, column split: query "tv" is in splits train and test (queries like this: 1). '
        'Give all rows of a query one split, or set columns.split = "" to divide the queries anew.'
    )


def test_negative_weight(tmp_path: Path) -> None:
    text = "query,title,label,weight\ntv,a,match,1\ntv,b,mismatch,-1\n"
    assert message(tmp_path, "a.csv", text) == (
        "a.csv, row 3, column weight: -1 is below 0. "
        "Correct it, or pass --skip-bad-rows to leave such rows out."
    )


def test_a_preset_offers_no_setting_it_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("query,title\ntv,a\n")
    with pytest.raises(DataError) as error:
        read_crowdflower(CrowdflowerConfig(path="train.csv"), ReadContext(root=tmp_path))
    assert str(error.value) == (
        f'{tmp_path}/train.csv: no column "product_title", "median_relevance", "product_description", '
        '"relevance_variance". The file has query, title. '
        'core.crowdflower reads the original file; read others with use = "core.pairs".'
    )


def skipped(folder: Path, content: str, **options: object) -> tuple[int, tuple[str, ...]]:
    """Return how many judgements are left of `content`, and the notes, when bad rows are skipped."""
    (folder / "a.csv").write_text(content)
    config = PairsConfig(path="a.csv", **options)
    dataset = read(config, ReadContext(root=folder, skip_bad_rows=True))
    assert dataset.judgements is not None
    return dataset.judgements.height, tuple(note.replace(f"{folder}/", "") for note in dataset.notes)


def test_skipped_rows_are_counted_and_listed(tmp_path: Path) -> None:
    count, notes = skipped(tmp_path, GOOD + 'tv,remote,maybe\n,phone,match\ntv,x\ntv,"y,match\ntv,z,match\n')
    assert count == 3
    assert notes == (
        "a.csv: 4 of 7 rows skipped as bad",
        'skipped a.csv, row 4, column label: "maybe" is none of the known labels (match, mismatch)',
        "skipped a.csv, row 5, column query: the query is empty",
        "skipped a.csv, row 6: 2 fields where the header has 3",
        "skipped a.csv, row 7: a quoted field is opened and never closed",
    )


def test_only_the_first_twenty_skipped_rows_are_listed(tmp_path: Path) -> None:
    count, notes = skipped(tmp_path, GOOD + "tv,remote,maybe\n" * 25)
    assert count == 2
    assert len(notes) == 1 + 20 + 1
    assert notes[-1] == "skipped 5 more rows of a.csv"


def test_a_row_with_two_faults_is_skipped_once(tmp_path: Path) -> None:
    _, notes = skipped(tmp_path, GOOD + ",,maybe\n")
    assert notes == (
        "a.csv: 1 of 3 rows skipped as bad",
        "skipped a.csv, row 4, column query: the query is empty",
    )


@pytest.mark.parametrize("rows", ["tv,a,x\ntv,b,y\n", "tv,a\ntv\n"])
def test_a_file_with_bad_rows_only_is_an_error_all_the_same(tmp_path: Path, rows: str) -> None:
    (tmp_path / "a.csv").write_text(HEADER + rows)
    with pytest.raises(DataError, match=r"no usable row; all 2 are bad\. skipped .*a\.csv, row 2"):
        read(PairsConfig(path="a.csv"), ReadContext(root=tmp_path, skip_bad_rows=True))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"labels": {"1": "match"}, "thresholds": {"match": 1.0}}, "got both"),
        ({"labels": {"1": "good"}}, r"labels: good is not in the scheme's labels \(match, mismatch\)"),
        ({"thresholds": {"mismatch": 1.0}}, "thresholds: expected a least number for match too"),
        (
            {"thresholds": {"match": 1.0, "mismatch": 2.0}},
            r"thresholds: expected falling numbers from match on, got \[1.0, 2.0\]",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PairsConfig(path="a.csv", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gains": (1.0,)}, "gains: expected 2, one for each label, got 1"),
        ({"positive": ("match", "mismatch")}, "positive: expected some, not all, of match, mismatch"),
        ({"labels": ("match", "match")}, "expected two or more different labels"),
    ],
)
def test_a_scheme_that_is_none_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Scheme(**options)


def test_an_encoding_python_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a text encoding, like utf-8 or ISO-8859-1"):
        PairsConfig(path="a.csv", encoding="latin-99")


def test_column_of_durations(tmp_path: Path) -> None:
    frame = pl.DataFrame({"query": ["tv"], "title": [timedelta(days=1)], "label": ["match"]})
    frame.write_parquet(tmp_path / "b.parquet")
    content = (tmp_path / "b.parquet").read_bytes()
    assert message(tmp_path, "a.parquet", content) == (
        "a.parquet, column title: holds Duration(time_unit='us'). Convert it to text or numbers."
    )


def test_parquet_damage_on_which_polars_panics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*arguments: object) -> None:
        raise pl.exceptions.PanicException("called unwrap\non an Err")

    monkeypatch.setattr(pl, "read_parquet", panic)
    assert message(tmp_path, "a.parquet", b"PAR1") == (
        "a.parquet: not a Parquet file, or damaged: called unwrap. Write or fetch the file again."
    )


def test_a_path_too_long_for_a_file_system_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^x+: not found; looked for "):
        ReadContext(root=tmp_path).find("x" * 5000)
