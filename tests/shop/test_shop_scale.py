"""What must hold so that a shop of millions is made as a shop of thousands is."""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import polars.selectors as cs
import pytest

from prodmatch_core.data import folder
from prodmatch_core.data.folder import read_folder, write_folder, write_parts
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.shop import generate
from prodmatch_core.data.shop.bought_next import EDGES_A_PART, flow_parts
from prodmatch_core.data.shop.catalogue import TRAFFIC, catalogue_size, make_catalogue, sold_in
from prodmatch_core.data.shop.concurrent import in_order
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.draws import distinct
from prodmatch_core.data.shop.generate import make_shop, write_shop
from prodmatch_core.data.shop.judgements import Candidates, choose_judged
from prodmatch_core.data.shop.labels import EXACT, SUBSTITUTE
from prodmatch_core.data.shop.queries import _mixed
from prodmatch_core.data.shop.reading import read
from prodmatch_core.data.shop.reference import judged_texts
from prodmatch_core.data.shop.worldbook import load_world

SMALL = ShopConfig(size=2_000)


def digests(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*.parquet"))
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "shop"
    write_shop(SMALL, path)
    return path


# Of the shops before the range of products grew with the size: those of up to 20,000 judgements stay as they are.
@pytest.mark.parametrize(
    ("config", "digest"),
    [
        (ShopConfig(size=2_000), "b1e4e7012c357514db9d9c39dfce0b08b263673a000aeee53f98442864ab2f9b"),
        (ShopConfig(size=20_000), "a1567ec496ffbc9f48a09e6234098bba66a7f2d2b6086faf3cf918ec31b42392"),
    ],
)
def test_small_shops_stay_as_they_were(config, digest):
    # The last digits of floats are the processor's.
    shop, found = make_shop(config), hashlib.sha256()
    for table in (shop.queries, shop.products, shop.judgements):
        found.update(table.drop(cs.float()).write_csv().encode())
    assert found.hexdigest() == digest


@pytest.mark.parametrize("threads", ["1", "3"])
def test_files_are_the_same_bytes_whatever_the_number_of_threads(written, tmp_path, threads):
    code = (
        "import sys, pathlib, functools;"
        "from prodmatch_core.data.shop import generate;"
        "from prodmatch_core.data.shop.config import ShopConfig;"
        "generate.in_order = functools.partial(generate.in_order, workers=int(sys.argv[2]));"
        "generate.write_shop(ShopConfig(size=2_000), pathlib.Path(sys.argv[1]))"
    )
    env = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "shop", threads], env=env, check=True)
    assert digests(tmp_path / "shop") == digests(written)
    assert (tmp_path / "shop/dataset.toml").read_bytes() == (written / "dataset.toml").read_bytes()


@pytest.mark.parametrize("part_rows", [1, 5_000, 10**9])
def test_files_are_the_same_bytes_however_rows_are_cut_into_parts(written, tmp_path, part_rows):
    shop = make_shop(SMALL)
    parts = [(name, table[:40_000]) for name, table in shop.tables()]
    parts += [(f"truth.{name}", table[:40_000]) for name, table in shop.truth.items()]
    cut = [(name, frame[i : i + 7_001]) for name, frame in parts for i in range(0, frame.height, 7_001)]
    head = attrs.evolve(shop, **dict.fromkeys(("products", "queries", "judgements", "engagements", "events")))
    write_parts(head, cut, tmp_path / "cut", part_rows=part_rows)
    write_parts(head, parts, tmp_path / "whole")
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_a_shop_written_in_parts_is_the_folder_of_the_shop_in_memory(written, tmp_path):
    write_folder(make_shop(SMALL), tmp_path / "held")
    assert digests(tmp_path / "held") == digests(written)


def test_a_written_shop_is_a_data_set_folder_with_the_fingerprint_of_the_shop(written):
    assert read_folder(written).fingerprint() == make_shop(SMALL).fingerprint()
    assert [entry.name for entry in written.parent.iterdir()] == ["shop"]


def test_a_part_that_lacks_a_column_is_refused_and_leaves_nothing(tmp_path):
    shop = make_shop(SMALL)
    with pytest.raises(pl.exceptions.PolarsError):
        write_parts(
            shop,
            [("queries", shop.queries), ("queries", shop.queries.drop("frequency"))],
            tmp_path / "shop",
        )
    assert list(tmp_path.iterdir()) == []


def test_the_bought_next_graph_is_the_same_however_it_is_cut():
    world = load_world()
    catalogue = make_catalogue(world, SMALL)
    whole, cut = (list(flow_parts(world, catalogue, SMALL, edges)) for edges in (10**9, 3_000))
    assert len(whole) == 1
    assert len(cut) > 5
    for name in ("source", "target", "probability", "count"):
        assert np.array_equal(np.concatenate([getattr(f, name) for f in cut]), getattr(whole[0], name))


def test_no_part_of_a_large_shop_is_larger_than_a_part_may_be(large_shop):
    queries = generate._QUERIES_A_PART
    heights = large_shop.heights
    assert heights["products"] <= generate._PRODUCTS_A_PART
    assert heights["truth.attributes"] <= generate._PRODUCTS_A_PART
    assert heights["judgements"] <= 21 * queries
    assert heights["events"] < 10 * 21 * queries  # by traffic, so a block of popular queries has more
    assert heights["engagements"] < 2 * EDGES_A_PART
    assert heights["truth.next_purchase"] < 1.1 * EDGES_A_PART
    assert large_shop.dataset.judgements.height > 3 * heights["judgements"]


