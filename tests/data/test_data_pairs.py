from __future__ import annotations

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import read_table
from prodmatch_core.data.pairs import read
from prodmatch_core.data.pairs_config import Columns, PairsConfig, Scheme
from prodmatch_core.data.reading import ReadContext, SplitConfig

ROWS = [
    {"query": "tv", "title": "samsung, 40 inch", "label": 1, "brand": "Samsung", "relevance": 2.5},
    {"query": "tv", "title": "radio", "label": 0, "brand": None, "relevance": 1.0},
    {"query": "größe", "title": "schuh\ngröße", "label": 1, "brand": None, "relevance": 3.0},
]
LABELS = {"1": "match", "0": "mismatch"}


def encode(suffix: str) -> bytes:
    frame = pl.DataFrame(ROWS)
    buffer = io.BytesIO()
    if suffix == "parquet":
        frame.write_parquet(buffer)
    elif suffix == "jsonl":
        buffer.write("\n".join(json.dumps(row) for row in ROWS).encode())
    else:
        frame.write_csv(buffer, separator="\t" if suffix == "tsv" else ",")
    return buffer.getvalue()


def read_text(folder: Path, text: str, name: str = "a.csv", **options: object) -> Dataset:
    (folder / name).write_bytes(text.encode())
    return read(PairsConfig(path=name, **options), ReadContext(root=folder))


def labels_of(dataset: Dataset) -> list[tuple[str, str, str]]:
    assert dataset.judgements is not None
    assert dataset.queries is not None
    assert dataset.products is not None
    joined = dataset.judgements.join(dataset.queries, on="query_id").join(
        dataset.products, on=["product_id", "locale"]
    )
    return sorted(joined.select("text", "title", "label").rows())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_reads_to_the_same_data_set(tmp_path: Path, suffix: str, zipped: bool) -> None:
    content = encode(suffix)
    name = f"a.{suffix}.gz" if zipped else f"a.{suffix}"
    (tmp_path / name).write_bytes(gzip.compress(content) if zipped else content)
    (tmp_path / "a.csv").write_bytes(encode("csv"))
    context = ReadContext(root=tmp_path)
    found = read(PairsConfig(path=name, labels=LABELS), context)
    assert found.fingerprint() == read(PairsConfig(path="a.csv", labels=LABELS), context).fingerprint()
    assert labels_of(found) == [
        ("größe", "schuh\ngröße", "match"),
        ("tv", "radio", "mismatch"),
        ("tv", "samsung, 40 inch", "match"),
    ]


def test_the_format_may_be_named_where_the_file_name_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(encode("tsv"))
    config = PairsConfig(path="a.dat", format="tsv", labels=LABELS)
    assert len(labels_of(read(config, ReadContext(root=tmp_path)))) == 3


def test_a_csv_file_separated_by_tabs_is_recognised(tmp_path: Path) -> None:
    assert (
        labels_of(read_text(tmp_path, "query\ttitle\tlabel\ntv\ta, b\tmatch\ntv\tc\tmismatch\n"))[0][1]
        == "a, b"
    )


def test_iso_8859_1_is_read_as_such(tmp_path: Path) -> None:
    text = "query,title,label\ntv,café,match\ntv,b,mismatch\n"
    (tmp_path / "a.csv").write_bytes(text.encode("ISO-8859-1"))
    config = PairsConfig(path="a.csv", encoding="ISO-8859-1")
    assert ("tv", "café", "match") in labels_of(read(config, ReadContext(root=tmp_path)))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path, name: str) -> None:
    text = encode(name.rpartition(".")[2]).decode()
    assert len(labels_of(read_text(tmp_path, "\ufeff" + text, name, labels=LABELS))) == 3


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(tmp_path: Path, newline: str) -> None:
    text = newline.join(["query,title,label", "tv,a,match", "tv,b,mismatch", ""])
    assert labels_of(read_text(tmp_path, text)) == [("tv", "a", "match"), ("tv", "b", "mismatch")]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert len(labels_of(read_text(tmp_path, "query,title,label\ntv,a,match\n\ntv,b,mismatch\n\n"))) == 2


def test_inch_marks_in_unquoted_fields_are_text(tmp_path: Path) -> None:
    text = 'query,title,label\n17" tv,17" samsung,match\n17" tv,b,mismatch\n'
    assert labels_of(read_text(tmp_path, text))[0] == ('17" tv', '17" samsung', "match")


def test_without_a_quote_character_a_field_may_begin_with_a_quote(tmp_path: Path) -> None:
    text = 'query\ttitle\tlabel\ntv\t"best" tv\tmatch\ntv\tb\tmismatch\n'
    assert labels_of(read_text(tmp_path, text, "a.tsv", quote=""))[0] == ("tv", '"best" tv', "match")


