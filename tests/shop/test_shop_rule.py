"""Every label is derived again, row by row and in words, from the truth tables alone."""

from __future__ import annotations

import pytest

from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop

ATTRIBUTES = ("color", "material", "size", "form", "count")


@pytest.fixture(scope="module")
def shop():
    return make_shop(ShopConfig(size=4_000, seed=5))


class Relations:
    def __init__(self, shop) -> None:
        rows = list(shop.truth["relations"].iter_rows())
        self.fits = {(a, d): name.removeprefix("fits_") for name, a, d in rows if name.startswith("fits_")}
        self.pairs = {(a, b) for name, a, b in rows if name == "pairs"}
        self.need = {t: need for name, t, need in rows if name == "need"}
        self.models = {row["model"]: row for row in shop.truth["models"].iter_rows(named=True)}


def meets_constraints(want, has):
    values = all(want[name] in (None, has[name]) for name in (*ATTRIBUTES, "model"))
    brand = want["brand"] in (None, has["brand"])
    return values and brand and (want["feature"] is None or want["feature"] in has["features"])


def fits(want, has, relations):
    if want["fits_model"] is not None and want["fits_model"] not in has["fits"]:
        return False
    if want["fits_type"] is None or not has["fits"]:
        return True
    return relations.models[has["fits"][0]]["type"] == want["fits_type"]


def is_complement(want, has, relations):
    """Whether the product goes with the wanted one."""
    how = relations.fits.get((has["type"], want["type"]))
    if how == "model":
        fitted = relations.models[has["fits"][0]]
        if want["model"] is not None:
            right = want["model"] in has["fits"]
        else:
            right = fitted["type"] == want["type"] and want["brand"] in (None, fitted["brand"])
        accessory = right
    elif how == "size":
        accessory = want["kind"] != "brand" and want["size"] in (None, has["size"])
    else:
        accessory = how == "type" and want["kind"] != "brand"
    if want["kind"] == "brand":
        return accessory
    back = relations.fits.get((want["type"], has["type"]))
    if back is not None:  # the product is a device the wanted accessory is for
        right = want["fits_model"] in (None, has["model"]) and want["fits_type"] in (None, has["type"])
        return right and (back != "size" or want["size"] in (None, has["size"]))
    return accessory or (how is None and (want["type"], has["type"]) in relations.pairs)


def derive(want, has, relations):
    if want["kind"] == "brand":
        if has["brand"] == want["brand"]:
            return "exact"
        if has["type"] == want["type"]:
            return "substitute"
    elif want["need"] is not None:
        same = relations.need[has["type"]] == want["need"]
        if same:
            return "exact" if meets_constraints(want, has) else "substitute"
    elif has["type"] == want["type"]:
        if not fits(want, has, relations):
            return "irrelevant"
        return "exact" if meets_constraints(want, has) else "substitute"
    if relations.need[has["type"]] == relations.need[want["type"]]:
        return "substitute"
    return "complement" if is_complement(want, has, relations) else "irrelevant"


def underivable(shop):
    relations = Relations(shop)
    products = {row["product_id"]: row for row in shop.truth["attributes"].iter_rows(named=True)}
    wants = {row["query_id"]: row for row in shop.truth["constraints"].iter_rows(named=True)}
    return [
        (row["query_id"], row["product_id"], row["true_label"], row["cause"])
        for row in shop.truth["judgements"].iter_rows(named=True)
        if derive(wants[row["query_id"]], products[row["product_id"]], relations) != row["true_label"]
    ]


def test_every_label_follows_from_the_constraints(shop):
    assert underivable(shop) == []


def test_every_label_of_a_larger_shop_follows_from_the_constraints(large_shop):
    assert underivable(large_shop.dataset) == []


def test_exact_pairs_have_no_cause_and_all_others_have_one(shop):
    rows = shop.truth["judgements"]
    assert ((rows["cause"] == "") == (rows["true_label"] == "exact")).all()


@pytest.mark.parametrize(
    ("cause", "label"),
    [
        ("wrong_size", "substitute"),
        ("older_model", "substitute"),
        ("other_brand", "substitute"),
        ("other_type", "substitute"),
        ("accessory", "complement"),
        ("does_not_fit", "irrelevant"),
        ("look_alike", "irrelevant"),
    ],
)
def test_a_cause_belongs_to_one_label(shop, cause, label):
    rows = shop.truth["judgements"]
    assert set(rows["true_label"].filter(rows["cause"] == cause)) == {label}


def test_an_older_model_is_of_the_same_line_and_generation_before(shop):
    models = {row["model"]: row for row in shop.truth["models"].iter_rows(named=True)}
    wants = dict(shop.truth["constraints"].select("query_id", "model").iter_rows())
    products = dict(shop.truth["attributes"].select("product_id", "model").iter_rows())
    rows = shop.truth["judgements"].filter(shop.truth["judgements"]["cause"] == "older_model")
    pairs = [
        (models[wants[q]], models[products[p]]) for q, p in rows.select("query_id", "product_id").iter_rows()
    ]
    assert pairs
    assert all(a["line"] == b["line"] and b["generation"] == "previous" for a, b in pairs)


def test_a_reader_of_texts_errs_only_where_the_text_hides_a_fact(shop):
    hidden = dict(shop.truth["attributes"].select("product_id", "hidden").iter_rows())
    rows = shop.truth["judgements"]
    misread = rows.filter(rows["read_label"] != rows["true_label"])
    assert misread.height > 0
    assert all(hidden[product] is not None for product in misread["product_id"])


def test_texts_that_hide_nothing_let_a_reader_find_every_label():
    open_shop = make_shop(ShopConfig(size=2_000, graph_signal=0.0))
    rows = open_shop.truth["judgements"]
    assert (rows["read_label"] == rows["true_label"]).all()


def test_a_hidden_fact_is_in_no_text(shop):
    products = (
        shop.truth["attributes"].select("product_id", "hidden", "fits").join(shop.products, on="product_id")
    )
    hides = products.filter(products["hidden"] == "fits", products["fits"].list.len() > 0)
    assert hides.height > 50
    for row in hides.iter_rows(named=True):
        text = " ".join((row["title"], row["bullets"] or "", row["description"] or ""))
        assert not any(model in text for model in row["fits"])
