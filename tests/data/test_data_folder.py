from __future__ import annotations

import datetime as dt
import tempfile
import tomllib
from pathlib import Path

import attrs
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data import folder as folder_module
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.folder import read, read_folder, write_folder
from prodmatch_core.data.folder_config import FolderConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError


def dataset(**changes: object) -> Dataset:
    now = dt.datetime(2024, 2, 29, 12, 30, 0, 123456)
    values: dict[str, object] = {
        "name": "tiny",
        "scheme": LabelScheme("binary", ("match", "mismatch"), (1.0, 1e-7), ("match",)),
        "queries": pl.DataFrame({"query_id": ["1"], "locale": ["us"], "text": ["tv"]}),
        "products": pl.DataFrame(
            {
                "product_id": ["a"],
                "locale": ["us"],
                "title": ["x"],
                "brand": pl.Series([None], dtype=pl.String),
            }
        ),
        "judgements": pl.DataFrame(
            {"query_id": ["1"], "product_id": ["a"], "label": ["match"], "split": ["train"], "spread": [0.1]}
        ),
        "events": pl.DataFrame(
            {
                "event_id": ["e"],
                "query_id": ["1"],
                "product_id": ["a"],
                "shown_at": [now],
                "converted_at": pl.Series([None], dtype=pl.Datetime("us")),
                "device": pl.Series([3], dtype=pl.Int32),
            }
        ),
        "truth": {"relevance": pl.DataFrame({"query_id": ["1"], "p": [0.25]})},
        "licence": "CC0",
        "source": 'made "here"\\',
        "notes": ("one\nline", "a \x7f delete, é 😀"),
    }
    return Dataset(**{**values, **changes})


def assert_same(one: Dataset, other: Dataset) -> None:
    for field in attrs.fields(Dataset):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, pl.DataFrame):
            assert left.equals(right), field.name
            assert left.schema == right.schema, field.name
        elif field.name == "truth":
            assert left.keys() == right.keys()
            assert all(left[name].equals(right[name]) for name in left)
        else:
            assert left == right, field.name


def test_everything_comes_back(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    assert_same(read_folder(tmp_path / "shop"), dataset())


text = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(text, max_size=5),
    prices=st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), min_size=5, max_size=5),
    words=st.tuples(text, text, text),
)
def test_any_texts_and_numbers_come_back(
    texts: list[str], prices: list[float | None], words: tuple[str, str, str]
) -> None:
    count = len(texts)
    products = pl.DataFrame(
        {
            "product_id": [str(i) for i in range(count)],
            "locale": ["us"] * count,
            "title": texts,
            "price": prices[:count],
        },
        schema={"product_id": pl.String, "locale": pl.String, "title": pl.String, "price": pl.Float64},
    )
    made = Dataset(name=words[0], source=words[1], notes=(words[2],), products=products)
    with tempfile.TemporaryDirectory() as place:
        write_folder(made, Path(place, "d"))
        assert_same(read_folder(Path(place, "d")), made)


