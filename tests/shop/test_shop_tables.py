from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop, write_shop
from prodmatch_core.data.shop.reference import judged_texts
from prodmatch_core.errors import DataError

SMALL = ShopConfig(size=2_000)


@pytest.fixture(scope="module")
def shop():
    return make_shop(SMALL)


@pytest.fixture(scope="module")
def demo():
    return make_shop(ShopConfig())


def truth_digest(dataset) -> str:
    return str([(name, frame.hash_rows(seed=1).sum()) for name, frame in sorted(dataset.truth.items())])


def test_same_seed_gives_the_same_bytes(shop):
    again = make_shop(SMALL)
    assert again.fingerprint() == shop.fingerprint()
    assert truth_digest(again) == truth_digest(shop)


def test_seeds_beyond_32_bits_are_shops_of_their_own(shop):
    far = make_shop(ShopConfig(size=2_000, seed=2**32))
    assert not far.products["title"].head(100).equals(shop.products["title"].head(100))
    assert far.truth["attributes"]["popularity"].sum() != shop.truth["attributes"]["popularity"].sum()


def test_another_seed_gives_another_shop(shop):
    assert make_shop(ShopConfig(size=2_000, seed=1)).fingerprint() != shop.fingerprint()


@pytest.mark.parametrize("threads", ["1", "3"])
def test_number_of_polars_threads_does_not_matter(shop, threads):
    code = (
        "from prodmatch_core.data.shop.config import ShopConfig;"
        "from prodmatch_core.data.shop.generate import make_shop;"
        "print(make_shop(ShopConfig(size=2_000)).fingerprint())"
    )
    env = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shop.fingerprint()


def test_written_files_hold_the_rows_of_the_shop_in_memory(shop, tmp_path):
    write_shop(SMALL, tmp_path / "shop")
    for name, table in shop.tables():
        written = pl.read_parquet(tmp_path / "shop" / f"{name}.parquet")
        assert written.select(table.columns).equals(table)
    for name, table in shop.truth.items():
        assert pl.read_parquet(tmp_path / "shop" / "truth" / f"{name}.parquet").equals(table)


def test_a_shop_is_not_written_over_files(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError) as error:
        write_shop(SMALL, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the folder holds files that are not a data set's (mine.txt). Name a new or empty folder."
    )


def test_number_of_judgements_is_the_size(demo):
    assert demo.judgements.height == 20_000


def test_label_shares_are_within_a_point_of_esci(demo):
    shares = dict(demo.judgements["label"].value_counts(normalize=True).iter_rows())
    target = {"exact": 0.65, "substitute": 0.22, "complement": 0.03, "irrelevant": 0.10}
    assert {k: shares[k] for k in target} == pytest.approx(target, abs=0.01)


def test_queries_split_seventy_ten_twenty(demo):
    queries = demo.judgements.select("query_id", "split").unique()["split"].value_counts(normalize=True)
    assert dict(queries.iter_rows()) == pytest.approx({"train": 0.7, "valid": 0.1, "test": 0.2}, abs=0.01)


def test_no_text_of_a_test_or_valid_query_is_in_train(demo):
    rows = demo.judgements.join(demo.queries, on="query_id").select("text", "split").unique()
    assert rows["text"].n_unique() == rows.height


def test_every_locale_has_rows_in_every_split(shop):
    rows = judged_texts(shop).select("locale", "split").unique()
    assert rows.height == 9


def test_every_judged_product_is_sold_in_the_locale_of_its_query(demo):
    assert judged_texts(demo)["title"].null_count() == 0


def test_locales_share_traffic_seventy_twenty_ten(demo):
    shares = dict(demo.queries["locale"].value_counts(normalize=True).iter_rows())
    assert shares == pytest.approx({"en": 0.7, "es": 0.2, "ja": 0.1}, abs=0.005)


def test_catalogues_of_the_locales_overlap(shop):
    locales = shop.products.group_by("product_id").len()["len"]
    assert 0.3 < (locales > 1).mean() < 0.9


def test_titles_are_about_a_hundred_characters_long(demo):
    spaced = demo.products.filter(pl.col("locale") != "ja")["title"].str.len_chars()
    assert 85 < spaced.mean() < 115


