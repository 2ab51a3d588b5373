from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.data.shop.reference import reference_figures
from prodmatch_core.data.shop.spelling import canonical, spell
from prodmatch_core.data.shop.worldbook import load_world
from prodmatch_core.errors import DataError


@pytest.fixture(scope="module")
def figures():
    return reference_figures(make_shop(ShopConfig(size=6_000)), seed=0)


def test_word_overlap_stays_well_below_the_rule(figures):
    assert figures["lexical"]["macro_f1"] < 0.6
    assert figures["rule"]["macro_f1"] > 0.9


def test_word_overlap_says_more_than_the_majority(figures):
    assert figures["lexical"]["macro_f1"] > figures["majority"]["macro_f1"] + 0.1


def test_a_reader_of_attributes_comes_close_to_the_rule(figures):
    assert figures["rule"]["macro_f1"] - 0.06 < figures["reader"]["macro_f1"] < figures["rule"]["macro_f1"]


def test_reference_figures_need_the_truth():
    with pytest.raises(DataError, match="reference figures need a shop with judgements and their truth"):
        reference_figures(Dataset(name="other"), seed=0)


def test_configuration_imports_nothing_heavy():
    code = (
        "import sys, prodmatch_core.data.shop.config;"
        "print([m for m in ('polars', 'numpy', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("field", "value"), [("size", 10), ("tau", 0.5), ("cold", 1.5), ("rater_noise", -0.1)]
)
def test_dials_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        ShopConfig(**{field: value})


def test_the_world_has_fourteen_departments_and_more_than_sixty_types():
    world = load_world()
    assert len(world.departments) == 14
    assert len(world.types) >= 60


def test_every_term_has_words_in_three_languages():
    world = load_world()
    terms = [*world.types, *world.values, *world.features, *world.departments]
    assert all(len(term.words) == 3 and all(term.words) for term in terms)


def test_brands_are_distinct():
    names = [brand.words[0][0] for brand in load_world().brands]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("one", "other"), [(("liter", 1.0), ("ml", 1000)), (("kg", 2), ("gram", 2000))])
def test_equal_quantities_meet_under_one_key(one, other):
    assert canonical(*one) == canonical(*other)


def test_a_liter_is_spelled_in_several_ways():
    english, spanish, japanese = spell("liter", 1.0)
    assert {"1 L", "1000ml"} <= set(english)
    assert "1 L" in spanish
    assert "1000ml" in japanese


def test_no_model_name_repeats_within_a_brand():
    models = make_shop(ShopConfig(size=2_000)).truth["models"]["model"]
    assert models.n_unique() == models.len()


def test_texts_are_in_the_script_of_their_locale():
    products = make_shop(ShopConfig(size=2_000)).products
    kana = pl.col("title").str.contains(r"[\u3040-\u30ff\u4e00-\u9fff]")
    assert products.filter(pl.col("locale") == "ja").select(kana.mean()).item() == 1
    assert products.filter(pl.col("locale") != "ja").select(kana.sum()).item() == 0