def test_lists_in_json_become_one_element_a_line(tmp_path: Path) -> None:
    rows = [
        {"query": "tv", "title": t, "label": lab, "bullets": ["x", "y"]}
        for t, lab in (("a", "match"), ("b", "mismatch"))
    ]
    dataset = read_text(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert dataset.products is not None
    assert dataset.products["bullets"].to_list() == ["x\ny", "x\ny"]


def test_numbers_as_identifiers_lose_no_digit_and_gain_no_point(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "query": ["a", "b"],
            "title": ["x", "y"],
            "label": [1.0, 0.0],
            "query_id": [1.0, 2.0],
            "product_id": [10**17, 2],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    dataset = read(PairsConfig(path="a.parquet", labels=LABELS), ReadContext(root=tmp_path))
    assert dataset.judgements is not None
    assert dataset.judgements["query_id"].to_list() == ["1", "2"]
    assert dataset.judgements["product_id"].to_list() == ["100000000000000000", "2"]


def test_a_label_written_as_another_number_is_the_same_label(tmp_path: Path) -> None:
    text = "query,title,label\ntv,a,1.0\ntv,b, 0\n"
    assert [label for *_, label in labels_of(read_text(tmp_path, text, labels=LABELS))] == [
        "match",
        "mismatch",
    ]


def test_thresholds_bin_numbers_with_the_bound_in_the_better_label(tmp_path: Path) -> None:
    text = "query,title,label\n" + "".join(f"q,{x},{x}\n" for x in (1, 1.67, 2, 2.33, 2.5, 2.67, 3))
    scheme = Scheme(labels=("high", "mid", "low"))
    dataset = read_text(tmp_path, text, thresholds={"high": 2.67, "mid": 2.0}, scheme=scheme)
    assert {title: label for _, title, label in labels_of(dataset)} == {
        "1": "low", "1.67": "low", "2": "mid", "2.33": "mid", "2.5": "mid", "2.67": "high", "3": "high",
    }  # fmt: skip


def test_gains_and_positive_labels_have_defaults(tmp_path: Path) -> None:
    scheme = Scheme(labels=("a", "b", "c"))
    found = read_text(tmp_path, "query,title,label\nq,x,a\nq,y,c\n", scheme=scheme).scheme
    assert found is not None
    assert (found.gains, found.positive) == ((2.0, 1.0, 0.0), ("a",))


def test_rows_that_say_the_same_are_merged_and_counted(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, "query,title,label\nq,x,match\nq,x,match\nq,x,match\nq,y,mismatch\n")
    assert len(labels_of(dataset)) == 2
    assert dataset.notes == ("rows merged because they repeat a query, product and label: 2",)


@pytest.mark.parametrize(
    ("found", "label"),
    [
        (["match", "mismatch", "match"], "match"),
        (["match", "mismatch"], "mismatch"),
        (["mismatch", "match"], "mismatch"),
    ],
)
def test_contradicting_words_are_settled_by_majority_and_a_tie_by_the_worse(
    tmp_path: Path, found: list[str], label: str
) -> None:
    dataset = read_text(
        tmp_path, "query,title,label\nq,y,match\n" + "".join(f"q,x,{word}\n" for word in found)
    )
    assert labels_of(dataset)[0] == ("q", "x", label)
    assert dataset.notes == (
        "pairs of query and product with different labels: 1 (the majority decides, in a tie the worse label)",
    )


def test_contradicting_numbers_are_settled_by_their_mean(tmp_path: Path) -> None:
    rows = "q,x,1\nq,x,3\nq,x,2.5\nq,y,1\nq,y,2.5\n"
    dataset = read_text(tmp_path, "query,title,label\n" + rows, thresholds={"match": 2.0})
    assert labels_of(dataset) == [("q", "x", "match"), ("q", "y", "mismatch")]


@pytest.mark.parametrize("number", ["2.67", "0.33333333333333"])
def test_numbers_that_agree_keep_their_label_whatever_rounding_does_to_the_mean(
    tmp_path: Path, number: str
) -> None:
    text = "query,title,label\n" + f"q,x,{number}\n" * 3 + "q,y,0\n"
    dataset = read_text(tmp_path, text, thresholds={"match": float(number)})
    assert labels_of(dataset)[0] == ("q", "x", "match")


def test_weight_and_spread_of_merged_rows_are_averaged(tmp_path: Path) -> None:
    text = "query,title,label,weight,spread\nq,x,match,1,0.5\nq,x,match,3,\nq,y,mismatch,,\n"
    judgements = read_text(tmp_path, text).judgements
    assert judgements is not None
    assert judgements.select("weight", "spread").rows() == [(2.0, 0.5), (1.0, None)]


def test_products_of_one_title_and_other_texts_stay_apart(tmp_path: Path) -> None:
    text = "query,title,label,description\nq,x,match,one\nq,x,mismatch,two\n"
    dataset = read_text(tmp_path, text)
    assert dataset.products is not None
    assert dataset.products["description"].to_list() == ["one", "two"]


def test_a_product_id_with_two_titles_keeps_the_first_and_says_so(tmp_path: Path) -> None:
    text = "query,title,label,product_id\nq,x,match,1\nr,y,mismatch,1\n"
    dataset = read_text(tmp_path, text)
    assert dataset.products is not None
    assert dataset.products["title"].to_list() == ["x"]
    assert "products with more than one title, of which the first is kept: 1" in dataset.notes


def test_an_empty_column_name_ignores_a_column_of_the_same_name(tmp_path: Path) -> None:
    text = "query,title,label,brand\nq,x,match,A\nq,x,match,B\nq,y,mismatch,\n"
    dataset = read_text(tmp_path, text, columns=Columns(brand=""))
    assert dataset.products is not None
    assert dataset.products.columns == ["product_id", "locale", "title"]


def test_rows_without_a_locale_get_the_default(tmp_path: Path) -> None:
    text = "query,title,label,locale\nq,x,match,es\nq,y,mismatch,\n"
    dataset = read_text(tmp_path, text, locale="us")
    assert dataset.queries is not None
    assert dataset.queries["locale"].to_list() == ["es", "us"]


def test_derived_identifiers_do_not_depend_on_the_file_around_them(tmp_path: Path) -> None:
    first = read_text(tmp_path, "query,title,label\ntv,a,match\ntv,b,mismatch\n").judgements
    second = read_text(tmp_path, "query,title,label\nx,y,mismatch\ntv,b,mismatch\ntv,a,match\n").judgements
    assert first is not None
    assert second is not None
    assert set(first.select("query_id", "product_id").rows()) < set(
        second.select("query_id", "product_id").rows()
    )


def test_a_known_identifier_never_changes(tmp_path: Path) -> None:
    judgements = read_text(tmp_path, "query,title,label\ntv,a,match\ntv,b,mismatch\n").judgements
    assert judgements is not None
    assert judgements.row(0)[:2] == ("qab2f58f9d1c11132e9b1", "peb1fc979bd34e716e325")


def test_splits_of_the_file_are_kept_and_valid_is_cut_from_train(tmp_path: Path) -> None:
    rows = [(f"q{i}", "training" if i < 40 else "Test") for i in range(50)]
    text = "query,title,label,split\n" + "".join(f"{q},x,match,{s}\n{q},y,mismatch,{s}\n" for q, s in rows)
    judgements = read_text(tmp_path, text).judgements
    assert judgements is not None
    counts = dict(judgements.group_by("split").agg(pl.col("query_id").n_unique()).iter_rows())
    assert counts == {"train": 36, "valid": 4, "test": 10}


def test_splits_can_be_made_anew(tmp_path: Path) -> None:
    text = "query,title,label,split\n" + "".join(
        f"q{i},x,{'match' if i % 2 else 'mismatch'},train\n" for i in range(10)
    )
    dataset = read_text(tmp_path, text, columns=Columns(split=""))
    assert dataset.judgements is not None
    assert dataset.judgements["split"].value_counts().sort("split").rows() == [
        ("test", 2),
        ("train", 7),
        ("valid", 1),
    ]


def test_a_text_in_two_given_splits_under_two_ids_is_kept_and_counted(tmp_path: Path) -> None:
    text = (
        "query_id,query,title,label,split\n1,TV,a,match,train\n2, tv ,a,mismatch,test\n3,pc,b,match,valid\n"
    )
    notes = read_text(tmp_path, text).notes
    assert notes == (
        "query texts in more than one split: 1 (measures on test are too good)",
        "pairs of query and title in more than one split: 1 (measures on test are too good)",
        "product titles in more than one split: 1 (for information)",
    )


def test_the_seed_of_the_split_is_used(tmp_path: Path) -> None:
    text = "query,title,label\n" + "".join(f"q{i},x,match\nq{i},y,mismatch\n" for i in range(50))
    (tmp_path / "a.csv").write_text(text)
    splits = [
        read(PairsConfig(path="a.csv"), ReadContext(root=tmp_path, split=SplitConfig(seed=seed))).judgements
        for seed in (0, 0, 1)
    ]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])


