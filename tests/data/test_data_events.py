from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.events import read, read_criteo, read_criteo_display, read_talkingdata
from prodmatch_core.data.events_config import (
    CriteoConfig,
    CriteoDisplayConfig,
    EventColumns,
    EventsConfig,
    TalkingDataConfig,
)
from prodmatch_core.data.graph_config import ProductsFile
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.times import parse_times
from prodmatch_core.errors import DataError

FILE = "shown_at,converted_at,kind,size\n2020-01-01,2020-01-02 03:04:05,a,1\n2020-01-01T00:00:01Z,,01,\n"
FEATURES = {"categorical": ("kind",), "numeric": ("size",)}


def events_of(folder: Path, content: str, skip: bool = False, **options: Any) -> Dataset:
    (folder / "a.csv").write_text(content)
    return read(EventsConfig(path="a.csv", **options), ReadContext(root=folder, skip_bad_rows=skip))


def message(folder: Path, content: str, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        events_of(folder, content, **options)
    return str(error.value).replace(f"{folder}/", "")


def test_features_are_text_or_numbers(tmp_path: Path) -> None:
    events = events_of(tmp_path, FILE, **FEATURES).events
    assert events is not None
    assert events.rows() == [
        ("e1", None, None, dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2, 3, 4, 5), "a", 1.0),
        ("e2", None, None, dt.datetime(2020, 1, 1, 0, 0, 1), None, "01", None),
    ]
    assert events.schema["kind"] == pl.String
    assert events.schema["size"] == pl.Float64


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-11-07 9:30", dt.datetime(2017, 11, 7, 9, 30)),
        ("2017-11-07 09:30:38", dt.datetime(2017, 11, 7, 9, 30, 38)),
        ("2017-11-07T09:30:38.25+02:00", dt.datetime(2017, 11, 7, 7, 30, 38, 250_000)),
        ("2017-11-07T09:30Z", dt.datetime(2017, 11, 7, 9, 30)),
        ("1510047038", dt.datetime(2017, 11, 7, 9, 30, 38)),
        ("0.5", dt.datetime(1970, 1, 1, 0, 0, 0, 500_000)),
        ("2017-02-30", None),
        ("2017-11-07 25:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("1e300", None),
        ("nan", None),
        ("yesterday", None),
    ],
)
def test_times_are_iso_or_seconds(text: str, moment: dt.datetime | None) -> None:
    assert parse_times(pl.Series([text, None])).to_list() == [moment, None]


@pytest.mark.parametrize(
    ("unit", "value"), [("seconds", "60"), ("milliseconds", "60000"), ("microseconds", "6e7")]
)
def test_units_of_times(unit: str, value: str) -> None:
    assert parse_times(pl.Series([value]), unit).to_list() == [dt.datetime(1970, 1, 1, 0, 1)]


def test_a_conversion_before_it_was_shown(tmp_path: Path) -> None:
    assert message(tmp_path, "shown_at,converted_at\n2020-01-02,2020-01-01\n") == (
        "a.csv, row 2, column converted_at: 2020-01-01 is before 2020-01-02, when it was shown. Correct it, "
        "or pass --skip-bad-rows to leave such rows out."
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",,a,1", "shown_at: the time is empty. Fill it"),
        ("soon,,a,1", 'shown_at: "soon" is neither an ISO date and time nor a number of seconds. Correct it'),
        ("1,,a,big", 'size: "big" is not a number. Correct it'),
    ],
)
def test_cells_of_events_that_cannot_be_used(tmp_path: Path, row: str, said: str) -> None:
    assert message(tmp_path, f"shown_at,converted_at,kind,size\n1,2,a,1\n{row}\n", **FEATURES) == (
        f"a.csv, row 3, column {said}, or pass --skip-bad-rows to leave such rows out."
    )


