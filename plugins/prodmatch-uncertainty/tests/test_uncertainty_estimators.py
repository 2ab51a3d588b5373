from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.loss import Output
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_uncertainty.configs import UCEConfig
from prodmatch_uncertainty.dirichlet import entropy
from prodmatch_uncertainty.posterior import RadialFlows
from prodmatch_uncertainty.spreads import spread
from prodmatch_uncertainty.uce import UCELoss

BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))
NGRAM = {"use": "core.ngram", "width": 8, "buckets": 4096}
TRAINING = {"epochs": 2, "learning_rate": 0.003}
ENCODERS: dict[str, dict[str, Any]] = {
    "posterior": {"use": "uncertainty.posterior", "encoder": NGRAM},
    "mc_dropout": {"use": "uncertainty.mc_dropout", "encoder": NGRAM, "samples": 8},
    "mc_dropout of the head": {
        "use": "uncertainty.mc_dropout",
        "encoder": NGRAM,
        "inside": False,
        "measure": "mutual_information",
    },
    "ensemble": {"use": "uncertainty.ensemble", "encoder": NGRAM, "members": 2, "training": {"epochs": 1}},
    "two towers": {"use": "uncertainty.posterior", "encoder": {**NGRAM, "mode": "two_tower"}},
}


@pytest.fixture(scope="module")
def shop() -> FitData:
    dataset = make_shop(ShopConfig(size=1500))
    corpus, examples, _ = match_examples(dataset)
    return FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)


def section(encoder: dict[str, Any]) -> Any:
    member: dict[str, Any] = {"name": "m", "encoder": encoder}
    if encoder["use"] != "uncertainty.ensemble":
        member["training"] = TRAINING
    if encoder["use"] == "uncertainty.posterior":
        member["loss"] = [{"use": "uncertainty.uce"}]
    tree = {"pipeline": {"name": "t"}, "data": {"use": "shop.synthetic"}, "member": [member]}
    return load_pipeline(tree).member[0]


@pytest.fixture(scope="module", params=list(ENCODERS))
def fitted(request: pytest.FixtureRequest, shop: FitData) -> tuple[Any, FittedMember]:
    member = section(ENCODERS[request.param])
    return member, fit_member(member, shop, load_task("match"), default_registry(), seed=0)


def test_every_estimator_gives_distributions_and_a_finite_uncertainty_that_varies(
    shop: FitData, fitted: tuple[Any, FittedMember]
) -> None:
    probabilities, unsure = fitted[1].predict_with_uncertainty(shop.corpus, shop.valid)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.isfinite(unsure).all()
    assert len(np.unique(unsure)) > len(unsure) / 2


def test_neither_order_nor_batch_mates_change_what_an_estimator_says(
    shop: FitData, fitted: tuple[Any, FittedMember]
) -> None:
    probabilities, unsure = fitted[1].predict_with_uncertainty(shop.corpus, shop.valid)
    some = np.array([40, 3, 17])
    again, doubt = fitted[1].predict_with_uncertainty(shop.corpus, shop.valid.take(some))
    np.testing.assert_allclose(again, probabilities[some], atol=1e-5)
    np.testing.assert_allclose(doubt, unsure[some], rtol=1e-3, atol=1e-6)


def test_a_saved_estimator_says_the_same(
    shop: FitData, fitted: tuple[Any, FittedMember], tmp_path: Path
) -> None:
    member, model = fitted
    model.save(tmp_path / "m")
    loaded = FittedMember.load(member, load_task("match"), ESCI, tmp_path / "m")
    for found, expected in zip(
        loaded.predict_with_uncertainty(shop.corpus, shop.valid),
        model.predict_with_uncertainty(shop.corpus, shop.valid),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.pt"))


def test_the_same_seed_fits_the_same_estimator(shop: FitData, fitted: tuple[Any, FittedMember]) -> None:
    member, model = fitted
    again = fit_member(member, shop, load_task("match"), default_registry(), seed=0)
    for found, expected in zip(
        again.predict_with_uncertainty(shop.corpus, shop.valid),
        model.predict_with_uncertainty(shop.corpus, shop.valid),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("alpha", "expected"), [(1, 0.0), (2, -0.12509), (10, -0.79834)])
def test_spec_4_differential_entropies_of_betas(alpha: float, expected: float) -> None:
    found = entropy(torch.tensor([alpha, alpha], dtype=torch.float64))
    assert float(found) == pytest.approx(expected, abs=5e-6)


def test_the_entropy_of_a_flat_dirichlet_is_the_logarithm_of_the_simplex_volume() -> None:
    assert float(entropy(torch.ones(4, dtype=torch.float64))) == pytest.approx(-math.log(math.factorial(3)))


def test_radial_flows_are_densities() -> None:
    flows = RadialFlows(classes=2, width=2, layers=4).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flows.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        line = torch.linspace(-12, 12, 601, dtype=torch.float64)
        plane = torch.cartesian_prod(line, line)
        mass = flows(plane).exp().sum(0) * float(line[1] - line[0]) ** 2
    np.testing.assert_allclose(mass.numpy(), 1, atol=0.01)


def test_flows_begin_as_the_standard_normal() -> None:
    z = torch.tensor([[0.5, -1.0, 2.0]])
    expected = torch.distributions.Normal(0, 1).log_prob(z).sum()
    found = RadialFlows(classes=3, width=3, layers=6)(z)
    np.testing.assert_allclose(found.detach().numpy(), float(expected), atol=1e-5)


def test_uce_is_the_expected_log_loss_under_the_dirichlet() -> None:
    alpha = np.array([3.0, 1.5])
    draws = np.random.default_rng(0).dirichlet(alpha, 400_000)
    loss = UCELoss(UCEConfig(entropy_weight=0.0), BINARY)
    output = Output(labels=torch.tensor([0]), weights=torch.ones(1), logits=torch.tensor(np.log(alpha))[None])
    assert float(loss(output)) == pytest.approx(-np.log(draws[:, 0]).mean(), abs=0.005)


def test_uce_rewards_entropy_by_its_weight() -> None:
    logits = torch.log(torch.tensor([[3.0, 1.5]], dtype=torch.float64))
    output = Output(labels=torch.tensor([0]), weights=torch.ones(1), logits=logits)
    plain, rewarded = (float(UCELoss(UCEConfig(weight), BINARY)(output)) for weight in (0.0, 0.5))
    assert plain - rewarded == pytest.approx(0.5 * float(entropy(logits.exp())[0]), abs=1e-6)


def test_variance_is_of_the_probability_of_a_match() -> None:
    # P(match) of an ESCI row is that of "exact": 0.2 and 0.6 vary by 0.04.
    said = np.array([[[0.2, 0.5, 0.2, 0.1], [0.6, 0.1, 0.2, 0.1]]])
    np.testing.assert_allclose(spread(said, "variance", ESCI), [0.04])


def test_mutual_information_by_hand() -> None:
    # One member is sure of either class: all that is unknown is which member is right.
    said = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(spread(said, "mutual_information", BINARY), [math.log(2), 0], atol=1e-12)
    np.testing.assert_allclose(spread(said, "entropy", BINARY), [math.log(2)] * 2)
