from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.describing.delay_laws import DelayLaw, fit_delay_laws, gather, kaplan_meier
from prodmatch_core.data.describing.delays import conversions
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop

Draw = Callable[[np.random.Generator, int], np.ndarray]


def censored(draw: Draw, share: float = 0.3, end: float = 20.0, events: int = 30_000) -> dict[str, DelayLaw]:
    """Fit laws to a log of `end` days whose events convert with `share`, those yet to come unseen."""
    generator = np.random.default_rng(0)
    followed = generator.uniform(0, end, events)
    delay = draw(generator, events)
    seen = (generator.random(events) < share) & (delay <= followed)
    return {law.name: law for law in fit_delay_laws(gather(delay[seen], followed[~seen]))}


def test_the_exponential_s_mean_and_the_share_that_converts_are_found() -> None:
    laws = censored(lambda g, n: g.exponential(6.0, n))
    assert laws["exponential"].parameters["mean_days"] == pytest.approx(6.0, rel=0.06)
    assert laws["exponential"].converting == pytest.approx(0.3, abs=0.012)
    assert laws["Weibull"].parameters["shape"] == pytest.approx(1.0, abs=0.03)


def test_the_weibull_s_scale_and_shape_are_found_and_it_is_likeliest() -> None:
    laws = censored(lambda g, n: 2 * g.weibull(0.6, n))
    law = laws["Weibull"]
    assert next(iter(laws)) == "Weibull"
    assert law.parameters == pytest.approx({"scale_days": 2.0, "shape": 0.6}, rel=0.05)
    assert law.median_days == pytest.approx(2 * np.log(2) ** (1 / 0.6), rel=0.05)
    assert law.distance < 0.02


def test_the_log_normal_s_median_and_sigma_are_found_and_it_is_likeliest() -> None:
    laws = censored(lambda g, n: np.exp(g.normal(0.5, 1.4, n)))
    law = laws["log-normal"]
    assert next(iter(laws)) == "log-normal"
    assert law.parameters == pytest.approx({"median_days": np.exp(0.5), "sigma": 1.4}, rel=0.06)


def test_the_mixture_s_means_and_weights_are_found_and_it_is_likeliest() -> None:
    means, weights = np.array([20 / 1440, 1.0, 9.0]), [0.5, 0.3, 0.2]
    laws = censored(lambda g, n: g.exponential(means[g.choice(3, n, p=weights)]), end=60.0)
    law = laws["mixture of exponentials"]
    assert next(iter(laws)) == "mixture of exponentials"
    assert [law.parameters[f"mean_days_{i}"] for i in (1, 2, 3)] == pytest.approx(means, rel=0.12)
    assert [law.parameters[f"weight_{i}"] for i in (1, 2, 3)] == pytest.approx(weights, abs=0.02)


def test_without_censoring_the_exponential_s_mean_is_the_mean() -> None:
    delays = np.array([0.5, 1.0, 1.5, 4.0] * 10)
    law = next(law for law in fit_delay_laws(gather(delays, np.zeros(0))) if law.name == "exponential")
    assert law.parameters["mean_days"] == pytest.approx(1.75, rel=2e-3)
    assert law.converting == 1.0
    assert law.log_likelihood == pytest.approx(-40 * (np.log(1.75) + 1), rel=1e-3)


def test_without_censoring_the_log_normal_has_the_moments_of_the_logarithms() -> None:
    delays = np.exp(np.random.default_rng(1).normal(0.2, 0.7, 500))
    law = next(law for law in fit_delay_laws(gather(delays, np.zeros(0))) if law.name == "log-normal")
    logs = np.log(delays)
    assert law.parameters == pytest.approx(
        {"median_days": np.exp(logs.mean()), "sigma": logs.std()}, rel=2e-3
    )


def test_few_conversions_have_no_law() -> None:
    assert fit_delay_laws(gather(np.linspace(1, 2, 19), np.ones(1000))) == []
    assert fit_delay_laws(gather(np.zeros(0), np.ones(10))) == []


def test_the_kaplan_meier_curve_by_hand() -> None:
    # At 1 day: 1 of 4 at risk; the event watched for 2 days leaves; at 3 days: 1 of 2.
    curve = kaplan_meier(gather(np.array([1.0, 3.0]), np.array([2.0, 5.0])))
    assert curve.tolist() == pytest.approx([0.25, 1 - 0.75 * 0.5])


def test_gathering_keeps_every_event_and_moves_none_by_more_than_its_cell() -> None:
    delays = np.random.default_rng(2).exponential(1.0, 5_000)
    times = gather(delays, np.array([0.0, 1.0, 1.0]))
    assert (times.delays.sum(), times.watched.tolist()) == (5_000, [2.0])
    assert times.events == 5_002
    nearest = np.abs(np.log(times.delay[:, None] / np.sort(delays)[None, ::50])).min(axis=0)
    assert nearest.max() < np.log(2) / 512


def test_the_shop_s_delay_law_is_found() -> None:
    # Departments mix the same three exponentials in different shares; conversions count within 30 days.
    shop = make_shop(ShopConfig())
    truth = shop.truth["events"]
    bought = truth.filter(pl.col("delay_days").is_not_null())
    weights = bought.select(pl.mean("weight_minutes", "weight_day", "weight_weeks")).row(0)
    assert shop.events is not None
    found = conversions(shop.events, window_days=30.0)
    law = found["laws"][0]
    assert law["name"] == "mixture of exponentials"
    values = law["parameters"]
    assert [values[f"mean_days_{i}"] for i in (1, 2, 3)] == pytest.approx([20 / 1440, 1.0, 9.0], rel=0.15)
    assert [values[f"weight_{i}"] for i in (1, 2, 3)] == pytest.approx(weights, abs=0.03)
    assert law["converting"] == pytest.approx(truth["p_ever"].mean(), abs=0.006)