def test_queries_have_three_to_four_words(demo):
    spaced = demo.queries.filter(pl.col("locale") != "ja")["text"].str.split(" ").list.len()
    assert 3 <= spaced.mean() <= 4


def test_traffic_adds_up_to_one(shop):
    assert shop.queries["frequency"].sum() == pytest.approx(1)


def test_recorded_labels_differ_from_true_ones_at_the_noise_rate(demo):
    wrong = demo.judgements["label"] != demo.truth["judgements"]["true_label"]
    assert wrong.mean() == pytest.approx(0.03, abs=0.006)


def test_without_rater_noise_recorded_labels_are_true_and_undisputed():
    quiet = make_shop(ShopConfig(size=2_000, rater_noise=0.0))
    assert (quiet.judgements["label"] == quiet.truth["judgements"]["true_label"]).all()
    assert quiet.judgements["spread"].sum() == 0


def test_raters_disagree_more_where_the_label_is_wrong(demo):
    wrong = (demo.judgements["label"] != demo.truth["judgements"]["true_label"]).to_numpy()
    spread = demo.judgements["spread"].to_numpy()
    assert spread[wrong].mean() > 3 * spread[~wrong].mean()


def test_scarcity_drops_mismatches_from_train_alone():
    scarce = make_shop(ShopConfig(size=4_000, scarcity=0.1))
    full = make_shop(ShopConfig(size=4_000))

    def mismatches(dataset, split):
        rows = dataset.judgements.filter(pl.col("split") == split)
        return (rows["label"] != "exact").sum()

    assert mismatches(scarce, "train") == pytest.approx(0.1 * mismatches(full, "train"), rel=0.4)
    assert mismatches(scarce, "test") == mismatches(full, "test")


def test_tau_thins_negatives_of_early_events_alone():
    thin = make_shop(ShopConfig(size=2_000, tau=10.0))
    full = make_shop(ShopConfig(size=2_000))

    def counts(dataset):
        day = (pl.col("shown_at") - pl.datetime(2025, 3, 1)).dt.total_days()
        rows = dataset.events.with_columns(early=day < 42, sold=pl.col("converted_at").is_not_null())
        return {
            key: len_
            for *key, len_ in rows.group_by("early", "sold").len().iter_rows()
            for key in [tuple(key)]
        }

    before, after = counts(full), counts(thin)
    assert after[(True, False)] == pytest.approx(before[(True, False)] / 10, rel=0.25)
    assert {k: after[k] for k in before if k != (True, False)} == {
        k: before[k] for k in before if k != (True, False)
    }


def test_evidence_spread_starves_some_segments_of_training_rows():
    full, uneven = (make_shop(ShopConfig(size=4_000, evidence_spread=s)) for s in (0.0, 2.0))
    rows = [d.judgements["split"].value_counts().sort("split")["count"].to_list() for d in (full, uneven)]
    assert rows[0][0] == rows[1][0]
    assert rows[0][2] == rows[1][2]
    assert rows[1][1] < 0.7 * rows[0][1]


def test_cold_products_are_in_no_training_judgement_and_no_engagement(demo):
    cold = demo.truth["attributes"].filter("cold")["product_id"].implode()
    train = demo.judgements.filter(pl.col("split") == "train")
    assert 0.08 < demo.truth["attributes"]["cold"].mean() < 0.12
    assert not train["product_id"].is_in(cold).any()
    assert not demo.engagements["dst"].is_in(cold).any()
    assert demo.judgements["product_id"].is_in(cold).any()


def test_cold_queries_have_no_engagement(demo):
    cold = demo.truth["constraints"].filter("cold")["query_id"].implode()
    assert not demo.engagements["src"].is_in(cold).any()


def test_some_titles_leave_out_attributes_that_bullets_state(demo):
    rows = demo.products.filter(pl.col("locale") == "en", pl.col("bullets").str.contains("Size: "))
    size = rows["bullets"].str.extract(r"Size: ([0-9.]+)").drop_nulls()
    titles = rows.filter(pl.col("bullets").str.contains(r"Size: [0-9.]+"))["title"]
    told = np.mean([number in title for number, title in zip(size, titles, strict=True)])
    assert 0.4 < told < 0.8
