from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prodmatch_baselines.lexical_gbdt import LexicalGBDT
from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop

CONFIG = LexicalGBDTConfig(rounds=60)


@pytest.fixture(scope="module")
def shop() -> FitData:
    dataset = make_shop(ShopConfig(size=2000))
    corpus, examples, _ = match_examples(dataset)
    return FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)


@pytest.fixture(scope="module")
def fitted(shop: FitData) -> LexicalGBDT:
    return LexicalGBDT.fit(CONFIG, shop, np.random.default_rng(0))


def test_probabilities_are_distributions_over_the_labels(shop: FitData, fitted: LexicalGBDT) -> None:
    probabilities = fitted.predict(shop.corpus, shop.valid)
    assert probabilities.shape == (len(shop.valid), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)


def test_trees_do_better_than_the_class_shares(shop: FitData, fitted: LexicalGBDT) -> None:
    label = shop.valid.label
    shares = np.bincount(shop.train.label, minlength=4) / len(shop.train)
    own = fitted.predict(shop.corpus, shop.valid)[np.arange(len(label)), label]
    assert -np.log(own).mean() < -np.log(shares[label]).mean() - 0.02


def test_the_same_seed_gives_the_same_trees(shop: FitData, fitted: LexicalGBDT) -> None:
    again = LexicalGBDT.fit(CONFIG, shop, np.random.default_rng(0))
    assert np.array_equal(again.predict(shop.corpus, shop.valid), fitted.predict(shop.corpus, shop.valid))


def test_saved_trees_predict_the_same(shop: FitData, fitted: LexicalGBDT, tmp_path: Path) -> None:
    fitted.save_assets(tmp_path)
    loaded = LexicalGBDT.load(CONFIG, tmp_path)
    expected = fitted.predict(shop.corpus, shop.valid)
    np.testing.assert_allclose(loaded.predict(shop.corpus, shop.valid), expected, atol=1e-12)


def test_the_shipped_pipeline_is_valid() -> None:
    path = Path(__file__).parent.parent / "pipelines" / "lexical_gbdt.toml"
    assert load_pipeline(path).member[0].encoder.name == "baselines.lexical_gbdt"