def test_the_configuration_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, prodmatch_core.data.pairs_config, prodmatch_core.data.folder_config\n"
        "print(sorted({'polars', 'numpy', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


cells = st.text(st.sampled_from("ab \",\n\t\r'é"), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6), separator=st.sampled_from(",\t")
)
def test_any_text_survives_writing_and_reading_as_csv(
    rows: list[tuple[str, str, str]], separator: str
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\r\n")
    writer.writerow(["x", "y", "z"])
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.tsv" if separator == "\t" else "a.csv")
        path.write_bytes(buffer.getvalue().encode())
        table = read_table(path, "auto", "utf-8", '"', BadRows(path, skip=False))
    assert [tuple(cell or "" for cell in row) for row in table.frame.iter_rows()] == rows
    lines = [1 + sum(len(re.findall("\r\n|\r|\n", cell)) for cell in row) for row in rows]
    assert list(table.row_numbers()) == [2 + sum(lines[:index]) for index in range(len(rows))]


@settings(max_examples=200, deadline=None)
@given(line=st.text(st.sampled_from('ab", \t'), max_size=10))
def test_one_broken_line_costs_no_other_row(line: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_text(f"x,y\n1,2\n{line}\n3,4\n", newline="")
        bad = BadRows(path, skip=True)
        table = read_table(path, "auto", "utf-8", '"', bad)
    records = dict(zip(table.row_numbers(), table.frame.rows(), strict=True))
    assert records[2] == ("1", "2")
    assert records[4] == ("3", "4")
    assert table.total == len(records) + len(bad)
