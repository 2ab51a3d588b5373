from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.group_splits import group_leak_notes, split_by_group
from prodmatch_core.data.groups import decode_escapes, read, read_shopee
from prodmatch_core.data.groups_config import GroupColumns, GroupsConfig, ShopeeConfig
from prodmatch_core.data.reading import ReadContext, SplitConfig
from prodmatch_core.errors import DataError

FILE = "item_id,group,title,brand\n1,a,red tv,Acme\n2,a,tv red,\n3,b,Lamp,\n4,b,lamp ,\n5,c,Red  TV,\n"


def groups_of(folder: Path, content: str, skip: bool = False, **options: object) -> Dataset:
    (folder / "a.csv").write_text(content)
    return read(GroupsConfig(path="a.csv", **options), ReadContext(root=folder, skip_bad_rows=skip))


def message(folder: Path, content: str, **options: object) -> str:
    with pytest.raises(DataError) as error:
        groups_of(folder, content, **options)
    return str(error.value).replace(f"{folder}/", "")


def frame(sizes: dict[str, int]) -> pl.DataFrame:
    items = [(f"{group}-{n}", group) for group, size in sizes.items() for n in range(size)]
    return pl.DataFrame(items, schema={"item_id": pl.String, "group": pl.String}, orient="row")


def test_items_become_products_with_their_texts(tmp_path: Path) -> None:
    products = groups_of(tmp_path, FILE).products
    assert products is not None
    assert products.columns == ["product_id", "locale", "title", "brand"]
    assert products.row(0) == ("1", "en", "red tv", "Acme")
    assert products.row(1) == ("2", "en", "tv red", None)


def test_identical_titles_of_different_groups_are_counted(tmp_path: Path) -> None:
    notes = groups_of(tmp_path, FILE).notes
    assert "groups with a single item: 1" in notes
    assert "titles in more than one group: 1 (2 items; no model can tell such items apart)" in notes


def test_a_title_in_two_splits_is_told_as_a_leak() -> None:
    groups = pl.DataFrame({"item_id": ["1", "2"], "group": ["a", "b"], "split": ["train", "test"]})
    products = pl.DataFrame({"product_id": ["1", "2"], "title": ["TV", " tv"]})
    assert group_leak_notes(groups, products)[1] == (
        "titles in more than one split: 1 (a test item that training saw under another group)"
    )


def test_splits_of_the_file_are_kept_and_missing_ones_cut_from_train(tmp_path: Path) -> None:
    rows = "".join(
        f"{g}{i},{g},t{g}{i},{'test' if g == 'a' else 'train'}\n" for g in "abcdefgh" for i in range(2)
    )
    groups = groups_of(tmp_path, "item_id,group,title,split\n" + rows).groups
    assert groups is not None
    assert groups.filter(pl.col("split") == "test")["group"].unique().to_list() == ["a"]
    assert groups.filter(pl.col("split") == "valid")["group"].n_unique() == 1


def test_ids_are_made_of_group_and_texts_where_there_are_none(tmp_path: Path) -> None:
    dataset = groups_of(tmp_path, "group,title\na,x\na,y\nb,x\na,x\n")
    assert dataset.groups is not None
    assert dataset.groups.height == 3
    assert "rows left out because their item is there already: 1" in dataset.notes


def test_a_group_in_two_splits(tmp_path: Path) -> None:
    assert message(tmp_path, "item_id,group,title,split\n1,a,x,train\n2,a,y,test\n") == (
        "a.csv, row 3, column split: group a is in splits train and test (groups like this: 1). Give all rows of "
        'a group one split, or set columns.split = "" to divide the groups anew.'
    )


def test_an_item_in_two_groups(tmp_path: Path) -> None:
    assert message(tmp_path, "item_id,group,title\n1,a,x\n2,a,y\n1,b,x\n") == (
        "a.csv, row 4, column group: item 1 is in group b here and in group a in row 2. Keep one of the rows, "
        "or pass --skip-bad-rows to leave such rows out."
    )


def test_an_item_without_text_and_one_without_group(tmp_path: Path) -> None:
    assert message(tmp_path, "item_id,group,title,brand\n1,a,, \n2,,y,\n") == (
        "a.csv, row 2, column title: the item has no title and no brand. Fill it, "
        "or pass --skip-bad-rows to leave such rows out. Bad rows found: 2."
    )


