from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prodmatch_baselines.features import LexicalFeatures
from prodmatch_baselines.pairing import K1, B
from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_baselines.reading import folded, models, quantities, words
from prodmatch_core.data.corpus import Corpus, Examples

CATALOGUE = (
    ("DeWalt 12 in. compound miter saw DCD-771", "DeWalt"),
    ("1 ft. steel ruler", "Stanley"),
    ("Steel ruler, 24 in.", "Stanley"),
    ("Slim case for DeWalt tool 17 oz", "Case Works"),
    ("16 fl oz garden sprayer", None),
    ("Shed, 2x4 frame", "Stanley"),
)


def made(queries: list[str], catalogue: tuple[tuple[str, str | None], ...] = CATALOGUE) -> Corpus:
    titles, brands = zip(*catalogue, strict=True)
    ids = [str(number) for number in range(len(titles))]
    products = pl.DataFrame({"product_id": ids, "title": titles, "brand": pl.Series(brands, dtype=pl.String)})
    return Corpus(pl.DataFrame({"query_id": queries, "text": queries}), products)


def column(name: str, query: str, *products: int) -> list[float]:
    corpus = made([query])
    features = LexicalFeatures.of(LexicalGBDTConfig(fields=("title",)), corpus)
    rows = np.array(products)
    examples = Examples(np.zeros(len(rows)), rows, np.zeros(len(rows)), np.ones(len(rows)))
    return features.columns(corpus, examples)[:, features.names.index(name)].tolist()


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("2-1/2 in. pipe", "length", 63.5),
        ("pipe 2 1/2 inch", "length", 63.5),
        ('3/4" pipe', "length", 19.05),
        ("a 10-ft pipe", "length", 3048.0),
        ("5インチ", "length", 127.0),
        ("1,000 lumens", "light", 1000.0),
        ("botella 2,5 l", "volume", 2500.0),
        ("14.4v drill", "voltage", 14.4),
        (".5 lb", "mass", 226.796),
        ("20 sq. ft.", "area", 1858060.8),
    ],
)
def test_a_quantity_is_read_in_its_dimensions_own_unit(text: str, dimension: str, value: float) -> None:
    found = quantities(folded([text]))
    assert found["dimension"].to_list() == [dimension]
    assert found["value"][0] == pytest.approx(value)


def test_a_number_without_a_unit_is_no_quantity() -> None:
    assert not quantities(folded(["iphone 12", "9 drawer chest", ""])).height


def test_a_plurals_s_is_cut_off_and_scripts_without_spaces_are_read_by_character() -> None:
    found = words(folded(["Sheds glass GAS", "x10用ケース"]))
    assert sorted(found.filter(pl.col("text") == 0)["word"]) == ["gas", "glass", "shed"]
    assert {"x10", "用", "ケ"} <= set(found.filter(pl.col("text") == 1)["word"])


def test_a_model_mixes_letters_and_digits_and_is_no_quantity() -> None:
    found = models(folded(["DCD-771 dcd771 12in 2x4 saw 771 14.4v"]))
    assert found["model"].to_list() == ["dcd771"]


def test_quantities_in_other_units_agree() -> None:
    assert column("title_quantities_agree", "12 inch ruler", 1, 2) == [1.0, 0.0]
    assert column("title_quantities_conflict", "12 inch ruler", 1, 2, 5) == [0.0, 1.0, 0.0]


def test_the_gap_of_quantities_is_the_distance_of_their_logarithms() -> None:
    assert column("title_quantity_gap", "12 inch ruler", 2, 5) == pytest.approx([math.log(2), -1.0])


def test_a_query_without_quantities_or_models_says_so() -> None:
    assert column("title_quantities_agree", "steel ruler", 1) == [-1.0]
    assert column("title_models_found", "steel ruler", 1) == [-1.0]


def test_an_ounce_fills_as_well_as_it_weighs() -> None:
    assert column("title_quantities_agree", "16 oz sprayer", 4)[0] > 0


def test_a_model_is_found_however_it_is_written_and_another_one_conflicts() -> None:
    assert column("title_models_found", "dcd771", 0, 1) == [1.0, 0.0]
    assert column("title_models_conflict", "dcd780 saw", 0, 1) == [1.0, 0.0]


def test_the_products_brand_is_asked_for_by_all_its_words() -> None:
    assert column("brand_asked", "works case", 3, 1) == [1.0, 0.0]
    assert column("brand_asked", "case", 3) == [0.0]


def test_another_brand_counts_unless_the_products_text_names_it() -> None:
    assert column("brand_other", "dewalt case", 1, 3, 0) == [1.0, 0.0, 0.0]


def test_a_product_without_a_brand_says_so() -> None:
    assert column("brand_asked", "dewalt saw", 4) == [-1.0]


def test_bm25_is_the_published_sum() -> None:
    lengths = [len(words(folded([title]))) for title, _ in CATALOGUE]
    titles = [set(words(folded([title]))["word"]) for title, _ in CATALOGUE]
    expected = 0.0
    for word in ("steel", "ruler"):
        having = sum(word in found for found in titles)
        idf = math.log(1 + (len(titles) - having + 0.5) / (having + 0.5))
        length = lengths[1] / (sum(lengths) / len(lengths))
        expected += idf * (K1 + 1) / (1 + K1 * (1 - B + B * length))
    assert column("title_bm25", "steel rulers", 1, 0) == pytest.approx([expected, 0.0])


def test_a_text_is_as_like_to_itself_as_can_be() -> None:
    assert column("title_tfidf_cosine", CATALOGUE[1][0], 1) == pytest.approx([1.0])


def test_columns_do_not_depend_on_what_else_is_asked_nor_on_a_round_trip(tmp_path: Path) -> None:
    corpus = made(["12 in saw", "dewalt case", "dcd771"])
    config = LexicalGBDTConfig()
    features = LexicalFeatures.of(config, corpus)
    query, product = (side.ravel() for side in np.meshgrid(np.arange(3), np.arange(len(CATALOGUE))))
    examples = Examples(query, product, np.zeros(len(query)), np.ones(len(query)))
    whole = features.columns(corpus, examples)
    assert whole.shape == (18, len(features.names))
    features.save(tmp_path)
    again = LexicalFeatures.load(config, tmp_path)
    few = Corpus(corpus.queries[1:2], corpus.products[3:4])
    alone = again.columns(few, Examples(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1)))
    row = int(np.flatnonzero((query == 1) & (product == 3))[0])
    np.testing.assert_array_equal(alone[0], whole[row])


def test_pairs_of_nothing_have_columns_too() -> None:
    corpus = made(["", "saw"], (("", None), ("saw", None)))
    features = LexicalFeatures.of(LexicalGBDTConfig(), corpus)
    examples = Examples(np.array([0, 1]), np.array([0, 0]), np.zeros(2), np.ones(2))
    assert np.isfinite(features.columns(corpus, examples)).all()
    assert features.columns(corpus, Examples.empty()).shape == (0, len(features.names))
