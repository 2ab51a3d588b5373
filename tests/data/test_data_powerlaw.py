from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.describing.degrees import graph, spread
from prodmatch_core.data.describing.powerlaw import fit_power_law
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop


@pytest.mark.parametrize("exponent", [1.5, 2.2, 3.0])
def test_the_exponent_of_drawn_numbers_is_found(exponent: float) -> None:
    law = fit_power_law(np.random.default_rng(0).zipf(exponent, 20_000), xmin=1)
    assert law is not None
    assert abs(law.exponent - exponent) < 4 * law.error
    assert law.error < 0.05
    assert law.distance < 0.01


def test_the_exponent_is_the_zero_of_the_score() -> None:
    # With xmin 1 the likeliest exponent has -zeta'(a)/zeta(a) equal to the mean logarithm.
    values = np.repeat([1, 2, 3, 4], [70, 20, 7, 3])
    law = fit_power_law(values, xmin=1)
    assert law is not None
    n = np.arange(1, 2_000_000, dtype=float) ** -law.exponent
    mean = float((n * np.log(np.arange(1, 2_000_000))).sum() / n.sum())
    assert mean == pytest.approx(float(np.log(values).mean()), rel=1e-4)


def test_the_lower_end_is_where_the_law_begins() -> None:
    generator = np.random.default_rng(1)
    tail = generator.zipf(2.3, 200_000)
    values = np.concatenate([generator.integers(1, 8, 20_000), tail[tail >= 8]])
    law = fit_power_law(values)
    assert law is not None
    assert 7 <= law.xmin <= 12
    assert law.exponent == pytest.approx(2.3, abs=0.06)
    assert law.share == pytest.approx((values >= law.xmin).mean())


def test_a_power_law_beats_an_exponential_tail_where_it_is_one_and_not_elsewhere() -> None:
    generator = np.random.default_rng(2)
    heavy = fit_power_law(generator.zipf(2.2, 5_000), xmin=1)
    light = fit_power_law(generator.geometric(0.3, 5_000), xmin=1)
    assert heavy is not None and light is not None
    assert heavy.against_exponential > 2
    assert light.against_exponential < -2


@pytest.mark.parametrize("values", [[], [0, 0], [1] * 500, [1, 2] * 200, [1, 2, 3] * 5])
def test_too_few_or_too_equal_numbers_have_no_law(values: list[int]) -> None:
    assert fit_power_law(np.array(values, dtype=np.int64)) is None


def test_the_survival_of_a_law_is_its_share_at_its_lower_end() -> None:
    law = fit_power_law(np.random.default_rng(3).zipf(2.0, 5_000), xmin=4)
    assert law is not None
    assert law.survival(4).item() == pytest.approx(law.share)
    assert law.survival(8).item() == pytest.approx(law.share * ((7.5 / 3.5) ** (1 - law.exponent)), rel=0.02)


@pytest.mark.parametrize("exponent", [2.0, 2.6])
def test_the_shop_s_popularity_exponent_is_found_in_its_purchases(exponent: float) -> None:
    # Times a product is bought before another follow the products' popularity.
    shop = make_shop(ShopConfig(degree_exponent=exponent, reciprocal=0.0, asymmetry=1.0))
    law = graph(shop)["bought_next"]["out_count"]["law"]
    assert law["exponent"] == pytest.approx(exponent, abs=0.35)


def test_the_law_of_the_shop_s_known_popularity_is_its_dial() -> None:
    shop = make_shop(ShopConfig(degree_exponent=2.4, size=2_000))
    popularity = shop.truth["attributes"]["popularity"].to_numpy()
    law = fit_power_law(np.floor(popularity * 20 + 0.5).astype(np.int64))
    assert law is not None
    assert law.exponent == pytest.approx(2.4, abs=0.1)


def test_a_spread_has_quantiles_and_the_share_at_least_as_large() -> None:
    found = spread(np.array([1, 1, 2, 5]))
    assert found["survival"] == [[1.0, 1.0], [2.0, 0.5], [5.0, 0.25]]
    assert found["quantiles"]["max"] == 5
    assert found["mean"] == 2.25
    assert found["law"] is None


def test_a_long_survival_curve_keeps_its_ends() -> None:
    values = np.arange(1, 5_001)
    curve = spread(values)["survival"]
    assert len(curve) <= 80
    assert (curve[0], curve[-1]) == ([1.0, 1.0], [5000.0, 1 / 5000])
    assert all(share == pytest.approx((5001 - x) / 5000) for x, share in curve)
    assert math.isclose(sum(s > 0 for _, s in curve), len(curve))
    assert pl.Series([x for x, _ in curve]).is_sorted()