def test_groups_of_one_item_only(tmp_path: Path) -> None:
    assert message(tmp_path, "item_id,group,title\n1,a,x\n2,b,y\n") == (
        "a.csv: all 2 groups have one item; there is nothing to bring together. Check that the column of groups "
        "is the right one, and that the file is whole."
    )


def test_missing_columns(tmp_path: Path) -> None:
    assert message(tmp_path, "id,label_group,title\n1,a,x\n", columns=GroupColumns(item_id="idd")) == (
        'a.csv: no column "idd" (did you mean "id"?), "group" (did you mean "label_group"?). The file has id, '
        'label_group, title. Say which column holds what, e.g. columns.group = "label_group".'
    )


def test_no_text_column(tmp_path: Path) -> None:
    assert message(tmp_path, "item_id,group,name\n1,a,x\n") == (
        "a.csv: no column with a text (title, description, bullets, brand, color). The file has item_id, group, "
        'name. Say which column holds what, e.g. columns.title = "name".'
    )


def test_skipped_rows_are_counted(tmp_path: Path) -> None:
    dataset = groups_of(tmp_path, FILE + "6,,x,\n", skip=True)
    assert dataset.notes[0] == f"{tmp_path}/a.csv: 1 of 6 rows skipped as bad"
    assert dataset.groups is not None
    assert dataset.groups.height == 5


sizes = st.dictionaries(
    st.text(st.characters(categories=("L",)), min_size=1, max_size=3), st.integers(1, 4), max_size=30
)


@given(sizes=sizes, seed=st.integers(0, 5), order=st.randoms())
def test_the_split_of_a_group_depends_on_the_seed_and_the_set_of_groups_only(
    sizes: dict[str, int], seed: int, order: object
) -> None:
    config = SplitConfig(seed=seed)
    first = split_by_group(frame(sizes), config)
    other = frame({group: size + 1 for group, size in sizes.items()}).sample(
        fraction=1, shuffle=True, seed=seed
    )
    again = split_by_group(other, config)
    assert dict(first.select("group", "split").iter_rows()) == dict(
        again.select("group", "split").iter_rows()
    )
    assert first.columns == ["item_id", "group", "split"]
    assert first["item_id"].to_list() == frame(sizes)["item_id"].to_list()


@pytest.mark.parametrize(("count", "shares"), [(3, (1, 1, 1)), (10, (7, 1, 2)), (100, (70, 10, 20))])
def test_shares_are_of_groups(count: int, shares: tuple[int, int, int]) -> None:
    split = split_by_group(frame({f"g{n}": 2 for n in range(count)}), SplitConfig())
    found = dict(split.group_by("split").agg(pl.col("group").n_unique()).iter_rows())
    assert tuple(found[name] for name in ("train", "valid", "test")) == shares


def test_written_out_bytes_are_decoded_and_broken_ones_left() -> None:
    decoded, count = decode_escapes(pl.Series([r"Caf\xc3\xa9", r"\xff no", None, "plain"]))
    assert decoded.to_list() == ["Café", r"\xff no", None, "plain"]
    assert count == 1


def test_shopee_reads_its_own_columns_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,title\n1,x\n")
    with pytest.raises(DataError) as error:
        read_shopee(ShopeeConfig(path="a.csv"), ReadContext(root=tmp_path))
    assert str(error.value) == (
        f'{tmp_path}/a.csv: no column "posting_id", "label_group". The file has id, title. '
        'core.shopee reads the original file; read others with use = "core.groups".'
    )


@pytest.mark.real
def test_real_shopee_counts() -> None:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    dataset = read_shopee(ShopeeConfig(), ReadContext(root=Path(root)))
    groups = dataset.groups
    assert groups is not None
    assert (groups.height, groups["group"].n_unique()) == (27_486, 8_841)
    shares = dict(groups.group_by("split").agg(pl.col("group").n_unique()).iter_rows())
    assert shares == {"train": 6_189, "valid": 884, "test": 1_768}
    assert dataset.notes[:2] == (
        r"titles with bytes written out as \x.., decoded: 545",
        "titles in more than one group: 66 (190 items; no model can tell such items apart)",
    )
