from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.pairs_config import CrowdflowerConfig, HomeDepotConfig
from prodmatch_core.data.public_pairs import read_crowdflower, read_homedepot
from prodmatch_core.data.reading import ReadContext

CROWDFLOWER = """id,query,product_title,product_description,median_relevance,relevance_variance
7,light bulb,LED Light Bulb (Pack of 25),"WTGR1011
Features
18"" square, 60,000 hours",2,0.471
32,decorative pillows,Surya Pillow,"A pillow, in grey",4,0.943
35,wall clocks,Lorell Clock,,4,0
66,wall clocks,Costume,"line

line",1,0.5
71,light bulb,Bulb,,3,0
"""

HOMEDEPOT = (
    "id,product_uid,product_title,search_term,relevance\n"
    "9,100002,BEHR Premium 1-gal. #SC-141 Tugboat Coating,deck over,3\n"
    "16,100005,Delta Vero Faucet® Trim Kit,rain shower head,2.33\n"
    "17,100005,Delta Vero Faucet® Trim Kit,shower only faucet,2.67\n"
    "21,100006,Whirlpool 1.9 cu. ft. Over the Range Oven,convection otr,1.67\n"
    "23,100006,Whirlpool 1.9 cu. ft. Over the Range Oven,microwaves,2\n"
)


def labels(dataset: Dataset) -> list[str]:
    assert dataset.judgements is not None
    return dataset.judgements["label"].to_list()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (
        ("crowdflower", CROWDFLOWER.encode()),
        ("homedepot", HOMEDEPOT.encode("ISO-8859-1")),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_bytes(content)
    return tmp_path


def test_crowdflower_has_four_classes_and_the_variance_of_the_raters(folder: Path) -> None:
    dataset = read_crowdflower(CrowdflowerConfig(), ReadContext(root=folder))
    assert labels(dataset) == ["fair", "excellent", "excellent", "poor", "good"]
    assert dataset.judgements is not None
    assert dataset.judgements["spread"].to_list() == [0.471, 0.943, 0.0, 0.5, 0.0]
    assert dataset.scheme is not None
    assert dataset.scheme.gains == (3.0, 2.0, 1.0, 0.0)
    assert dataset.scheme.positive == ("excellent", "good")


def test_crowdflower_descriptions_keep_their_lines_and_quotes(folder: Path) -> None:
    products = read_crowdflower(CrowdflowerConfig(), ReadContext(root=folder)).products
    assert products is not None
    assert products["description"][0] == 'WTGR1011\nFeatures\n18" square, 60,000 hours'
    assert products["description"][2] is None


def test_binary_crowdflower_counts_medians_one_and_two_as_mismatch(folder: Path) -> None:
    dataset = read_crowdflower(CrowdflowerConfig(scheme="binary"), ReadContext(root=folder))
    assert labels(dataset) == ["mismatch", "match", "match", "mismatch", "match"]


def test_binary_home_depot_counts_means_below_two_as_mismatch(folder: Path) -> None:
    dataset = read_homedepot(HomeDepotConfig(), ReadContext(root=folder))
    assert labels(dataset) == ["match", "match", "match", "mismatch", "match"]


def test_graded_home_depot_has_three_classes(folder: Path) -> None:
    dataset = read_homedepot(HomeDepotConfig(scheme="graded"), ReadContext(root=folder))
    assert labels(dataset) == ["perfect", "partial", "perfect", "irrelevant", "partial"]


def test_home_depot_is_read_as_iso_8859_1_with_its_product_ids(folder: Path) -> None:
    products = read_homedepot(HomeDepotConfig(), ReadContext(root=folder)).products
    assert products is not None
    assert products.row(1) == ("100005", "en", "Delta Vero Faucet® Trim Kit")


@pytest.fixture(scope="module")
def real() -> Path:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    return Path(root)


def shares(dataset: Dataset) -> dict[str, float]:
    assert dataset.judgements is not None
    height = dataset.judgements.height
    return {label: count / height for label, count in dataset.judgements["label"].value_counts().iter_rows()}


def split_gap(dataset: Dataset) -> float:
    """Return the largest difference between a label's share in a split and in the whole."""
    assert dataset.judgements is not None
    whole = shares(dataset)
    return max(
        abs((part["label"] == label).mean() - share)
        for _, part in dataset.judgements.group_by("split")
        for label, share in whole.items()
    )


@pytest.mark.real
def test_real_home_depot_rows_and_label_shares(real: Path) -> None:
    dataset = read_homedepot(HomeDepotConfig(), ReadContext(root=real))
    assert dataset.judgements is not None
    assert dataset.judgements.height == 59_291
    assert shares(dataset)["mismatch"] == pytest.approx(0.160, abs=0.002)
    assert split_gap(dataset) < 0.01


@pytest.mark.real
def test_real_home_depot_graded_shares(real: Path) -> None:
    found = shares(read_homedepot(HomeDepotConfig(scheme="graded"), ReadContext(root=real)))
    assert found == pytest.approx({"perfect": 0.465, "partial": 0.374, "irrelevant": 0.161}, abs=0.003)


@pytest.mark.real
def test_real_crowdflower_rows_and_label_shares(real: Path) -> None:
    dataset = read_crowdflower(CrowdflowerConfig(), ReadContext(root=real))
    assert dataset.judgements is not None
    assert dataset.judgements.height == 8_107
    assert dataset.queries is not None
    assert dataset.queries.height == 210
    expected = {"excellent": 0.606, "good": 0.172, "fair": 0.146, "poor": 0.076}
    assert shares(dataset) == pytest.approx(expected, abs=0.005)
    assert "rows merged because they repeat a query, product and label: 87" in dataset.notes


@pytest.mark.real
def test_real_crowdflower_without_duplicates_has_the_rows_of_the_file(real: Path) -> None:
    """Merging is the only thing that makes judgements fewer than rows: 8,237 in the file."""
    raw = pl.read_csv(real / "crowdflower/train.csv")
    texts = ["query", "product_title", "product_description"]
    dataset = read_crowdflower(CrowdflowerConfig(), ReadContext(root=real))
    assert dataset.judgements is not None
    assert raw.height == 8_237
    assert dataset.judgements.height == raw.select(texts).unique().height
