from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prodmatch_baselines.match_pyramid import likeness, pool
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import load_task
from prodmatch_core.tokens.batches import Tokens
from prodmatch_core.tokens.table import neighbour_vectors
from prodmatch_core.training.member import fit_member

ENCODERS: dict[str, dict[str, Any]] = {
    "baselines.dssm": {"buckets": 4096, "hidden": 64, "width": 32},
    "baselines.match_pyramid": {"vocabulary": 2000, "width": 32},
}


@pytest.fixture(scope="module")
def shop() -> FitData:
    dataset = make_shop(ShopConfig(size=4000, events_per_judgement=0.0))
    corpus, examples, _ = match_examples(dataset)
    return FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)


@pytest.mark.parametrize("name", ENCODERS)
def test_networks_do_better_than_the_class_shares(name: str, shop: FitData) -> None:
    pipeline = load_pipeline(
        {
            "pipeline": {"name": "baselines"},
            "data": {"use": "shop.synthetic"},
            "member": [
                {
                    "name": "m",
                    "encoder": {"use": name, **ENCODERS[name]},
                    "training": {"epochs": 3, "learning_rate": 0.003, "measure": "nll"},
                }
            ],
        }
    )
    fitted = fit_member(pipeline.member[0], shop, load_task("match"), default_registry(), seed=0)
    label = shop.valid.label
    shares = np.bincount(shop.train.label, minlength=4) / len(shop.train)
    own = fitted.predict(shop.corpus, shop.valid)[np.arange(len(label)), label]
    assert -np.log(own).mean() < -np.log(shares[label]).mean() - 0.02


def test_the_picture_of_equal_tokens_is_one_in_cosine_and_kernel() -> None:
    token = torch.tensor([[[0.6, 0.8], [1.0, 0.0]]])
    picture = likeness(token, token)[0]
    torch.testing.assert_close(picture[0], torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    torch.testing.assert_close(picture[1], torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    torch.testing.assert_close(picture[2], torch.tensor([[1.0, np.exp(-0.8)], [np.exp(-0.8), 1.0]]).float())


def test_pooling_takes_the_maxima_of_equal_stretches_and_no_padding() -> None:
    row = torch.tensor([1.0, 5.0, 2.0, 3.0, 9.0, 9.0]).view(1, 1, 1, 6)
    assert pool(row, torch.tensor([4]), 2, 3).flatten().tolist() == [5.0, 3.0]
    assert pool(row, torch.tensor([1]), 3, 3).flatten().tolist() == [1.0, 1.0, 1.0]


def test_tokens_that_keep_the_same_company_have_like_vectors() -> None:
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(400):  # 5 and 6 stand where 10 to 14 do, 7 where 20 to 24 do
        word = int(rng.integers(5, 8))
        near = rng.integers(20, 25, 3) if word == 7 else rng.integers(10, 15, 3)
        texts.append([word, *near.tolist()])
    tokens = Tokens(np.array(texts, dtype=np.int32).ravel(), np.arange(len(texts) + 1) * 4)
    vectors = neighbour_vectors(tokens, 30, 4, rng)
    assert vectors[5] @ vectors[6] > 0.9
    assert abs(vectors[5] @ vectors[7]) < 0.2
    assert not vectors[3].any()


@pytest.mark.parametrize("name", ["dssm", "match_pyramid"])
def test_the_shipped_pipelines_are_valid(name: str) -> None:
    path = Path(__file__).parent.parent / "pipelines" / f"{name}.toml"
    assert load_pipeline(path).member[0].encoder.name == f"baselines.{name}"
