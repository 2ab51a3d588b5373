from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.corpus import Corpus, Examples, frame_examples, match_examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.errors import DataError

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


def dataset(**changes: object) -> Dataset:
    tables: dict[str, object] = {
        "products": pl.DataFrame(
            {
                "product_id": ["p1", "p1", "p2", "unused"],
                "locale": ["us", "es", "us", "us"],
                "title": ["red shoe", "zapato rojo", None, "hat"],
                "brand": ["Acme", None, "Zeta", None],
            }
        ),
        "queries": pl.DataFrame(
            {
                "query_id": ["q0", "q1", "q2"],
                "locale": ["us", "es", "us"],
                "text": ["never judged", "zapato", "shoe"],
            }
        ),
        "judgements": pl.DataFrame(
            {
                "query_id": ["q2", "q1", "q2"],
                "product_id": ["p1", "p1", "p2"],
                "label": ["match", "match", "mismatch"],
                "split": ["train", "test", "train"],
                "weight": [1.0, 1.0, 0.5],
            }
        ),
    }
    return Dataset(name="tiny", scheme=BINARY, source="tiny", **{**tables, **changes})


def test_a_judgement_points_at_the_product_in_the_locale_of_its_query() -> None:
    corpus, examples, _ = match_examples(dataset())
    assert corpus.products["title"][int(examples["test"].product[0])] == "zapato rojo"
    assert corpus.products["title"][int(examples["train"].product[0])] == "red shoe"


def test_queries_and_products_that_no_judgement_names_are_left_out() -> None:
    corpus, _, _ = match_examples(dataset())
    assert corpus.queries["query_id"].to_list() == ["q1", "q2"]
    assert corpus.products["product_id"].to_list() == ["p1", "p1", "p2"]


def test_examples_and_judgement_rows_are_in_the_same_order() -> None:
    corpus, examples, rows = match_examples(dataset())
    names = corpus.queries["query_id"].gather(examples["train"].query).to_list()
    assert names == rows["train"]["query_id"].to_list()
    assert rows["train"]["product_id"].to_list() == ["p1", "p2"]


def test_labels_are_class_indices_best_first_and_weights_are_kept() -> None:
    _, examples, _ = match_examples(dataset())
    assert examples["train"].label.tolist() == [0, 1]
    assert examples["train"].weight.tolist() == [1.0, 0.5]


def test_a_split_without_judgements_is_empty() -> None:
    _, examples, rows = match_examples(dataset())
    assert len(examples["valid"]) == 0
    assert rows["valid"].columns == rows["train"].columns


def test_product_texts_skip_nulls_and_absent_columns() -> None:
    corpus, _, _ = match_examples(dataset())
    assert corpus.product_texts(["title", "brand", "color"]) == ["red shoe Acme", "zapato rojo", "Zeta"]
    assert corpus.product_texts(["description"]) == ["", "", ""]


def test_a_product_field_that_does_not_exist_is_named_with_the_nearest() -> None:
    corpus, _, _ = match_examples(dataset())
    with pytest.raises(DataError) as error:
        corpus.product_texts(["titel"])
    assert str(error.value) == 'products have no text field "titel"; did you mean "title"?'


def test_a_judgement_of_a_product_that_is_not_there_is_an_error_with_its_row() -> None:
    judgements = pl.DataFrame(
        {"query_id": ["q2", "q2"], "product_id": ["p1", "p9"], "label": ["match"] * 2, "split": ["train"] * 2}
    )
    with pytest.raises(DataError) as error:
        match_examples(dataset(judgements=judgements))
    assert str(error.value) == (
        "tiny: table judgements, row 2: product_id 'p9' is not in table products in the query's locale "
        "(rows like this: 1). Add what is missing or remove the rows."
    )


def test_matching_without_products_names_the_missing_table() -> None:
    with pytest.raises(
        DataError, match="tiny: no table products; matching needs queries, products and judgements"
    ):
        match_examples(dataset(products=None))


def test_take_and_concat_keep_the_four_arrays_together() -> None:
    examples = Examples(
        np.array([0, 1, 2]), np.array([5, 6, 7]), np.array([1, 0, 1]), np.array([1.0, 2.0, 3.0])
    )
    both = examples.take(np.array([2, 0])).concat(Examples.empty(), examples.take(slice(1, 2)))
    assert both.query.tolist() == [2, 0, 1]
    assert both.product.tolist() == [7, 5, 6]
    assert both.label.tolist() == [1, 1, 0]
    assert both.weight.tolist() == [3.0, 1.0, 2.0]


def test_examples_have_fixed_dtypes() -> None:
    examples = Examples(np.zeros(2, np.uint32), np.zeros(2, np.uint32), np.zeros(2), np.ones(2))
    assert [a.dtype.name for a in (examples.query, examples.product, examples.label, examples.weight)] == [
        "int64",
        "int64",
        "int64",
        "float32",
    ]


def test_examples_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="examples need arrays of one length"):
        Examples(np.zeros(2), np.zeros(2), np.zeros(3), np.zeros(2))


def test_a_frame_of_pairs_keeps_its_order_and_stores_texts_once() -> None:
    frame = pl.DataFrame({"query": ["b", "a", "b"], "title": ["x", "y", "y"], "price": [1, 2, 3]})
    corpus, examples = frame_examples(frame)
    assert isinstance(corpus, Corpus)
    assert (corpus.queries.height, corpus.products.height) == (2, 2)
    assert corpus.queries["locale"].to_list() == ["en", "en"]
    queries, products = corpus.query_texts(), corpus.product_texts(["title"])
    assert [(queries[q], products[p]) for q, p in zip(examples.query, examples.product, strict=True)] == [
        ("b", "x"),
        ("a", "y"),
        ("b", "y"),
    ]
    assert examples.label.tolist() == [-1, -1, -1]


def test_products_with_one_title_and_different_brands_stay_apart() -> None:
    frame = pl.DataFrame({"query": ["a", "a"], "title": ["x", "x"], "brand": ["Acme", None]})
    corpus, examples = frame_examples(frame)
    assert corpus.products["brand"].to_list() == ["Acme", None]
    assert corpus.products["product_id"].n_unique() == 2
    assert examples.product.tolist() == [0, 1]


def test_the_same_text_in_two_locales_is_two_queries() -> None:
    corpus, _ = frame_examples(
        pl.DataFrame({"query": ["tv", "tv"], "title": ["x", "x"], "locale": ["us", "es"]})
    )
    assert corpus.queries["query_id"].n_unique() == 2


def test_pairs_without_a_title_column_are_an_error() -> None:
    with pytest.raises(DataError) as error:
        frame_examples(pl.DataFrame({"query": ["a"], "name": ["x"]}))
    assert str(error.value) == (
        "pairs lack column title; they have query, name. Pairs to score need query and title."
    )


def test_pairs_with_an_empty_query_are_an_error_with_the_row() -> None:
    with pytest.raises(DataError) as error:
        frame_examples(pl.DataFrame({"query": ["a", " "], "title": ["x", "y"]}))
    assert str(error.value) == "pairs, row 2: query is empty (rows like this: 1). Fill it or remove the rows."
