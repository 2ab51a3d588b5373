from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.conversions import DELAY_DAYS
from prodmatch_core.data.shop.generate import make_shop


@pytest.fixture(scope="module")
def shop():
    return make_shop(ShopConfig())


@pytest.fixture(scope="module")
def flow(shop):
    edges = shop.engagements.filter(pl.col("relation") == "bought_next")
    kinds = shop.truth["attributes"].select("product_id", "type")
    return edges.join(kinds.rename({"product_id": "src", "type": "from"}), on="src").join(
        kinds.rename({"product_id": "dst", "type": "to"}), on="dst"
    )


def fitting(shop):
    rows = shop.truth["relations"].filter(pl.col("relation").str.starts_with("fits_"))
    return {(a, d) for _, a, d in rows.iter_rows()}


def hill(values: np.ndarray, least: float) -> float:
    """Return the exponent of P(value > k) ~ k^(1-g) above `least`."""
    tail = values[values >= least]
    return 1 + len(tail) / np.log(tail / least).sum()


def test_clicks_fall_with_position_faster_than_relevance(shop):
    rows = shop.truth["positions"]
    rate = (rows["clicks"] / rows["impressions"]).to_numpy()
    exact = (rows["exact"] / rows["impressions"]).to_numpy()
    assert rate[0] / rate[-1] > 2 * exact[0] / exact[-1]


def test_each_step_of_a_session_is_rarer(shop):
    totals = shop.engagements.group_by("relation").agg(pl.col("count").sum().alias("times"))
    times = dict(totals.iter_rows())
    assert times["impression"] > times["click"] > times["add"] > times["purchase"] > 0


def test_purchases_are_cleaner_than_clicks(shop):
    products = shop.truth["judgements"].select("query_id", "product_id", "true_label")
    edges = shop.engagements.join(products, left_on=["src", "dst"], right_on=["query_id", "product_id"])
    share = {
        name: edges.filter(pl.col("relation") == name).select(
            ((pl.col("true_label") == "exact") * pl.col("count")).sum() / pl.col("count").sum()
        ).item()
        for name in ("click", "purchase")
    }  # fmt: skip
    assert share["purchase"] > share["click"]


def test_shoppers_click_accessories_after_asking_for_the_device(shop):
    edges = shop.engagements.filter(pl.col("relation") == "click").rename(
        {"src": "query_id", "dst": "product_id"}
    )
    edges = edges.join(shop.truth["constraints"].select("query_id", wanted="type"), on="query_id")
    edges = edges.join(shop.truth["attributes"].select("product_id", got="type"), on="product_id")
    fits = fitting(shop)
    assert sum((got, wanted) in fits for wanted, got in edges.select("wanted", "got").iter_rows()) > 50


def test_shoppers_do_not_click_every_match(shop):
    exact = shop.truth["judgements"].filter(pl.col("true_label") == "exact")
    clicks = shop.engagements.filter(pl.col("relation") == "click")
    clicked = exact.join(clicks, left_on=["query_id", "product_id"], right_on=["src", "dst"], how="semi")
    assert 0.05 < clicked.height / exact.height < 0.8


def test_small_locales_have_sparser_engagement(shop):
    clicks = shop.engagements.filter(pl.col("relation") == "click")
    times = dict(clicks.group_by("locale").agg(pl.col("count").sum().alias("times")).iter_rows())
    assert times["en"] > times["es"] > times["ja"] > 0


@pytest.mark.parametrize("exponent", [2.0, 2.6])
def test_degrees_of_bought_next_follow_the_power_law(exponent):
    shop = make_shop(ShopConfig(degree_exponent=exponent, reciprocal=0.0, asymmetry=1.0))
    edges = shop.engagements.filter(pl.col("relation") == "bought_next")
    degree = edges.group_by("src").agg(pl.col("count").sum().alias("times"))["times"].to_numpy()
    assert hill(degree + 0.5, 20.5) == pytest.approx(exponent, abs=0.35)


def test_bought_next_goes_from_device_to_accessory_and_rarely_back(shop, flow):
    fits = fitting(shop)
    way = {True: 0.0, False: 0.0}
    for kind, to, count in flow.select("from", "to", "count").iter_rows():
        if ((to, kind) in fits) != ((kind, to) in fits):
            way[(to, kind) in fits] += count
    assert way[False] / (way[True] + way[False]) < 0.15


