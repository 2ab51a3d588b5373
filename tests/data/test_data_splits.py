from __future__ import annotations

import random

import attrs
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.data.splits import Leaks, check_references, leaks, split_by_query
from prodmatch_core.data.texts import normalise, normalised
from prodmatch_core.errors import DataError

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def queries(*texts: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"query_id": [f"q{i}" for i in range(len(texts))], "text": list(texts)},
        schema={"query_id": pl.String, "text": pl.String},
    )


def as_dict(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.iter_rows())


def counts(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame["split"].value_counts().iter_rows())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TV  stand", " tv stand "),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff34\uff36", "tv"),
        ("a\u00a0b", "a b"),
        ("\u210c", "h"),
    ],
)
def test_spellings_of_one_query_have_one_normal_form(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


ASCII = st.characters(max_codepoint=127)


@settings(deadline=None)
@given(st.lists(st.none() | st.text() | st.text(ASCII | st.sampled_from(" \t\n\x1c"))))
def test_a_column_is_normalised_as_its_texts_are_one_by_one(some: list[str | None]) -> None:
    found = normalised(pl.Series(some, dtype=pl.String)).to_list()
    assert found == [None if text is None else normalise(text) for text in some]


texts = st.lists(st.text(st.sampled_from("aAbB é"), min_size=1, max_size=4), max_size=40)
configs = st.builds(
    SplitConfig,
    valid=st.sampled_from([0.0, 0.1, 0.3]),
    test=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 3),
)


@settings(deadline=None)
@given(texts=texts, config=configs)
def test_no_normalised_text_is_in_two_splits(texts: list[str], config: SplitConfig) -> None:
    splits = split_by_query(queries(*texts), config)
    places: dict[str, set[str]] = {}
    for text, split in zip(texts, splits["split"], strict=True):
        places.setdefault(normalise(text), set()).add(split)
    assert all(len(found) == 1 for found in places.values())


@settings(deadline=None)
@given(texts=texts, config=configs, seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(texts: list[str], config: SplitConfig, seed: int) -> None:
    frame = queries(*texts)
    classes = frame.select("query_id", pl.int_range(pl.len()).mod(3).alias("class"))
    order = random.Random(seed).sample(range(len(texts)), len(texts))
    expected = as_dict(split_by_query(frame, config, classes))
    assert as_dict(split_by_query(frame[order], config, classes[order[::-1]])) == expected


@settings(deadline=None)
@given(count=st.integers(1, 300), config=configs)
def test_shares_are_exact_to_the_nearest_query_and_nothing_wanted_is_empty(
    count: int, config: SplitConfig
) -> None:
    found = counts(split_by_query(queries(*map(str, range(count))), config))
    assert found["train"] >= 1
    for name in ("valid", "test"):
        share = getattr(config, name)
        if count >= 3:
            assert (name in found) == (share > 0)
        if count >= 10:
            assert found.get(name, 0) == int(count * share + 0.5)


def test_another_seed_divides_otherwise() -> None:
    frame = queries(*map(str, range(100)))
    splits = [split_by_query(frame, SplitConfig(seed=seed))["split"] for seed in (1, 1, 2)]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])


def test_a_known_query_never_changes_its_split() -> None:
    splits = split_by_query(queries(*"abcdefghij"), SplitConfig(seed=0))["split"].to_list()
    assert splits == ["train", "train", "train", "train", "train", "test", "train", "train", "valid", "test"]


def test_label_shares_are_closer_than_by_chance() -> None:
    frame = queries(*map(str, range(400)))
    # A tenth of the queries has bad matches only.
    classes = frame.select("query_id", pl.int_range(pl.len()).mod(10).eq(0).cast(pl.Int64).alias("class"))

    def gap(stratify: bool, seed: int) -> float:
        splits = split_by_query(frame, SplitConfig(seed=seed), classes if stratify else None)
        joined = splits.join(classes, on="query_id")
        shares = joined.group_by("split").agg(pl.col("class").mean())["class"]
        return float((shares - 0.1).abs().max())

    assert max(gap(True, seed) for seed in range(5)) <= 0.0251
    assert max(gap(False, seed) for seed in range(5)) > 0.03


def test_given_splits_are_kept_and_the_missing_one_is_cut_from_train() -> None:
    frame = queries(*map(str, range(30)))
    given_splits = frame.select("query_id", split=pl.Series(["train"] * 20 + ["test"] * 10))
    splits = split_by_query(frame, SplitConfig(valid=0.2, test=0.5), given=given_splits)
    assert splits["split"][20:].to_list() == ["test"] * 10
    assert counts(splits) == {"train": 16, "valid": 4, "test": 10}


def test_complete_given_splits_are_left_alone() -> None:
    frame = queries(*map(str, range(9)))
    given_splits = frame.select("query_id", split=pl.Series(["train", "valid", "test"] * 3))
    assert split_by_query(frame, SplitConfig(), given=given_splits).equals(given_splits)


