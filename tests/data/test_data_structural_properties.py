"""Whatever is in a file, a reader gives a data set or an error of ours with a message, never a traceback."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broken_files import anything, broken, table
from prodmatch_core.data import amazon_metadata, edges, events, folder, groups
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describe import describe, render
from prodmatch_core.data.events_config import (
    CriteoConfig,
    CriteoDisplayConfig,
    EventsConfig,
    TalkingDataConfig,
)
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.folder_config import FolderConfig
from prodmatch_core.data.graph_config import AmazonMetadataConfig, CiteseerConfig, EdgesConfig, ProductsFile
from prodmatch_core.data.groups_config import GroupsConfig, ShopeeConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.errors import ProdmatchError

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


CSR = {
    "adj_data": np.ones(3, np.float32),
    "adj_indices": np.array([1, 2, 0], np.int32),
    "adj_indptr": np.array([0, 2, 3, 3], np.int32),
    "adj_shape": np.array([3, 3]),
    "attr_data": np.ones(2, np.float32),
    "attr_indices": np.array([4, 1], np.int32),
    "attr_indptr": np.array([0, 1, 2, 2], np.int32),
    "attr_shape": np.array([3, 5]),
    "labels": np.array([0, 1, 1], np.int8),
    "node_names": np.array(["a", "b", "c"]),
    "class_names": np.array(["x", "y"]),
}
CRITEO = "".join(
    f"{t}\t{end}\t" + "\t".join(map(str, range(8))) + "\t" + "\t".join("abcdefghi") + "\n"
    for t, end in ((0, ""), (5, 90), (9, ""))
)
DISPLAY = ["Id", "Label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
AMAZON = "\n".join(
    json.dumps(
        {
            "asin": asin,
            "title": "<b>A</b> &amp; b",
            "brand": "x",
            "category": ["M", "N"],
            "description": ["d<br>", ""],
            "feature": [],
            "also_buy": ["B", "C"],
            "also_view": ["A"],
            "price": "$1,200.50",
        }
    )
    for asin in "AB"
)
EVENTS = EventsConfig(path="f.csv", categorical=("kind",), numeric=("size",))

Reader = Callable[[Any, ReadContext], Dataset]
FILES: dict[str, tuple[Reader, Any, bytes]] = {
    "groups": (groups.read, GroupsConfig(path="f.csv"), b"item_id,group,title,split\n1,a,tv,train\n2,a,t,train\n3,b,x,test\n"),
    "groups-jsonl": (groups.read, GroupsConfig(path="f.jsonl"), b'{"group":"a","title":"x"}\n{"group":"a","title":"y"}\n'),
    "shopee": (
        groups.read_shopee,
        ShopeeConfig(path="f.csv"),
        b"posting_id,image,image_phash,title,label_group\n1,a,b,Caf\\xc3\\xa9,7\n2,a,b,x,7\n",
    ),
    "edges-csv": (
        edges.read,
        EdgesConfig(path="f.csv"),
        b"source,target,relation,count,at\na,b,view,2,2020-01-01\na,a,view,1,2020-01-01T10:00:00Z\nb,a,buy,3,1e9\n",
    ),
    "edges-snap": (edges.read, EdgesConfig(path="f.txt"), b"# a comment\n1\t2\n2 3\n\n3\t1\n"),
    "edges-npz": (edges.read, EdgesConfig(path="f.npz"), npz(**CSR)),
    "citeseer": (edges.read_citeseer, CiteseerConfig(path="f.npz"), npz(**CSR)),
    "amazon": (amazon_metadata.read, AmazonMetadataConfig(path="f.json"), AMAZON.encode()),
    "criteo": (events.read_criteo, CriteoConfig(path="f.txt"), CRITEO.encode()),
    "criteo-display": (
        events.read_criteo_display,
        CriteoDisplayConfig(path="f.csv"),
        (",".join(DISPLAY) + "\n" + "".join(f"{n},{n % 2}," + "3," * 13 + "ab," * 25 + "cd\n" for n in range(3))).encode(),
    ),
    "talkingdata": (
        events.read_talkingdata,
        TalkingDataConfig(path="f.csv"),
        b"ip,app,device,os,channel,click_time,attributed_time,is_attributed\n"
        b"1,2,1,13,4,2017-11-07 9:30,,0\n1,2,1,13,4,2017-11-07 9:30:15,2017-11-07 10:02:03,1\n",
    ),
    "events": (
        events.read,
        EVENTS,
        b"shown_at,converted_at,kind,size\n2020-01-01,,a,1\n1e9,1000000005,b,\n2020-01-01T10:00:00+02:00,,,2.5\n",
    ),
}  # fmt: skip


def outcome(reader: Reader, config: Any, content: bytes, skip: bool) -> Dataset | str:
    """Read `content`; whatever is neither a data set nor an error of ours escapes and fails the test."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / config.path).write_bytes(content)
        dataset: Dataset | None = None
        message = ""
        try:
            dataset = reader(config, ReadContext(root=Path(place), skip_bad_rows=skip))
        except ProdmatchError as error:
            message = str(error)
    if dataset is None:
        assert config.path in message or "edges.txt" in message
        return message
    check_references(dataset)
    assert any(table.height for _, table in dataset.tables())
    return dataset