def test_the_manifest_says_what_the_folder_holds(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    manifest = tomllib.loads((tmp_path / "shop" / "dataset.toml").read_text(encoding="utf-8"))
    assert manifest["format"] == 1
    assert manifest["fingerprint"] == dataset().fingerprint()
    assert manifest["scheme"]["labels"] == ["match", "mismatch"]
    assert set(manifest["files"]) == {
        "events.parquet", "judgements.parquet", "products.parquet", "queries.parquet", "truth/relevance.parquet",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["products.parquet", "truth/relevance.parquet"])
def test_a_table_changed_by_hand_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "shop"
    write_folder(dataset(), path)
    frame = pl.read_parquet(path / name)
    column = "title" if "title" in frame.columns else "query_id"
    frame.with_columns(pl.lit("changed").alias(column)).write_parquet(path / name)
    with pytest.raises(DataError) as error:
        read_folder(path)
    assert str(error.value) == (
        f"{path}: {name} is not what dataset.toml was written for (another fingerprint). "
        "Write the folder again from its source, or write the changed data set to a new folder."
    )


def test_a_label_scheme_changed_by_hand_is_named(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    manifest = tmp_path / "shop" / "dataset.toml"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace("gains = [1.0,", "gains = [2.0,"), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"the label scheme is not what dataset\.toml was written for"):
        read_folder(tmp_path / "shop")


def test_a_table_compressed_otherwise_is_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    write_folder(dataset(), path)
    pl.read_parquet(path / "queries.parquet").write_parquet(
        path / "queries.parquet", compression="uncompressed"
    )
    assert_same(read_folder(path), dataset())


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    (tmp_path / "shop" / "queries.parquet").unlink()
    with pytest.raises(DataError) as error:
        read_folder(tmp_path / "shop")
    assert str(error.value) == (
        f"{tmp_path}/shop: queries.parquet is missing, dataset.toml lists it. "
        "Restore it or write the folder again."
    )


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    (tmp_path / "shop" / "queries.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(
        DataError, match=r"queries\.parquet: not a Parquet file, or damaged: .* Write the folder again"
    ):
        read_folder(tmp_path / "shop")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("format = 1", "format = 2", "dataset.toml: format 2 where this version of prodmatch reads format 1"),
        ("format = 1", "format 1", "dataset.toml: not valid TOML: "),
        (
            "licence =",
            "license =",
            "dataset.toml: licence is missing or not as written. Write the folder again.",
        ),
        (
            "gains =",
            "gains = true #",
            "dataset.toml: scheme is missing or not as written. Write the folder again.",
        ),
        (
            "notes =",
            "notes = [1] #",
            "dataset.toml: notes is missing or not as written. Write the folder again.",
        ),
        ("gains =", "gain =", "dataset.toml: scheme is missing or not as written. Write the folder again."),
        (
            '"queries.parquet"',
            '"../queries.parquet"',
            "files.../queries.parquet is missing or not as written",
        ),
        ('"truth/relevance', '"truth/../../relevance', "relevance.parquet is missing or not as written"),
    ],
)
def test_a_broken_manifest_is_explained(tmp_path: Path, old: str, new: str, text: str) -> None:
    write_folder(dataset(), tmp_path / "shop")
    manifest = tmp_path / "shop" / "dataset.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_folder(tmp_path / "shop")
    assert text in str(error.value)


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_folder(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: no dataset.toml, so this is not a data set folder. "
        "Make one with `prodmatch data convert`."
    )


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match=r"x: is not a folder\. Name the folder that holds dataset\.toml\."):
        read_folder(tmp_path / "x")


def test_a_data_set_is_replaced_only_on_request(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "shop")
    with pytest.raises(DataError) as error:
        write_folder(dataset(name="other"), tmp_path / "shop")
    assert str(error.value) == (
        f"{tmp_path}/shop: a data set is there already. Pass --overwrite to replace it, or name another folder."
    )
    write_folder(dataset(name="other", events=None), tmp_path / "shop", overwrite=True)
    assert read_folder(tmp_path / "shop").name == "other"
    assert not (tmp_path / "shop" / "events.parquet").exists()


@pytest.mark.parametrize("beside_a_data_set", [False, True])
def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path, beside_a_data_set: bool) -> None:
    path = tmp_path / "home"
    if beside_a_data_set:
        write_folder(dataset(), path)
    path.mkdir(exist_ok=True)
    (path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError) as error:
        write_folder(dataset(), path, overwrite=True)
    assert str(error.value) == (
        f"{path}: the folder holds files that are not a data set's (thesis.tex). Name a new or empty folder."
    )
    assert (path / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    write_folder(dataset(), tmp_path / "shop")
    assert_same(read_folder(tmp_path / "shop"), dataset())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_writing_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    if overwrite:
        write_folder(dataset(), tmp_path / "shop")

    def full(*args: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(folder_module, "manifest_text", full)
    with pytest.raises(OSError, match="no space left"):
        write_folder(dataset(name="other"), tmp_path / "shop", overwrite=overwrite)
    assert [entry.name for entry in tmp_path.iterdir()] == (["shop"] if overwrite else [])
    if overwrite:
        assert_same(read_folder(tmp_path / "shop"), dataset())


def test_the_part_reads_under_the_data_folder_and_checks_references(tmp_path: Path) -> None:
    write_folder(dataset(), tmp_path / "good")
    assert_same(read(FolderConfig(path="good"), ReadContext(root=tmp_path)), dataset())
    orphan = pl.DataFrame({"query_id": ["9"], "locale": ["us"], "text": ["tv"]})
    write_folder(dataset(queries=orphan), tmp_path / "bad")
    with pytest.raises(DataError, match="query_id '1' is not in table queries"):
        read(FolderConfig(path="bad"), ReadContext(root=tmp_path))