def test_a_train_text_that_is_also_in_test_is_not_cut_for_valid() -> None:
    frame = queries("tv", "TV", "radio", "phone")
    given_splits = frame.select("query_id", split=pl.Series(["train", "test", "train", "train"]))
    splits = as_dict(split_by_query(frame, SplitConfig(valid=0.5), given=given_splits))
    assert splits["q0"] == "train"
    assert sorted([splits["q2"], splits["q3"]]) == ["train", "valid"]


def test_shares_that_leave_no_training_queries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"valid and test add up to 1 or more; nothing is left to train on"):
        SplitConfig(valid=0.5, test=0.5)


def dataset(**changes: pl.DataFrame) -> Dataset:
    tables = {
        "queries": pl.DataFrame({"query_id": ["1", "2"], "locale": ["us", "us"], "text": ["tv", "pc"]}),
        "products": pl.DataFrame({"product_id": ["a", "b"], "locale": ["us", "us"], "title": ["x", "y"]}),
        "judgements": pl.DataFrame(
            {
                "query_id": ["1", "1", "2"],
                "product_id": ["a", "b", "a"],
                "label": ["match", "mismatch", "match"],
                "split": ["train", "train", "test"],
            }
        ),
    }
    return Dataset(name="tiny", scheme=BINARY, source="tiny", **{**tables, **changes})


def altered(table: str, column: str, values: list[object]) -> Dataset:
    frame = getattr(dataset(), table)
    return dataset(**{table: frame.with_columns(pl.Series(column, values))})


def test_a_sound_data_set_passes() -> None:
    check_references(dataset())


@pytest.mark.parametrize(
    ("table", "column", "values", "text"),
    [
        (
            "judgements",
            "query_id",
            ["1", "1", "9"],
            "tiny: table judgements, row 3: query_id '9' is not in table queries (rows like this: 1). "
            "Add the query or remove the row.",
        ),
        (
            "judgements",
            "product_id",
            ["a", "z", "z"],
            "tiny: table judgements, row 2: product_id 'z' is not in table products in the query's locale "
            "(rows like this: 2). Add the product or remove the row.",
        ),
        (
            "queries",
            "locale",
            ["us", "es"],
            "tiny: table judgements, row 3: product_id 'a' is not in table products in the query's locale "
            "(rows like this: 1). Add the product or remove the row.",
        ),
        (
            "queries",
            "text",
            ["tv", " "],
            "tiny: table queries, row 2: query_id '2' has no text (rows like this: 1). "
            "Fill it or remove the query.",
        ),
        (
            "products",
            "title",
            ["x", None],
            "tiny: table judgements, row 2: product_id 'b' has no title (rows like this: 1). "
            "Fill the title or remove the row.",
        ),
        (
            "judgements",
            "label",
            ["match", "maybe", "match"],
            "tiny: table judgements, row 2: label 'maybe' (query_id '1') is not a label of the scheme binary "
            "(match, mismatch) (rows like this: 1). Correct the label or the scheme.",
        ),
        (
            "judgements",
            "split",
            ["train", "train", "dev"],
            "tiny: table judgements, row 3: split 'dev' (query_id '2') is not one of train, valid, test "
            "(rows like this: 1). Correct the split.",
        ),
        (
            "judgements",
            "split",
            ["train", "test", "test"],
            "tiny: table judgements, row 1: query_id '1' is in more than one split (rows like this: 2). "
            "Give all its rows one split, or leave the splits out so that whole queries are divided anew.",
        ),
        (
            "judgements",
            "weight",
            [1.0, float("nan"), 1.0],
            "tiny: table judgements, row 2: weight nan (query_id '1') is not a number of at least 0 "
            "(rows like this: 1). Correct the weight.",
        ),
    ],
)
def test_what_does_not_fit_is_named(table: str, column: str, values: list[object], text: str) -> None:
    with pytest.raises(DataError) as error:
        check_references(altered(table, column, values))
    assert str(error.value) == text


def test_judgements_without_queries_are_an_error() -> None:
    with pytest.raises(DataError, match=r"tiny: judgements without a table queries\. Add the table\."):
        check_references(attrs.evolve(dataset(), queries=None))


def test_a_title_shared_by_train_and_test_is_for_information() -> None:
    assert leaks(dataset()) == Leaks(queries=0, pairs=0, titles=1)


def test_one_text_under_two_ids_across_splits_is_a_leak_with_its_pairs() -> None:
    found = leaks(altered("queries", "text", ["tv", " TV"]))
    assert found == Leaks(queries=1, pairs=1, titles=1)
    assert found.notes()[0] == "query texts in more than one split: 1 (measures on test are too good)"


def test_no_leaks_no_notes() -> None:
    assert leaks(altered("judgements", "split", ["train"] * 3)).notes() == []