def test_a_repeated_event(tmp_path: Path) -> None:
    assert message(tmp_path, "event_id,shown_at,converted_at\n7,1,\n8,1,\n7,1,\n") == (
        "a.csv, row 4, column event_id: 7 is there already, in row 2. Keep one row for each, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_missing_columns_and_features(tmp_path: Path) -> None:
    assert message(tmp_path, "shown,converted_at\n1,\n") == (
        'a.csv: no column "shown_at" (did you mean "shown"?). The file has shown, converted_at. Say which column holds what, e.g. '
        'columns.shown_at = "click_time", or name the columns with header = [...].'
    )
    assert message(tmp_path, "shown_at,converted_at\n1,\n", numeric=("size",)).startswith(
        'a.csv: no column "size"'
    )


def test_products_of_events_that_no_row_has_are_kept(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("product_id,title\na,tv\n")
    dataset = events_of(
        tmp_path, "shown_at,converted_at,product_id\n1,,a\n2,,b\n", products=ProductsFile(path="p.csv")
    )
    assert dataset.products is not None
    assert dataset.products.rows() == [("a", "en", "tv"), ("b", "en", None)]
    assert dataset.notes == ("products of events that have no product row: 1 (kept)",)


def test_a_file_without_conversions_can_say_so(tmp_path: Path) -> None:
    events = events_of(tmp_path, "shown_at\n1\n", columns=EventColumns(converted_at="")).events
    assert events is not None
    assert "converted_at" not in events.columns


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"categorical": ("a",), "numeric": ("a",)}, "expected each feature once in categorical or numeric, got a again"),
        ({"numeric": ("shown_at",)}, 'expected names of features, got "shown_at"'),
        ({"header": ("a", "a")}, "expected different names without white space, commas and quotes"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EventsConfig(path="a.csv", **options)


def criteo(click: int, conversion: str, first: str = "") -> str:
    return "\t".join([str(click), conversion, first, *"1234567", *"abcdefgh", ""]) + "\n"


def test_criteo_is_read_without_header(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text(criteo(0, "") + criteo(10, "3610", "-1") + criteo(20, ""))
    events = read_criteo(CriteoConfig(path="data.txt"), ReadContext(root=tmp_path)).events
    assert events is not None
    assert events.height == 3
    assert (events["converted_at"] - events["shown_at"]).to_list() == [None, dt.timedelta(hours=1), None]
    assert events["integer_1"].to_list() == [None, -1.0, None]
    assert events.row(0)[-8:] == (None, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert events["category_8"].to_list() == ["h"] * 3
    assert events["category_9"].null_count() == 3


def test_criteo_reads_the_first_rows_only_where_asked(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text(criteo(0, "") * 5)
    events = read_criteo(CriteoConfig(path="data.txt", rows=2), ReadContext(root=tmp_path)).events
    assert events is not None
    assert events.height == 2


def test_criteo_rows_are_numbered_from_the_first(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text(criteo(0, "") + criteo(5, "4"))
    with pytest.raises(DataError, match="row 2, column converted_at: 4 is before 5, when it was shown"):
        read_criteo(CriteoConfig(path="data.txt"), ReadContext(root=tmp_path))


@pytest.mark.parametrize("separator", [",", "\t"], ids=["csv with header", "tsv without"])
def test_criteo_display_rows_stand_evenly_over_the_days(tmp_path: Path, separator: str) -> None:
    names = ["Label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
    rows = [[str(label), *["3"] * 13, *["ab"] * 26] for label in (0, 1)]
    lines = [names, *rows] if separator == "," else rows
    path = "a.csv" if separator == "," else "a.txt"
    (tmp_path / path).write_text("".join(separator.join(line) + "\n" for line in lines))
    events = read_criteo_display(CriteoDisplayConfig(path=path, days=2), ReadContext(root=tmp_path)).events
    assert events is not None
    assert events["shown_at"].to_list() == [dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 2)]
    assert events["converted_at"].to_list() == [None, dt.datetime(1970, 1, 2)]
    assert (events["I13"].to_list(), events["C26"].to_list()) == ([3.0, 3.0], ["ab", "ab"])


def test_criteo_display_names_the_row_of_a_label_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join("\t".join([label, *["3"] * 39]) + "\n" for label in "0x"))
    with pytest.raises(DataError, match='row 2, column Label: "x" is neither 0 nor 1'):
        read_criteo_display(CriteoDisplayConfig(path="a.txt"), ReadContext(root=tmp_path))


@pytest.fixture(scope="module")
def real() -> Path:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    return Path(root)


@pytest.mark.real
def test_real_talkingdata_counts(real: Path) -> None:
    events = read_talkingdata(TalkingDataConfig(), ReadContext(root=real)).events
    assert events is not None
    assert (events.height, events["converted_at"].count()) == (100_000, 227)
    assert events.columns[3:] == ["shown_at", "converted_at", "ip", "app", "device", "os", "channel"]
    delay = (events["converted_at"] - events["shown_at"]).dt.total_minutes().drop_nulls()
    assert delay.min() == 0
    assert events["shown_at"].min() == dt.datetime(2017, 11, 6, 16, 0)


@pytest.mark.real
def test_real_criteo_display_counts(real: Path) -> None:
    events = read_criteo_display(CriteoDisplayConfig(), ReadContext(root=real)).events
    assert events is not None
    assert (events.height, events["converted_at"].count()) == (1_999, 418)
    assert sum(dtype == pl.Float64 for dtype in events.dtypes) == 13
    assert sum(name.startswith("C") for name in events.columns) == 26
