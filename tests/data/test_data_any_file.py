"""Whatever stands in the files, a reader gives a data set or says what is wrong; nothing else."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import attrs
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutations import broken, broken_tree, toml
from prodmatch_core.data import esci, folder, magellan, pairs, public_pairs, wands
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.folder_config import FolderConfig
from prodmatch_core.data.official_config import EsciConfig, MagellanColumns, MagellanConfig, WandsConfig
from prodmatch_core.data.pairs_config import CrowdflowerConfig, HomeDepotConfig, PairsConfig
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ProdmatchError
from prodmatch_core.testing.official_files import write_esci, write_magellan, write_wands

PAIRS = pl.DataFrame(
    {
        "query": ["tv", "tv", "größe", "pc"],
        "title": ["samsung, 40 inch", "radio", "schuh\ngröße", "pc"],
        "label": ["match", "mismatch", "match", "mismatch"],
        "query_id": ["1", "1", "2", "3"],
        "split": ["train", "train", "valid", "test"],
        "weight": ["1", "0.5", "2", ""],
    }
)
CROWDFLOWER = PAIRS.select(
    "query",
    product_title="title",
    product_description="title",
    median_relevance=pl.Series([4, 1, 3, 2]),
    relevance_variance=pl.Series([0.5, 0.0, 0.0, 1.0]),
)
HOMEDEPOT = PAIRS.select(
    product_uid=pl.Series([1, 2, 3, 4]),
    product_title="title",
    search_term="query",
    relevance=pl.Series([3.0, 1.0, 2.0, 1.5]),
)


def write_pairs(suffix: str) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        path = place / f"pairs.{suffix}"
        if suffix == "parquet":
            PAIRS.write_parquet(path)
        elif suffix == "jsonl":
            PAIRS.write_ndjson(path)
        else:
            PAIRS.write_csv(path, separator="\t" if suffix == "tsv" else ",")

    return write


def write_preset(name: str, frame: pl.DataFrame) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        (place / name).mkdir()
        frame.write_csv(place / name / "train.csv")

    return write


def write_canonical(place: Path) -> None:
    dataset = Dataset(
        name="tiny",
        scheme=LabelScheme("grades", ("good", "bad"), (1.0, 0.0), ("good",)),
        queries=pl.DataFrame({"query_id": ["1", "2"], "locale": ["en", "en"], "text": ["tv", "pc"]}),
        products=pl.DataFrame({"product_id": ["a", "b"], "locale": ["en", "en"], "title": ["tv", "radio"]}),
        judgements=pl.DataFrame(
            {
                "query_id": ["1", "2"],
                "product_id": ["a", "b"],
                "label": ["good", "bad"],
                "split": ["train", "test"],
            }
        ),
        truth={"rule": pl.DataFrame({"x": [1.0]})},
    )
    folder.write_folder(dataset, place / "tiny")


@attrs.frozen
class Case:
    """A reader, a writer of files that it reads, and its call."""

    write: Callable[[Path], None]
    read: Callable[[ReadContext], Dataset]


SIDES = MagellanColumns(query=("title", "manufacturer"), brand="manufacturer")
CASES = {
    **{
        f"pairs-{suffix}": Case(
            write_pairs(suffix), lambda c, s=suffix: pairs.read(PairsConfig(path=f"pairs.{s}"), c)
        )
        for suffix in ("csv", "tsv", "jsonl", "parquet")
    },
    "thresholds": Case(
        write_pairs("csv"),
        lambda c: pairs.read(PairsConfig(path="pairs.csv", thresholds={"match": 2.0}, encoding="utf-16"), c),
    ),
    "crowdflower": Case(
        write_preset("crowdflower", CROWDFLOWER),
        lambda c: public_pairs.read_crowdflower(CrowdflowerConfig(), c),
    ),
    "homedepot": Case(
        write_preset("homedepot", HOMEDEPOT), lambda c: public_pairs.read_homedepot(HomeDepotConfig(), c)
    ),
    "folder": Case(write_canonical, lambda c: folder.read(FolderConfig(path="tiny"), c)),
    "esci": Case(
        lambda place: write_esci(place / "esci", queries=5),
        lambda c: esci.read(EsciConfig(version="small", locales=("us",)), c),
    ),
    "wands": Case(
        lambda place: write_wands(place / "wands", queries=2), lambda c: wands.read(WandsConfig(), c)
    ),
    "magellan-numbers": Case(
        lambda place: write_magellan(place / "m", queries=3),
        lambda c: magellan.read(MagellanConfig(folder="m", columns=SIDES), c),
    ),
    "magellan-records": Case(
        lambda place: write_magellan(place / "m", queries=3, tables=False),
        lambda c: magellan.read(MagellanConfig(folder="m", columns=SIDES), c),
    ),
}


@cache
def valid_files(name: str) -> dict[str, bytes]:
    """Return path -> content of the files of a case."""
    with tempfile.TemporaryDirectory() as place:
        CASES[name].write(Path(place))
        return {
            str(path.relative_to(place)): path.read_bytes()
            for path in sorted(Path(place).rglob("*"))
            if path.is_file()
        }


def outcome(name: str, files: dict[str, bytes], skip: bool) -> Dataset | ProdmatchError:
    """Return the data set read, or the error that says why there is none."""
    with tempfile.TemporaryDirectory() as place:
        for file, content in files.items():
            path = Path(place, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return CASES[name].read(ReadContext(root=Path(place), skip_bad_rows=skip))
        except ProdmatchError as error:
            return error


@pytest.mark.parametrize("name", [name for name in CASES if name != "thresholds"])
def test_the_unbroken_files_are_read(name: str) -> None:
    assert isinstance(outcome(name, valid_files(name), skip=False), Dataset)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_broken_file_gives_a_data_set_or_an_error_that_says_something(
    name: str, data: st.DataObject
) -> None:
    files = dict(valid_files(name))
    file = data.draw(st.sampled_from(sorted(files)), label="file")
    files[file] = data.draw(broken(file, files[file]), label="content")
    found = outcome(name, files, data.draw(st.booleans(), label="skip bad rows"))
    assert isinstance(found, Dataset) or str(found).strip()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_broken_manifest_gives_a_data_set_or_an_error_that_says_something(data: st.DataObject) -> None:
    files = dict(valid_files("folder"))
    tree = tomllib.loads(files["tiny/dataset.toml"].decode())
    words = [
        "format",
        "name",
        "scheme",
        "labels",
        "gains",
        "positive",
        "files",
        "groups.parquet",
        "truth/../x.parquet",
    ]
    files["tiny/dataset.toml"] = toml(data.draw(broken_tree(tree, words), label="manifest"))
    found = outcome("folder", files, skip=False)
    assert isinstance(found, Dataset) or str(found).strip()
