"""ESCI, WANDS and Magellan sets: what is read of the official files, and what a broken set is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prodmatch_core.data import esci, magellan, wands
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.data.official_config import EsciConfig, MagellanColumns, MagellanConfig, WandsConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError
from prodmatch_core.testing.official_files import esci_frames, write_esci, write_magellan, write_wands

EXAMPLES = "shopping_queries_dataset_examples.parquet"
PRODUCTS = "shopping_queries_dataset_products.parquet"
SIDES = MagellanColumns(query=("title", "manufacturer"), brand="manufacturer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_esci(tmp_path / "esci")
    write_wands(tmp_path / "wands")
    write_magellan(tmp_path / "numbers")
    write_magellan(tmp_path / "records", tables=False)
    return tmp_path


def read_esci(root: Path, skip: bool = False, **options: Any) -> Dataset:
    return esci.read(EsciConfig(**options), ReadContext(root=root, skip_bad_rows=skip))


def read_wands(root: Path, skip: bool = False, **options: Any) -> Dataset:
    return wands.read(WandsConfig(**options), ReadContext(root=root, skip_bad_rows=skip))


def read_magellan(folder: Path, name: str, skip: bool = False, **options: Any) -> Dataset:
    config = MagellanConfig(folder=name, **{"columns": SIDES, **options})
    return magellan.read(config, ReadContext(root=folder, skip_bad_rows=skip))


def message(read: Callable[..., Dataset], folder: Path, *arguments: Any, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(folder, *arguments, **options)
    return str(error.value).replace(f"{folder}/", "")


def judged(dataset: Dataset) -> pl.DataFrame:
    assert dataset.judgements is not None
    return dataset.judgements


def products(dataset: Dataset) -> pl.DataFrame:
    assert dataset.products is not None
    return dataset.products


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# -- ESCI ---------------------------------------------------------------------------------------------------------------


def test_esci_keeps_every_judgement_of_the_official_files(folder: Path) -> None:
    examples, _ = esci_frames()
    expected = examples.select(
        pl.col("query_id").cast(pl.String),
        "product_id",
        pl.col("esci_label").replace_strict({label[0].upper(): label for label in ESCI.labels}),
    )
    found = judged(read_esci(folder)).select("query_id", "product_id", "label")
    assert sorted(found.rows()) == sorted(expected.rows())


def test_esci_products_are_the_judged_ones_with_all_their_texts(folder: Path) -> None:
    dataset = read_esci(folder)
    table = products(dataset)
    assert table.columns == ["product_id", "locale", "title", "description", "bullets", "brand", "color"]
    assert table.row(0, named=True) == {
        "product_id": "B000000000",
        "locale": "us",
        "title": "Acme red lamp",
        "description": None,
        "bullets": "for the home\nlamp in red",
        "brand": "Acme",
        "color": "red",
    }
    assert dataset.queries is not None
    pairs = judged(dataset).join(dataset.queries, on="query_id").select("product_id", "locale").unique()
    assert sorted(pairs.rows()) == sorted(table.select("product_id", "locale").rows())


def test_esci_valid_is_cut_out_of_train_and_test_is_the_official_one(folder: Path) -> None:
    examples, _ = esci_frames()
    official = {str(q): s for q, s in examples.select("query_id", "split").unique().iter_rows()}
    splits = judged(read_esci(folder)).group_by("query_id").agg(pl.col("split").unique())
    found = dict(splits.iter_rows())
    assert all(len(names) == 1 for names in found.values())
    assert {q for q, names in found.items() if names == ["test"]} == {
        q for q, s in official.items() if s == "test"
    }
    assert sum(names == ["valid"] for names in found.values()) == 5  # a tenth of 48 training queries


@pytest.mark.parametrize(
    ("options", "keep"),
    [
        ({"version": "small"}, pl.col("small_version") == 1),
        ({"version": "all"}, pl.lit(True)),
        ({"locales": ("es", "jp")}, pl.col("product_locale").is_in(["es", "jp"])),
        ({"splits": ("train",)}, pl.col("split") == "train"),
        (
            {"version": "small", "locales": ("us",)},
            (pl.col("small_version") == 1) & (pl.col("product_locale") == "us"),
        ),
    ],
)
def test_esci_filters_choose_rows(folder: Path, options: dict[str, Any], keep: pl.Expr) -> None:
    examples, _ = esci_frames()
    assert judged(read_esci(folder, **options)).height == examples.filter(keep).height


def test_esci_texts_can_be_left_out(folder: Path) -> None:
    assert products(read_esci(folder, fields=("brand",))).columns == [
        "product_id",
        "locale",
        "title",
        "brand",
    ]


def test_esci_in_one_file_with_labels_in_words_reads_to_the_same_judgements(folder: Path) -> None:
    examples, catalogue = esci_frames()
    words = {label[0].upper(): label.capitalize() for label in ESCI.labels}
    merged = examples.join(catalogue, on=["product_id", "product_locale"]).with_columns(
        pl.col("esci_label").replace_strict(words)
    )
    merged.sort("example_id").write_csv(folder / "esci" / "esci.csv")
    found = judged(read_esci(folder, examples="esci.csv", products=""))
    assert found.equals(judged(read_esci(folder)))


def test_esci_product_that_is_not_there(folder: Path) -> None:
    _, catalogue = esci_frames()
    catalogue.filter(pl.col("product_id") != "B000000037").write_parquet(folder / "esci" / PRODUCTS)
    assert message(read_esci, folder) == (
        f"esci/{EXAMPLES}, row 7, column product_id: B000000037 is not in {PRODUCTS} in the locale us. Take both files "
        "from one release, or pass --skip-bad-rows to leave such rows out. Bad rows found: 4."
    )


def test_esci_products_without_a_title_are_left_out_and_counted(folder: Path) -> None:
    examples, catalogue = esci_frames()
    blank = pl.when(pl.col("product_id") != "B000000037").then("product_title")
    catalogue.with_columns(blank.alias("product_title")).write_parquet(folder / "esci" / PRODUCTS)
    dataset = read_esci(folder)
    assert judged(dataset).height == examples.height - 4
    assert "judgements left out because their product has no title: 4" in dataset.notes


def test_esci_locale_that_is_not_there(folder: Path) -> None:
    assert message(read_esci, folder, locales=("uk",)) == (
        f'esci/{EXAMPLES}: no row has product_locale "uk"; known: es, jp, us. Correct the option in [data].'
    )


def test_esci_version_without_rows(folder: Path) -> None:
    examples, _ = esci_frames()
    examples.with_columns(small_version=0).write_parquet(folder / "esci" / EXAMPLES)
    assert message(read_esci, folder, version="small") == (
        f"esci/{EXAMPLES}: no row with small_version = 1 or true. Ask for another version, locale or split, and "
        "check that the file is whole."
    )


def test_esci_version_that_is_no_flag(folder: Path) -> None:
    examples, _ = esci_frames()
    examples.with_columns(large_version=2).write_parquet(folder / "esci" / EXAMPLES)
    assert message(read_esci, folder) == (
        f'esci/{EXAMPLES}, column large_version: "2" where 0 or 1 is expected. Fetch the file again, or set '
        'version = "all".'
    )


def test_esci_column_of_lists(folder: Path) -> None:
    examples, _ = esci_frames()
    examples.with_columns(pl.concat_list("query")).write_parquet(folder / "esci" / EXAMPLES)
    assert message(read_esci, folder) == (
        f"esci/{EXAMPLES}, column query: holds List(String). Convert it to text or numbers."
    )


def test_esci_query_in_two_splits(folder: Path) -> None:
    examples, _ = esci_frames()
    torn = pl.when(pl.col("example_id") == 1).then(pl.lit("test")).otherwise("split")
    examples.with_columns(torn.alias("split")).write_parquet(folder / "esci" / EXAMPLES)
    assert message(read_esci, folder) == (
        f'esci/{EXAMPLES}, row 2, column split: query "red lamp no 0" is in splits train and test '
        "(queries like this: 1). Give all rows of a query one split."
    )


def test_esci_file_that_git_lfs_has_not_fetched(folder: Path) -> None:
    (folder / "esci" / PRODUCTS).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    assert message(read_esci, folder) == (
        f"esci/{PRODUCTS}: is a Git LFS pointer, not the file itself. Run `git lfs pull` where it was cloned."
    )


def test_esci_files_that_are_absent(folder: Path) -> None:
    (folder / "esci" / PRODUCTS).unlink()
    assert message(read_esci, folder) == (
        f"esci: {PRODUCTS} not found in this folder; it holds {EXAMPLES}. core.esci reads {EXAMPLES} and {PRODUCTS} "
        "of the esci-data repository (large files, stored with Git LFS); put both into one folder and name it in "
        "data.folder."
    )


# -- WANDS --------------------------------------------------------------------------------------------------------------


def test_wands_names_features_and_descriptions_become_the_products_texts(folder: Path) -> None:
    rows = {row["product_id"]: row for row in products(read_wands(folder)).iter_rows(named=True)}
    assert rows["1"] == {
        "product_id": "1",
        "locale": "en",
        "title": 'Möbelhaus 17" red lamp',
        "description": "a lamp,\nvery red",
        "bullets": "color : red\nkind : lamp",
    }
    assert rows["0"]["description"] is None


def test_wands_has_three_classes_with_the_gains_of_its_paper(folder: Path) -> None:
    dataset = read_wands(folder)
    assert dataset.scheme is not None
    assert (dataset.scheme.labels, dataset.scheme.gains) == (
        ("exact", "partial", "irrelevant"),
        (1.0, 0.5, 0.0),
    )
    assert set(judged(dataset)["label"]) == {"exact", "partial", "irrelevant"}


def test_wands_product_that_is_not_there(folder: Path) -> None:
    edit(folder / "wands" / "label.csv", "0\t0\t0\t", "0\t0\t9999\t")
    assert message(read_wands, folder) == (
        "wands/label.csv, row 2, column product_id: 9999 is not in product.csv. Take all files from one release, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_wands_query_that_is_there_twice(folder: Path) -> None:
    edit(folder / "wands" / "query.csv", "\n2\t", "\n1\t")
    assert message(read_wands, folder) == (
        "wands/query.csv, row 4, column query_id: 1 is there already, in row 3. Keep one row for each, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_wands_label_that_is_none(folder: Path) -> None:
    edit(folder / "wands" / "label.csv", "\tExact\n", "\tGood\n")
    assert message(read_wands, folder) == (
        'wands/label.csv, row 2, column label: "Good" is none of the known labels (Exact, Partial, Irrelevant). '
        "Correct it, or pass --skip-bad-rows to leave such rows out."
    )


def test_wands_skips_bad_rows_and_says_which(folder: Path) -> None:
    edit(folder / "wands" / "label.csv", "\tExact\n", "\tGood\n")
    dataset = read_wands(folder, skip=True)
    whole = int(dataset.notes[0].split()[3])
    assert dataset.notes[0] == f"{folder}/wands/label.csv: 1 of {whole} rows skipped as bad"
    assert judged(dataset).height == whole - 1


# -- Magellan -----------------------------------------------------------------------------------------------------------


def test_magellan_numbers_with_tables_and_whole_records_read_to_the_same_data(folder: Path) -> None:
    numbers, records = read_magellan(folder, "numbers"), read_magellan(folder, "records")
    assert judged(numbers).equals(judged(records))
    assert products(numbers).equals(products(records))
    assert numbers.queries is not None
    assert numbers.queries.equals(records.queries)


def test_magellan_left_record_is_the_query_and_right_record_the_product(folder: Path) -> None:
    dataset = read_magellan(folder, "numbers")
    assert dataset.queries is not None
    assert dataset.queries.row(0) == ("train-0", "en", "red lamp no 0 acme")
    assert products(dataset).row(0) == ("0", "en", "red lamp", "Acme")


def test_magellan_splits_are_the_files_and_shared_queries_are_counted(folder: Path) -> None:
    dataset = read_magellan(folder, "numbers")
    prefix = judged(dataset)["query_id"].str.extract("^([a-z]+)-")
    assert prefix.equals(judged(dataset)["split"].alias("query_id"))
    assert any(note.startswith("query texts in more than one split: ") for note in dataset.notes)


def test_magellan_validation_can_be_cut_out_of_the_training_pairs(folder: Path) -> None:
    test = folder / "numbers" / "test.csv"
    rows = pl.read_csv(test).filter(pl.col("ltable_id") < 8)  # a text of test is never moved out of train
    rows.write_csv(test)
    valid = judged(read_magellan(folder, "numbers", valid="")).filter(pl.col("split") == "valid")
    assert valid["query_id"].str.starts_with("train-").all()
    assert valid.height


def test_magellan_record_that_is_not_there(folder: Path) -> None:
    edit(folder / "numbers" / "test.csv", "label\n0,", "label\n777,")
    assert message(read_magellan, folder, "numbers") == (
        "numbers/test.csv, row 2, column ltable_id: 777 is not in tableA.csv. Take all files from one release, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_magellan_column_that_is_not_there(folder: Path) -> None:
    columns = MagellanColumns(title="name")
    assert message(read_magellan, folder, "records", columns=columns) == (
        'records/train.csv: no column "right_name" (did you mean "right_title"?). The file has id, label, left_id, '
        "left_title, left_manufacturer, right_id, right_title, right_manufacturer. Say which column holds what, "
        'e.g. columns.title = "name" and columns.query = ["name", "brand"].'
    )


def test_magellan_files_that_are_absent(folder: Path) -> None:
    for name in ("valid.csv", "test.csv"):
        (folder / "records" / name).unlink()
    assert message(read_magellan, folder, "records") == (
        "records: valid.csv, test.csv not found in this folder; it holds train.csv. core.magellan reads one file a "
        "split (train, valid, test), and where they hold record numbers only, the two tables (left, right); name the "
        "files in [data]."
    )


def test_the_configuration_of_official_sets_imports_nothing_heavy() -> None:
    code = (
        "import sys, prodmatch_core.data.official_config\n"
        "print(sorted({'polars', 'numpy', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# -- real files ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Path:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    return Path(root)


@pytest.mark.real
def test_real_esci_rows_with_their_products_in_one_csv_file(real: Path) -> None:
    dataset = read_esci(real, folder="esci_fixture", examples="esci.csv", products="")
    counts = dict(judged(dataset)["label"].value_counts().iter_rows())
    assert counts == {"exact": 138, "substitute": 49, "complement": 1, "irrelevant": 12}


@pytest.mark.real
def test_real_esci_parquet_with_products_renamed_to_the_official_columns(real: Path, tmp_path: Path) -> None:
    fixture = real / "esci_fixture"
    names = {"id": "product_id", "title": "product_title", "description": "product_description"}
    names |= {"bullets": "product_bullet_point", "brand": "product_brand", "color": "product_color"}
    names |= {"locale": "product_locale"}
    lines = (fixture / "sample-products.jsonl").read_text(encoding="utf-8").splitlines()
    feed = [json.loads(line)["fields"] for line in lines]
    pl.DataFrame(feed).rename(names).write_parquet(tmp_path / PRODUCTS)
    (tmp_path / EXAMPLES).write_bytes((fixture / "test-sample.parquet").read_bytes())
    dataset = esci.read(EsciConfig(folder="."), ReadContext(root=tmp_path))
    counts = dict(judged(dataset)["label"].value_counts().iter_rows())
    assert counts == {"substitute": 6, "irrelevant": 7, "exact": 3}
    assert set(judged(dataset)["split"]) == {"test"}
    assert products(dataset).height == 16


@pytest.mark.real
def test_real_wands_queries_alone_are_told_which_files_are_absent(real: Path) -> None:
    with pytest.raises(DataError) as error:
        read_wands(real, folder="wands_queries", query="wands_query_only.csv")
    assert str(error.value) == (
        f"{real}/wands_queries: product.csv, label.csv not found in this folder; it holds wands_query_only.csv. "
        "core.wands reads query.csv, product.csv and label.csv of the WANDS repository's folder `dataset`; put all "
        "three into one folder and name it in data.folder."
    )


@pytest.mark.real
def test_real_amazon_google_keeps_its_splits_and_counts_what_they_share(real: Path) -> None:
    files = {"train": "amz_goog_train.csv", "valid": "amz_goog_validation.csv", "test": "amz_goog_test.csv"}
    dataset = read_magellan(real, "amazon_google", **files)
    counts = judged(dataset).group_by("split", "label").len().sort("split", "label").rows()
    assert counts == [
        ("test", "match", 234),
        ("test", "mismatch", 2059),
        ("train", "match", 699),
        ("train", "mismatch", 6175),
        ("valid", "match", 234),
        ("valid", "mismatch", 2059),
    ]
    assert dataset.notes == (
        "query texts in more than one split: 860 (measures on test are too good)",
        "pairs of query and title in more than one split: 297 (measures on test are too good)",
        "product titles in more than one split: 1187 (for information)",
    )