def test_rows_waiting_to_be_written_are_bounded(tmp_path, monkeypatch):
    most = 0
    add = folder._Parts.add

    def watched(store, name, frame):
        nonlocal most
        add(store, name, frame)
        most = max(most, sum(part.height for part in store._waiting[name]))

    monkeypatch.setattr(folder._Parts, "add", watched)
    frames = (("queries", make_queries(i)) for i in range(50))
    write_parts(make_shop(SMALL), frames, tmp_path / "shop", part_rows=25)
    assert 0 < most < 25
    assert read_folder(tmp_path / "shop").queries.height == 500


def make_queries(part: int) -> pl.DataFrame:
    ids = [f"{part}-{i}" for i in range(10)]
    return pl.DataFrame({"query_id": ids, "locale": ["en"] * 10, "text": ids})


def test_results_come_in_order_and_few_are_under_way():
    taken = 0

    def items():
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for place, result in enumerate(in_order(lambda x: x * x, items(), workers=2)):
        assert result == place * place
        assert taken <= place + 3


def test_a_part_that_fails_ends_the_work_with_its_own_error():
    def work(number):
        return 1 // (3 - number)

    results = in_order(work, iter(range(10)), workers=2)
    assert list(itertools.islice(results, 3)) == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_distinct_keys_are_sorted_and_occur_once():
    keys = np.array([5, 1, 5, 2, 1], dtype=np.int64)
    assert distinct(keys).tolist() == [1, 2, 5]
    assert distinct(keys[:0]).tolist() == []


@pytest.mark.parametrize(("size", "products"), [(200, 12_000), (20_000, 12_000), (2_600_000, 1_689_000)])
def test_the_range_of_products_grows_with_the_judgements(size, products):
    assert catalogue_size(size) == products


def test_the_long_tail_is_sold_in_one_locale_by_traffic(large_shop):
    world = load_world()
    catalogue = make_catalogue(world, large_shop.config)
    sold = np.array([len(sold_in(catalogue, locale)) for locale in range(3)])
    across = (np.bitwise_count(catalogue.sold) > 1).mean()
    # of those sold across markets, 0.68 of a full range are in two locales or more
    assert across == pytest.approx(0.68 * np.sqrt(12_000 / catalogue_size(large_shop.config.size)), abs=0.03)
    assert large_shop.dataset.products.height == sold.sum()
    assert (np.diff(sold) < 0).all()
    assert sum(TRAFFIC) == pytest.approx(1)


def test_an_esci_sized_shop_has_as_many_products_as_esci():
    catalogue = make_catalogue(load_world(), ShopConfig(size=2_600_000))
    rows = sum(len(sold_in(catalogue, locale)) for locale in range(3))
    assert rows == pytest.approx(1_814_924, rel=0.02)


def test_label_shares_of_a_larger_shop_are_within_a_point_of_esci(large_shop):
    shares = dict(large_shop.dataset.judgements["label"].value_counts(normalize=True).iter_rows())
    target = {"exact": 0.65, "substitute": 0.22, "complement": 0.03, "irrelevant": 0.10}
    assert {k: shares[k] for k in target} == pytest.approx(target, abs=0.01)


def test_the_last_queries_of_a_large_shop_are_like_the_first():
    # texts are distinct, so the plain ones are drawn early; blocks must not get more and more particular
    rows = _mixed(5_500)
    assert np.sort(rows).tolist() == list(range(5_500))
    blocks = [rows[start : start + 1_000] for start in range(0, 5_000, 1_000)]
    assert [block.mean() for block in blocks] == pytest.approx([2_750] * 5, abs=300)
    assert _mixed(1_000).tolist() == list(range(1_000))


def scarce(matches_first: int) -> Candidates:
    """Return 60 candidates for each of 20 queries: few of them match, others abound."""
    label = np.tile(np.repeat([EXACT, SUBSTITUTE], [matches_first, 60 - matches_first]), 20).astype(np.int8)
    return Candidates(np.repeat(np.arange(20), 60), np.arange(1_200), label, np.zeros(1_200, dtype=np.int8))


def test_matches_beyond_the_first_candidates_are_judged_where_a_large_shop_lacks_them():
    found = scarce(15)  # 12 of 15 among the first 48, 13.3 are wanted
    config = ShopConfig(size=100_000, rater_noise=0.0)
    rows = choose_judged(found, 400, config, part=0)
    assert len(rows) == 400
    # of substitutes 22% are wanted; they also stand in for complement and irrelevant, of which there are none
    assert (found.label[rows] == EXACT).mean() == pytest.approx(0.65, abs=0.005)


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_no_query_has_more_than_48_judgements(size):
    found = scarce(15)
    rows = choose_judged(found, 955, ShopConfig(size=size), part=0)
    assert len(np.unique(rows)) == len(rows) == 955
    assert np.bincount(found.query[rows]).max() <= 48


def test_no_text_of_a_test_query_of_a_larger_shop_is_in_train(large_shop):
    rows = judged_texts(large_shop.dataset).select("text", "split").unique()
    assert rows["text"].n_unique() == rows.height
    assert large_shop.dataset.judgements.height == large_shop.config.size


def test_a_large_shop_in_a_pipeline_leaves_its_truth_on_disk_until_nobody_holds_it():
    dataset = read(SMALL, ReadContext(), held=1_000)
    place = dataset.truth.path
    assert dataset.fingerprint() == make_shop(SMALL).fingerprint()
    assert dataset.truth["judgements"].height == SMALL.size
    copy = attrs.evolve(dataset, notes=())
    del dataset
    gc.collect()
    assert copy.truth["positions"].height == 10
    del copy
    gc.collect()
    assert not place.parent.exists()