@pytest.mark.parametrize("name", FILES)
def test_the_good_file_is_read(name: str) -> None:
    reader, config, content = FILES[name]
    assert isinstance(outcome(reader, config, content, False), Dataset)


@pytest.mark.parametrize("name", FILES)
def test_the_folder_of_what_was_read_gives_it_back(name: str, tmp_path: Path) -> None:
    reader, config, content = FILES[name]
    dataset = outcome(reader, config, content, False)
    assert isinstance(dataset, Dataset)
    write_folder(dataset, tmp_path / "out")
    again = folder.read(FolderConfig(path="out"), ReadContext(root=tmp_path))
    assert again.fingerprint() == dataset.fingerprint()
    assert render(describe(again)) == render(describe(dataset))


@pytest.mark.parametrize("name", FILES)
@quick
@given(data=st.data(), skip=st.booleans())
def test_any_bytes_give_a_data_set_or_an_error_with_a_message(
    name: str, data: st.DataObject, skip: bool
) -> None:
    reader, config, content = FILES[name]
    outcome(reader, config, data.draw(broken(content)), skip)


WORD = anything("a", "b", "c", " a", "")
TIME = anything(
    "2020-01-01",
    "2020-02-30",
    "2019-12-31 23:59:60",
    "0",
    "-1",
    "1e400",
    "nan",
    "99999999999999",
    "",
    "2020-01-01T00:00:00+99:99",
)
NUMBER = anything("1", "0", "-1", "1e400", "nan", "inf", "", "0x1", "1_000", "٣")


@quick
@given(
    content=table(
        {"item_id": WORD, "group": WORD, "title": WORD, "split": anything("train", "test", "Dev", "")}
    ),
    skip=st.booleans(),
)
def test_any_cells_of_groups(content: bytes, skip: bool) -> None:
    result = outcome(groups.read, GroupsConfig(path="f.csv"), content, skip)
    if isinstance(result, Dataset):
        assert result.groups is not None
        assert result.groups.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1


@quick
@given(
    content=table({"source": WORD, "target": WORD, "relation": WORD, "count": NUMBER, "at": TIME}),
    skip=st.booleans(),
    loops=st.sampled_from(("keep", "drop")),
)
def test_any_cells_of_edges_cycles_loops_and_repetitions_among_them(
    content: bytes, skip: bool, loops: str
) -> None:
    result = outcome(edges.read, EdgesConfig(path="f.csv", self_loops=loops), content, skip)
    if isinstance(result, Dataset):
        assert result.engagements is not None
        assert (result.engagements["count"] > 0).all()
        assert not result.engagements.select("src", "relation", "dst").is_duplicated().any()
        assert loops == "keep" or (result.engagements["src"] != result.engagements["dst"]).all()


@quick
@given(
    content=table(
        {
            "event_id": anything("1", "2", "3", "4", ""),
            "shown_at": TIME,
            "engaged_at": TIME,
            "converted_at": TIME,
            "kind": WORD,
            "size": NUMBER,
        }
    ),
    skip=st.booleans(),
)
def test_any_cells_of_events(content: bytes, skip: bool) -> None:
    result = outcome(events.read, EVENTS, content, skip)
    if isinstance(result, Dataset):
        assert result.events is not None
        assert result.events.schema["kind"] == pl.String
        assert result.events.schema["size"] == pl.Float64
        assert (result.events["converted_at"] >= result.events["shown_at"]).fill_null(True).all()


VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(("A", "B", "C"))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
FIELDS = (
    "asin",
    "title",
    "brand",
    "category",
    "description",
    "feature",
    "also_buy",
    "also_view",
    "price",
    "main_cat",
)


@quick
@given(rows=st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUE), max_size=4), skip=st.booleans())
def test_any_json_of_amazon_metadata(rows: list[dict[str, Any]], skip: bool) -> None:
    good = [json.loads(line) for line in AMAZON.splitlines()]
    content = "\n".join(json.dumps({**good[n % 2], **row}) for n, row in enumerate(rows)).encode()
    outcome(amazon_metadata.read, AmazonMetadataConfig(path="f.json"), content, skip)


ARRAY = st.one_of(
    st.lists(st.integers(-2, 6), max_size=6).map(np.array),
    st.lists(st.integers(0, 4), max_size=6).map(lambda v: np.array(v, np.uint64)),
    st.lists(st.floats(), max_size=5).map(lambda v: np.array(v, np.float64)),
    st.lists(st.text(max_size=3), min_size=3, max_size=3).map(lambda v: np.array(v, dtype="U3")),
    st.just(np.array([2**62, 2**62])),
    st.just(np.zeros((2, 2))),
    st.just(np.array(5)),
    st.just(np.array([{"a": 1}, None], dtype=object)),
    st.just(np.array(["2020-01-01"], dtype="M8[D]")),
    st.just(np.array([1j])),
)


@quick
@given(
    changed=st.dictionaries(st.sampled_from(sorted(CSR)), ARRAY, min_size=1, max_size=2),
    gone=st.sets(st.sampled_from(sorted(CSR)), max_size=2),
)
def test_any_arrays_of_a_graph(changed: dict[str, np.ndarray], gone: set[str]) -> None:
    arrays = {name: array for name, array in {**CSR, **changed}.items() if name not in gone}
    outcome(edges.read_citeseer, CiteseerConfig(path="f.npz"), npz(**arrays), False)


PARQUET = st.sampled_from(
    [
        pl.Series([1, 2, 3]), pl.Series(["a", "b", None]), pl.Series([1.5, None, float("nan")]), pl.Series([b"x", b"y", None]),
        pl.Series([[1], [2, 3], None]), pl.Series([{"a": 1}] * 3), pl.Series([True, False, None]),
        pl.Series([1, 2, None]).cast(pl.Datetime("ms", "Europe/Berlin")), pl.Series([1, 2, 3]).cast(pl.Date), pl.Series([1, 2, 3]).cast(pl.Duration("us")),
        pl.Series([1, 2, 3]).cast(pl.Time), pl.Series(["a", "b", "a"], dtype=pl.Categorical), pl.Series([None] * 3, dtype=pl.Null),
        pl.Series([[["x"]], None, None]), pl.Series([1, 2, 3]).cast(pl.Decimal(10, 2)),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "config", "columns"),
    [
        (groups.read, GroupsConfig(path="f.parquet"), ("item_id", "group", "title", "split")),
        (edges.read, EdgesConfig(path="f.parquet"), ("source", "target", "count", "at")),
        (
            events.read,
            EventsConfig(path="f.parquet", categorical=("kind",), numeric=("size",)),
            ("shown_at", "converted_at", "kind", "size"),
        ),
    ],
    ids=["groups", "edges", "events"],
)
@quick
@given(data=st.data(), skip=st.booleans())
def test_any_types_of_parquet_columns(
    reader: Reader, config: Any, columns: tuple[str, ...], data: st.DataObject, skip: bool
) -> None:
    stream = io.BytesIO()
    pl.DataFrame([data.draw(PARQUET).alias(name) for name in columns]).write_parquet(stream)
    outcome(reader, config, stream.getvalue(), skip)


@quick
@given(
    content=broken(b"product_id,title,locale\na,tv,en\nb,,\n"),
    skip=st.booleans(),
    unknown=st.sampled_from(("keep", "drop")),
)
def test_any_bytes_of_a_products_file(content: bytes, skip: bool, unknown: str) -> None:
    def reader(config: Any, context: ReadContext) -> Dataset:
        assert context.root is not None
        (context.root / "edges.txt").write_text("a b\nb c\na a\n")
        return edges.read(EdgesConfig(path="edges.txt", unknown=unknown, products=config), context)

    outcome(reader, ProductsFile(path="f.csv"), content, skip)