def test_reciprocal_share_runs_both_ways_between_consumables(shop, flow):
    pairs = {(a, b) for n, a, b in shop.truth["relations"].iter_rows() if n == "pairs"}
    fits = fitting(shop)
    both = {(a, b) for a, b in pairs if (a, b) not in fits and (b, a) not in fits}
    there = flow.filter(pl.Series([p in both and p[0] < p[1] for p in flow.select("from", "to").iter_rows()]))
    back = flow.filter(pl.Series([p in both and p[0] > p[1] for p in flow.select("from", "to").iter_rows()]))
    assert there["count"].sum() == pytest.approx(back["count"].sum(), rel=0.1)


def test_true_next_purchase_probabilities_add_up_to_one_and_match_counts(shop, flow):
    truth = shop.truth["next_purchase"]
    total = truth.group_by("src").agg(pl.col("probability").sum())["probability"]
    assert total.to_numpy() == pytest.approx(1)
    busy = flow.with_columns(all=pl.col("count").sum().over("src")).filter(pl.col("all") > 300)
    busy = busy.join(truth, on=["src", "dst"])
    error = (busy["count"] / busy["all"] - busy["probability"]).abs()
    assert busy.height > 20
    assert error.max() < 0.1


def test_unnamed_compatibility_is_in_the_graph(shop, flow):
    hidden = shop.truth["attributes"].filter(pl.col("hidden") == "fits")
    fits = dict(hidden.select("product_id", "fits").iter_rows())
    model = dict(shop.truth["attributes"].select("product_id", "model").iter_rows())
    edges = [(s, d) for s, d in flow.select("src", "dst").iter_rows() if d in fits and model[s] is not None]
    assert len(edges) > 20
    assert all(model[s] in fits[d] for s, d in edges)


def test_delays_of_each_department_follow_its_law(shop):
    laws = shop.truth["delay_laws"]
    truth = (
        shop.truth["events"]
        .join(shop.events.select("event_id", "department"), on="event_id")
        .drop_nulls("delay_days")
    )
    for department, *weights in laws.iter_rows():
        delays = truth.filter(pl.col("department") == department)["delay_days"].to_numpy()
        if len(delays) < 100:
            continue
        for days in (0.02, 1.0, 10.0):
            expected = np.dot(weights, 1 - np.exp(-days / DELAY_DAYS))
            assert (delays <= days).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(0.25 / len(delays)))


def test_conversion_rate_is_the_mean_true_probability(shop):
    truth = shop.truth["events"]
    assert truth["final_label"].mean() == pytest.approx(truth["p"].mean(), abs=0.006)


def test_true_probabilities_are_calibrated_by_decile(shop):
    rows = shop.truth["events"].sort("p").with_row_index().with_columns(bin=pl.col("index") * 10 // pl.len())
    table = rows.group_by("bin").agg(pl.col("p").mean(), pl.col("final_label").mean())
    assert (table["p"] - table["final_label"]).abs().max() < 0.03


def test_conversions_are_logged_within_the_attribution_window_alone(shop):
    days = (shop.events["converted_at"] - shop.events["shown_at"]).dt.total_seconds() / 86_400
    late = shop.truth["events"].filter(pl.col("delay_days") > 30)
    assert days.max() <= 30
    assert late.height > 0
    assert late["final_label"].sum() == 0


def test_signals_come_before_the_conversion(shop):
    rows = shop.events.drop_nulls(["engaged_at", "converted_at"])
    assert rows.height > 100
    assert (rows["engaged_at"] <= rows["converted_at"]).all()
    assert (shop.events["engaged_at"] >= shop.events["shown_at"]).drop_nulls().all()


def test_signal_strength_separates_converters():
    def gap(strength):
        shop = make_shop(ShopConfig(size=4_000, signal_strength=strength))
        rows = shop.events.with_columns(
            signal=pl.col("engaged_at").is_not_null(),
            sold=pl.Series(shop.truth["events"]["delay_days"].is_not_null()),
        )
        rate = dict(rows.group_by("sold").agg(pl.col("signal").mean()).iter_rows())
        return rate[True] - rate[False]

    assert gap(1.0) > 0.8
    assert abs(gap(0.0)) < 0.15


def test_drift_raises_conversion_over_the_sixty_days():
    shop = make_shop(ShopConfig(size=4_000, drift=3.0))
    rows = (
        shop.events.select("event_id", "shown_at").join(shop.truth["events"], on="event_id").sort("shown_at")
    )
    half = rows.height // 2
    assert rows["p"].tail(half).mean() > 1.5 * rows["p"].head(half).mean()
