from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.amazon_metadata import clean, is_broken_title
from prodmatch_core.data.amazon_metadata import read as read_amazon
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.edges import read, read_citeseer
from prodmatch_core.data.graph_config import AmazonMetadataConfig, CiteseerConfig, EdgesConfig, ProductsFile
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.errors import DataError

CSR = {
    "adj_data": np.array([1.0, 2.0, 0.0], np.float32),
    "adj_indices": np.array([1, 2, 0], np.int32),
    "adj_indptr": np.array([0, 2, 3, 3], np.int32),
    "adj_shape": np.array([3, 3]),
}
WORDS = {
    "attr_data": np.ones(3, np.float32),
    "attr_indices": np.array([4, 1, 0], np.int32),
    "attr_indptr": np.array([0, 2, 3, 3], np.int32),
    "attr_shape": np.array([3, 5]),
}


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def graph(folder: Path, name: str, content: str | bytes, skip: bool = False, **options: Any) -> Dataset:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read(EdgesConfig(path=name, **options), ReadContext(root=folder, skip_bad_rows=skip))


def message(folder: Path, name: str, content: str | bytes, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        graph(folder, name, content, **options)
    return str(error.value).replace(f"{folder}/", "")


def edges_of(dataset: Dataset) -> list[tuple[Any, ...]]:
    assert dataset.engagements is not None
    assert set(dataset.engagements["src_kind"]) == set(dataset.engagements["dst_kind"]) == {"product"}
    return dataset.engagements.select("src", "relation", "dst", "count").rows()


def test_a_table_of_edges_merges_repetitions_and_drops_loops(tmp_path: Path) -> None:
    text = "source,target,relation,count,at\na,b,View,2,2020-01-02\nb,a,view,1,\na,b,view,3,2020-01-01\nc,c,view,1,\n"
    dataset = graph(tmp_path, "e.csv", text)
    assert edges_of(dataset) == [("a", "view", "b", 5.0), ("b", "view", "a", 1.0)]
    assert dataset.engagements is not None
    assert dataset.engagements["at"].to_list() == [dt.datetime(2020, 1, 2), None]
    assert dataset.products is not None
    assert dataset.products.rows() == [("a", "en", None), ("b", "en", None)]
    assert dataset.notes == (
        "edges from a product to itself: 1 (left out)",
        "edges merged because they repeat source, relation and target: 1 (counts added)",
    )


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gz"])
def test_a_snap_edge_list(tmp_path: Path, pack: Any) -> None:
    dataset = graph(tmp_path, "a.txt.gz", pack("# Nodes: 3\n# FromNodeId\tToNodeId\n0\t1\n1  2\r\n\n"))
    assert edges_of(dataset) == [("0", "related", "1", 1.0), ("1", "related", "2", 1.0)]


def test_a_snap_list_with_times(tmp_path: Path) -> None:
    dataset = graph(tmp_path, "a.txt", "1 2 86400\n", header=("source", "target", "at"), relation="cites")
    assert edges_of(dataset) == [("1", "cites", "2", 1.0)]
    assert dataset.engagements is not None
    assert dataset.engagements["at"][0] == dt.datetime(1970, 1, 2)


def test_a_snap_row_with_too_many_fields(tmp_path: Path) -> None:
    assert message(tmp_path, "a.txt", "# x\n1 2\n1 2 3\n") == (
        "a.txt, row 3: 3 fields where 2 are expected (source, target). Correct it, or name the columns, e.g. "
        'header = ["source", "target", "count"], or pass --skip-bad-rows to leave such rows out.'
    )


def test_a_csv_without_header_has_its_own_row_numbers(tmp_path: Path) -> None:
    assert message(tmp_path, "a.csv", "1,2\n1,\n", header=("source", "target")) == (
        "a.csv, row 2, column target: the identifier is empty. Fill it, "
        "or pass --skip-bad-rows to leave such rows out."
    )


@pytest.mark.parametrize(
    ("cell", "column", "said"),
    [
        ("0,", "count", "0 is not above 0"),
        ("x,", "count", '"x" is not a number'),
        ("1,soon", "at", '"soon" is neither an ISO date and time nor a number of seconds'),
    ],
)
def test_cells_of_edges_that_say_nothing(tmp_path: Path, cell: str, column: str, said: str) -> None:
    assert message(tmp_path, "a.csv", f"source,target,count,at\na,b,{cell}\n") == (
        f"a.csv, row 2, column {column}: {said}. Correct it, or pass --skip-bad-rows to leave such rows out."
    )


def test_nothing_but_loops(tmp_path: Path) -> None:
    assert message(tmp_path, "a.txt", "1 1\n") == (
        "a.txt: no edge between two products is left; there is nothing to learn. Edges from a product to itself: "
        "1 (left out). Check the columns of source and target, and that the file is whole."
    )


@pytest.mark.parametrize(("unknown", "products"), [("keep", ["a", "b", "z", "c"]), ("drop", ["a", "b", "z"])])
def test_products_of_a_file_cold_ones_too(tmp_path: Path, unknown: str, products: list[str]) -> None:
    (tmp_path / "p.csv").write_text("product_id,title,brand\na,tv,X\nb,,\nz,cold,\n")
    dataset = graph(tmp_path, "e.txt", "a b\nb c\n", products=ProductsFile(path="p.csv"), unknown=unknown)
    assert dataset.products is not None
    assert dataset.products["product_id"].to_list() == products
    assert dataset.products.row(0) == ("a", "en", "tv", "X")
    done = "kept, without texts" if unknown == "keep" else "left out"
    assert dataset.notes == (f"edges with an end that has no product row: 1 to 1 products ({done})",)


def test_a_product_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("product_id,title\na,tv\na,radio\n")
    assert message(tmp_path, "e.txt", "a b\n", products=ProductsFile(path="p.csv")) == (
        "p.csv, row 3, column product_id: a is there already, in row 2. Keep one row for each, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_arrays_become_edges_and_features_words(tmp_path: Path) -> None:
    names = {
        "node_names": np.array(["x", "y", "z"]),
        "labels": np.array([1, 0, 1]),
        "class_names": np.array(["A", "B"]),
    }
    dataset = graph(tmp_path, "g.npz", npz(**CSR, **WORDS, **names))
    assert edges_of(dataset) == [("x", "related", "y", 1.0), ("x", "related", "z", 2.0)]
    assert dataset.products is not None
    assert dataset.products["description"].to_list() == ["w1 w4", "w0", None]
    assert dataset.truth["classes"].rows() == [("x", "B"), ("y", "A"), ("z", "B")]
    assert dataset.notes == ("entries of adj_data that are 0, so no edges: 1",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"adj_indices": np.array([1, 3, 0])}, "adj_indices[1] is 3 where 0 to 2 is expected (entries like this: 1)"),
        ({"adj_indices": np.array([1, -1, 0])}, "adj_indices[1] is -1 where 0 to 2 is expected (entries like this: 1)"),
        ({"adj_indptr": np.array([0, 2, 1, 3])}, "adj_indptr does not rise from 0 to the 3 entries over 3 rows (adj_data has 3)"),
        ({"adj_shape": np.array([3, 4])}, "adj_shape is 3 x 4 where a graph has as many rows as columns"),
        ({"adj_data": np.array([1.0, np.nan, 1.0])}, "adj_data[1] is nan where a number above 0 is expected"),
        ({"node_names": np.array(["a", "a", "b"])}, "node_names has 3 names, 2 of them different, where the graph has 3 nodes, each with a name of its own"),
        ({"labels": np.array([1])}, "labels has 1 values where the graph has 3 nodes"),
        ({"adj_data": np.ones((3, 1))}, "adj_data.npy is float64 of shape (3, 1) where one row of numbers or texts is expected"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(tmp_path: Path, change: dict[str, np.ndarray], said: str) -> None:
    assert message(tmp_path, "g.npz", npz(**{**CSR, **change})) == (
        f"g.npz: {said}. Write the file again with numpy.savez."
    )


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    content = npz(**{**CSR, "labels": np.array([Bomb()], dtype=object)})
    assert message(tmp_path, "g.npz", content) == (
        "g.npz: labels.npy holds Python objects (a pickle), which are never loaded. Save it as an array of numbers or "
        "texts, e.g. with .astype(str)."
    )
    assert not (tmp_path / "executed").exists()


def test_a_missing_array(tmp_path: Path) -> None:
    content = npz(**{name: array for name, array in CSR.items() if name != "adj_indptr"})
    assert message(tmp_path, "g.npz", content) == (
        "g.npz: no array adj_indptr. The file has adj_data, adj_indices, adj_shape. Store the matrix as data, "
        "indices, indptr and shape of scipy's csr_matrix."
    )


def test_no_npz_file(tmp_path: Path) -> None:
    assert message(tmp_path, "g.npz", b"hello") == (
        "g.npz: not an npz file, or damaged: File is not a zip file. Write the file again with numpy.savez."
    )


def test_an_array_that_claims_more_than_is_there(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adj_data.npy", stream.getvalue())
    assert "adj_data.npy has 0 bytes where its header says (1000000000000,) of float64" in message(
        tmp_path, "g.npz", packed.getvalue()
    )


ROW = {"asin": "A", "title": "Vibe &amp; more", "category": ["Magazine Subscriptions", "Music", "Music"], "also_buy": ["B", "X"], "also_view": ["A", "B"]}  # fmt: skip


def amazon(folder: Path, *rows: dict[str, Any], skip: bool = False, **options: Any) -> Dataset:
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "meta_Toys.json.gz").write_bytes(gzip.compress(text.encode()))
    config = AmazonMetadataConfig(path="meta_Toys.json.gz", **options)
    return read_amazon(config, ReadContext(root=folder, skip_bad_rows=skip))


def test_amazon_metadata_becomes_a_graph_of_two_relations(tmp_path: Path) -> None:
    dataset = amazon(tmp_path, ROW, {"asin": "B", "title": "<span class=\"a", "price": "$1,200.50"}, {**ROW, "title": "again", "also_buy": ["B"]})  # fmt: skip
    assert edges_of(dataset) == [("A", "also_buy", "B", 1.0), ("A", "also_view", "B", 1.0)]
    assert dataset.products is not None
    assert dataset.products.select("product_id", "title", "bullets", "price").rows() == [
        ("A", "Vibe & more", "Music", None),
        ("B", None, None, 1200.5),
    ]
    assert dataset.notes == (
        "rows of products that are in the file already: 1 (first texts kept)",
        "titles that are pieces of HTML, script or the category's name, made null: 1",
        "products without any text: 1",
        "edges from a product to itself: 1 (left out)",
        "edges with an end that has no product row: 1 to 1 products (left out)",
    )


def test_amazon_keeps_unknown_products_where_asked(tmp_path: Path) -> None:
    dataset = amazon(tmp_path, ROW, unknown="keep", relations=("also_buy",))
    assert edges_of(dataset) == [("A", "also_buy", "B", 1.0), ("A", "also_buy", "X", 1.0)]
    assert dataset.products is not None
    assert dataset.products["product_id"].to_list() == ["A", "B", "X"]


def test_amazon_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    rows = (ROW, {**ROW, "also_buy": {"a": 1}}, {"title": "x"}, {"asin": "B"})
    with pytest.raises(
        DataError, match=r"row 2, column also_buy: \{'a': 1\} where a list of texts is expected"
    ):
        amazon(tmp_path, *rows)
    notes = amazon(tmp_path, *rows, skip=True).notes
    assert [note.replace(f"{tmp_path}/", "") for note in notes[:3]] == [
        "meta_Toys.json.gz: 2 of 4 rows skipped as bad",
        "skipped meta_Toys.json.gz, row 2, column also_buy: {'a': 1} where a list of texts is expected",
        "skipped meta_Toys.json.gz, row 3, column asin: the identifier is empty",
    ]


def test_html_is_taken_out_of_texts() -> None:
    texts = pl.Series(["a<br />b &eacute;&amp; <i>c</i>", "<script>x<1</script> ", None, "3 < 4"])
    assert clean(texts).to_list() == ["a b é& c", None, None, "3 < 4"]


@pytest.mark.parametrize(
    ("title", "broken"),
    [
        ('<span class="a-size-medium a-color-secondary"', True),
        ('Magazines" />', True),
        ("var aPageStart = (new Date()).getTime();", True),
        (".a-box-inner{background-color:#fff}", True),
        ("magazine subscriptions", True),
        ("Shape Magazine July {Jillian Michaels}", False),
        ("The 5 < 6 Function of Variables", False),
        ("TV Guide", False),
    ],
)
def test_broken_titles_are_told_from_titles(title: str, broken: bool) -> None:
    assert is_broken_title(pl.Series([title]), pl.Series(["Magazine Subscriptions"])).item() is broken


def test_a_folder_with_an_edge_to_nowhere_is_refused(tmp_path: Path) -> None:
    dataset = graph(tmp_path, "a.txt", "1 2\n")
    assert dataset.products is not None
    with pytest.raises(DataError) as error:
        check_references(attrs.evolve(dataset, products=dataset.products[:1]))
    assert str(error.value) == (
        "a.txt: table engagements, row 1: dst '2' is a product that no table has (rows like this: 1). Correct the "
        "table, or read the data set again from its source."
    )


@pytest.fixture(scope="module")
def real() -> Path:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    return Path(root)


@pytest.mark.real
def test_real_citeseer_counts(real: Path) -> None:
    dataset = read_citeseer(CiteseerConfig(), ReadContext(root=real))
    assert dataset.products is not None
    assert (dataset.products.height, len(edges_of(dataset))) == (3_312, 4_715)
    assert dataset.products["description"].str.split(" ").list.len().sum() == 105_165
    assert dataset.notes == ("edges from a product to itself: 124 (kept)",)
    assert dataset.truth["classes"]["class"].n_unique() == 6


@pytest.mark.real
def test_real_amazon_counts(real: Path) -> None:
    dataset = read_amazon(AmazonMetadataConfig(), ReadContext(root=real))
    assert dataset.products is not None
    assert dataset.engagements is not None
    assert dataset.products.height == 2_320
    assert dict(dataset.engagements["relation"].value_counts().iter_rows()) == {
        "also_view": 8_649,
        "also_buy": 6_449,
    }
    assert dataset.notes == (
        "rows of products that are in the file already: 1065 (first texts kept)",
        "titles that are pieces of HTML, script or the category's name, made null: 2173",
        "edges with an end that has no product row: 60032 to 15884 products (left out)",
    )
