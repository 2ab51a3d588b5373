"""Labels given before: found by key, bounded, whole after a kill, and never those of another product or run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import RunError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.serving.cached import CachedPipeline, keys_of
from prodmatch_core.serving.label_store import MOST, LabelStore

TREE: dict[str, Any] = {
    "pipeline": {"name": "t"},
    "data": {"use": "shop.synthetic", "size": 600},
    "member": [{"name": "overlap", "encoder": {"use": "core.overlap"}}],
    "calibrator": [{"use": "core.temperature"}],
    "evaluation": {"replicates": 100},
}
PAIRS = pl.DataFrame(
    {
        "query": ["phone case", "usb cable", "phone case", "red shoe"],
        "title": ["Slim case for Vexo X10", "Cable USB-C 2 m", "Leather wallet", "Shoe, red"],
        "brand": ["Vexo", None, "Lumo", ""],
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_pipeline(load_pipeline(TREE), out=tmp_path_factory.mktemp("runs") / "run")


def keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2**63, size=(count, 2)).astype(np.uint64)


def test_answers_of_a_graph_are_found_by_identifiers_too(tmp_path: Path) -> None:
    sampler = {"use": "core.uniform_sampler", "fanouts": [3, 3]}
    graph = {
        "name": "graph",
        "encoder": {"use": "core.graph_nodes", "nodes": {"use": "core.mean_nodes"}},
        "sampler": sampler,
        "training": {"epochs": 1},
    }
    done = run_pipeline(load_pipeline({**TREE, "member": [graph]}), out=tmp_path / "run")
    rows = done.predictions.filter(pl.col("split") == "test").head(1)
    pair = pl.DataFrame({"query": ["phone case"], "title": ["Slim case"], "query_id": rows["query_id"]})
    known, unknown = (
        pair.with_columns(product_id=pl.Series([name])) for name in (rows["product_id"][0], "nobody")
    )
    cached = CachedPipeline.open(done.path, tmp_path / "cache")
    told = pl.concat([cached.predict(known), cached.predict(unknown)])
    fresh = Pipeline.load(done.path).predict(pl.concat([known, unknown]))
    assert cached.hits == 0
    assert_frame_equal(told, fresh, abs_tol=1e-5)


def test_answers_of_texts_are_found_whatever_the_identifiers(run: Run, tmp_path: Path) -> None:
    cached = CachedPipeline.open(run.path, tmp_path / "cache")
    cached.predict(PAIRS.with_columns(product_id=pl.lit("a")))
    cached.predict(PAIRS.with_columns(product_id=pl.lit("b")))
    assert cached.hits == 4


def test_cached_answers_equal_fresh_ones(run: Run, tmp_path: Path) -> None:
    fresh = Pipeline.load(run.path).predict(PAIRS)
    cached = CachedPipeline.open(run.path, tmp_path / "cache")
    assert_frame_equal(cached.predict(PAIRS), fresh, check_exact=True)
    again = CachedPipeline.open(run.path, tmp_path / "cache")
    assert_frame_equal(again.predict(PAIRS.reverse()).reverse(), fresh, check_exact=True)
    assert again.hits == 4 and again._pipeline is None


def test_pairs_of_one_key_get_one_answer_now_as_later(run: Run, tmp_path: Path) -> None:
    twice = pl.concat([PAIRS, PAIRS.with_columns(query=pl.col("query").str.to_uppercase())])
    first = CachedPipeline.open(run.path, tmp_path / "cache").predict(twice)
    again = CachedPipeline.open(run.path, tmp_path / "cache").predict(twice)
    assert_frame_equal(again, first, check_exact=True)
    np.testing.assert_array_equal(first["score"][:4].to_numpy(), first["score"][4:].to_numpy())


def test_case_and_blanks_of_a_text_are_no_other_pair_but_words_brand_and_locale_are() -> None:
    same = PAIRS.with_columns(query=pl.col("query").str.to_uppercase() + "  ")
    np.testing.assert_array_equal(keys_of(same, "v"), keys_of(PAIRS, "v"))
    for other in (
        PAIRS.with_columns(title=pl.col("title") + " new"),
        PAIRS.with_columns(brand=pl.lit("Other")),
        PAIRS.with_columns(locale=pl.lit("jp")),
        PAIRS.rename({"query": "title", "title": "query"}),
    ):
        assert not (keys_of(other, "v") == keys_of(PAIRS, "v")).all(axis=1).any()


def test_a_pair_without_a_locale_is_english_and_identifiers_are_read_as_they_are_written() -> None:
    np.testing.assert_array_equal(keys_of(PAIRS.with_columns(locale=pl.lit("en")), "v"), keys_of(PAIRS, "v"))
    named = PAIRS.with_columns(query_id=pl.lit("q"), product_id=pl.lit("a"))
    np.testing.assert_array_equal(keys_of(named, "v"), keys_of(PAIRS, "v"))
    upper = named.with_columns(product_id=pl.lit("A"))
    assert not (keys_of(named, "v", True) == keys_of(upper, "v", True)).all(axis=1).any()


def test_the_key_of_a_pair_does_not_depend_on_the_pairs_beside_it() -> None:
    alone = np.concatenate([keys_of(PAIRS[row : row + 1], "v") for row in range(PAIRS.height)])
    np.testing.assert_array_equal(alone, keys_of(PAIRS, "v"))
    assert len(np.unique(alone[:, 0])) == PAIRS.height


def test_a_changed_product_a_new_catalogue_and_another_run_invalidate(run: Run, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    CachedPipeline.open(run.path, cache).predict(PAIRS)
    changed = CachedPipeline.open(run.path, cache)
    changed.predict(PAIRS.with_columns(title=pl.col("title").str.replace("X10", "X11")))
    assert changed.hits == 3
    newer = CachedPipeline.open(run.path, cache, catalogue="2024-06")
    newer.predict(PAIRS)
    assert newer.hits == 0
    other = run_pipeline(load_pipeline(TREE, ["data.seed=1"]), out=tmp_path / "other")
    theirs = CachedPipeline.open(other.path, cache)
    theirs.predict(PAIRS)
    assert theirs.hits == 0


def test_of_a_key_stored_twice_the_newer_value_is_found(tmp_path: Path) -> None:
    store, some = LabelStore.open(tmp_path, 1, 1000), keys(10)
    for value in (1.0, 2.0):
        store.add(some, np.full((10, 1), value))
    assert (store.find(some)[1] == 2).all()
    for number in range(MOST):  # merged into one segment on the way
        store.add(keys(5, number + 1), np.zeros((5, 1)))
    assert (LabelStore.open(tmp_path, 1, 1000).find(some)[1] == 2).all()
    assert len(list(tmp_path.glob("*.safetensors"))) <= MOST


def test_the_store_is_bounded_and_the_oldest_make_room(tmp_path: Path) -> None:
    store = LabelStore.open(tmp_path, 1, 1000)
    for number in range(30):
        store.add(keys(100, number), np.full((100, 1), float(number)))
        assert len(store) <= 1000
    assert store.find(keys(100, 29))[0].all()
    assert not store.find(keys(100, 0))[0].any()


def test_what_was_stored_survives_kill_9(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from prodmatch_core.serving.label_store import LabelStore\n"
        "store = LabelStore.open(Path(sys.argv[1]), 2, 10**6)\n"
        "for n in range(10**6):\n"
        "    made = np.random.default_rng(n).integers(2**63, size=(2000, 2)).astype(np.uint64)\n"
        "    store.add(made, np.full((2000, 2), float(n)))\n"
        "    print(n, flush=True)\n"
    )
    for begin in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(12)]
        time.sleep(0.01 * begin)  # somewhere within the next write
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
        process.wait()
        last = int(told[-1])
        store = LabelStore.open(tmp_path, 2, 10**6)
        for number in range(last + 1):
            found, values = store.find(keys(2000, number))
            assert found.all() and (values == number).all()


def test_a_store_of_other_labels_is_refused(tmp_path: Path) -> None:
    LabelStore.open(tmp_path, 7, 100).add(keys(3), np.zeros((3, 7)))
    file = next(tmp_path.glob("*.safetensors"))
    with pytest.raises(RunError) as error:
        LabelStore.open(tmp_path, 9, 100)
    assert str(error.value) == (
        f"{file}: holds 7 numbers an answer, not 9: it belongs to runs of other labels. Name another folder by --cache."
    )


def test_score_answers_from_the_cache_without_loading_torch(run: Run, tmp_path: Path) -> None:
    PAIRS.write_csv(tmp_path / "pairs.csv")
    common = ["score", str(run.path), str(tmp_path / "pairs.csv"), "--cache", str(tmp_path / "cache")]
    first = CliRunner().invoke(cli, [*common, "-o", str(tmp_path / "a.parquet")])
    assert first.exit_code == 0, first.output
    code = (
        "import sys\n"
        "from prodmatch_core.cli import cli\n"
        "cli.main(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules), 'loaded the run'\n"
    )
    command = [sys.executable, "-c", code, *common, "-o", str(tmp_path / "b.parquet")]
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "4 rows came from the cache" in second.stderr
    assert_frame_equal(
        pl.read_parquet(tmp_path / "a.parquet"), pl.read_parquet(tmp_path / "b.parquet"), check_exact=True
    )
