"""Phases per locale: what a run keeps of them, and who scores which pair."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.errors import ConfigError, RunError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run
from prodmatch_core.training.batches import balanced_rows

LOCALES = ("us", "us", "us", "es", "jp")
PHASES = [
    {"name": "everywhere", "epochs": 2},
    {"name": "here", "epochs": 3, "learning_rate": 0.03, "per_locale": True, "freeze": ["encoder"]},
]


@pytest.fixture(scope="module")
def markets(tiny_dataset: Dataset) -> Dataset:
    """Return the tiny world with its queries dealt out to three locales, each with the products it judges."""
    queries, judged = tiny_dataset.queries, tiny_dataset.judgements
    assert queries is not None and judged is not None and tiny_dataset.products is not None
    named = [LOCALES[number // 5 % len(LOCALES)] for number in range(queries.height)]
    queries = queries.with_columns(pl.Series("locale", named))
    sold = judged.join(queries, on="query_id").select("product_id", "locale").unique(maintain_order=True)
    products = sold.join(tiny_dataset.products.drop("locale"), on="product_id", maintain_order="left")
    return attrs.evolve(tiny_dataset, queries=queries, products=products)


@pytest.fixture(scope="module")
def plain(markets: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return a pipeline over the three locales, without phases."""
    folder = tmp_path_factory.mktemp("markets") / "data"
    write_folder(markets, folder)
    return {
        "pipeline": {"name": "markets"},
        "data": {"use": "core.folder", "path": str(folder)},
        "member": [
            {
                "name": "ngram",
                "encoder": {"use": "core.ngram", "buckets": 512, "width": 8},
                "training": {"learning_rate": 0.01, "patience": 0},
            }
        ],
        "evaluation": {"replicates": 100},
    }


def with_phases(tree: dict[str, Any], *phases: dict[str, Any], **training: Any) -> dict[str, Any]:
    member = tree["member"][0]
    return {
        **tree,
        "member": [{**member, "training": {**member["training"], **training, "phase": list(phases)}}],
    }


@pytest.fixture(scope="module")
def regional(
    plain: dict[str, Any], run_tree: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Return a run with a phase for all and one per locale."""
    return run_tree(with_phases(plain, *PHASES), tmp_path_factory.mktemp("runs") / "regional")


def pairs(locale: str) -> pl.DataFrame:
    queries = ["red lamp", "blue chair", "green rug"]
    titles = ["red desk lamp", "blue lamp", "a green rug"]
    return pl.DataFrame({"query": queries, "title": titles, "locale": [locale] * 3})


def scores(run: Run, locale: str) -> np.ndarray:
    return Pipeline.load(run.path, precision="fp32").predict(pairs(locale))["score"].to_numpy()


def test_a_locale_is_scored_by_its_copy_and_an_unknown_one_by_the_shared_model(regional: Run) -> None:
    (member,) = Pipeline.load(regional.path, precision="fp32").members
    assert member.regions
    unknown = scores(regional, "xx")
    bare = attrs.evolve(member, regions={})
    pipeline = Pipeline.load(regional.path, precision="fp32")
    shared = attrs.evolve(pipeline, members=[bare]).predict(pairs("es"))["score"].to_numpy()
    np.testing.assert_array_equal(unknown, shared)
    for locale in member.regions:
        assert np.abs(scores(regional, locale) - unknown).max() > 1e-4


def test_rows_of_several_locales_keep_their_order(regional: Run) -> None:
    mixed = pl.concat([pairs("jp"), pairs("xx"), pairs("us")])
    found = Pipeline.load(regional.path, precision="fp32").predict(mixed)["score"].to_numpy()
    alone = np.concatenate([scores(regional, name) for name in ("jp", "xx", "us")])
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_a_copy_is_kept_as_what_its_phase_did_not_freeze(regional: Run) -> None:
    files = sorted((regional.path / "members/ngram/locales").iterdir())
    told = json.loads((regional.path / "members/ngram/config.json").read_text())
    assert [file.stem for file in files] == told["locales"]
    for file in files:
        assert {name.split(".")[0] for name in load_file(file)} == {"head"}


def test_copies_share_in_memory_what_they_did_not_change(regional: Run) -> None:
    (member,) = Pipeline.load(regional.path, precision="fp32").members
    for model in member.regions.values():
        assert model.encoder.vectors.weight is member.model.encoder.vectors.weight  # type: ignore[union-attr]


def test_the_log_numbers_epochs_on_and_names_the_locale(regional: Run) -> None:
    events = regional.log()
    assert [event["epoch"] for event in events] == list(range(1, len(events) + 1))
    assert [event.get("locale") for event in events] == [None] * 2 + ["es"] * 3 + ["jp"] * 3 + ["us"] * 3


def test_the_runs_own_test_predictions_are_those_its_scoring_gives(regional: Run, markets: Dataset) -> None:
    decided = regional.decisions.filter(pl.col("split") == "test")
    assert markets.queries is not None and markets.products is not None
    rows = decided.join(
        markets.queries.select("query_id", query="text"), on="query_id", maintain_order="left"
    )
    rows = rows.join(
        markets.products.select("product_id", "locale", "title"),
        on=["product_id", "locale"],
        maintain_order="left",
    )
    scored = Pipeline.load(regional.path, precision="fp32").predict(
        rows.select("query", "title", "locale", "query_id", "product_id")
    )
    assert set(rows["locale"]) == {"us", "es", "jp"}
    np.testing.assert_allclose(scored["score"].to_numpy(), decided["score"].to_numpy(), atol=1e-5)


def test_without_a_shared_phase_other_locales_are_refused(
    plain: dict[str, Any], run_tree: Callable[..., Run], tmp_path: Path
) -> None:
    run = run_tree(with_phases(plain, {"name": "here", "epochs": 1, "per_locale": True}), tmp_path / "alone")
    assert scores(run, "jp").shape == (3,)
    with pytest.raises(RunError) as caught:
        scores(run, "xx")
    assert str(caught.value) == (
        "member ngram: no model for the locale xx; there are models for es, jp, us, and no phase trained one for all. "
        "Put a phase without per_locale first."
    )


def test_phases_per_locale_alone_need_a_locale_to_learn_and_to_be_judged_on(
    plain: dict[str, Any], markets: Dataset, run_tree: Callable[..., Run], tmp_path: Path
) -> None:
    queries, products, judged = markets.queries, markets.products, markets.judgements
    assert queries is not None and products is not None and judged is not None
    valid = judged.filter(pl.col("split") == "valid")["query_id"].unique()
    moved = queries.with_columns(
        pl.when(pl.col("query_id").is_in(valid.implode()))
        .then(pl.lit("xx"))
        .otherwise("locale")
        .alias("locale")
    )
    everywhere = pl.concat(
        [products, products.unique("product_id", maintain_order=True).with_columns(locale=pl.lit("xx"))]
    )
    write_folder(attrs.evolve(markets, queries=moved, products=everywhere), tmp_path / "data")
    tree = with_phases(plain, {"name": "here", "epochs": 1, "per_locale": True})
    tree["data"] = {"use": "core.folder", "path": str(tmp_path / "data")}
    with pytest.raises(RunError) as caught:
        run_tree(tree, tmp_path / "run")
    assert str(caught.value) == (
        "member ngram: no locale has both training and validation examples, and no phase trains a model for all. Put a "
        "phase without per_locale first, or give [data.split] larger shares."
    )


def test_a_run_stopped_between_locales_goes_on_to_the_same_result(
    plain: dict[str, Any],
    run_tree: Callable[..., Run],
    regional: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prodmatch_core.training import loop

    fit, calls = loop.fit, []

    def stopping(job: loop.Fitting) -> int:
        if job.name == "ngram/jp":
            raise KeyboardInterrupt
        calls.append(job.name)
        return fit(job)

    tree = with_phases(plain, *PHASES)
    monkeypatch.setattr(loop, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_tree(tree, tmp_path / "regional")
    monkeypatch.setattr(loop, "fit", fit)
    again = run_tree(tree, tmp_path / "regional")
    assert calls == ["ngram", "ngram/es"]
    for file in sorted((regional.path / "members/ngram").rglob("*.safetensors")):
        other = again.path / file.relative_to(regional.path)
        for name, values in load_file(file).items():
            np.testing.assert_array_equal(values, load_file(other)[name])


@pytest.mark.parametrize(
    ("phases", "losses", "message"),
    [
        (
            [{"name": "a", "per_locale": True}, {"name": "b"}],
            [],
            'member[0].training: phase "a" is per locale and another one for all locales follows; put those per locale '
            "last",
        ),
        (
            [{"name": "warm"}],
            [{"use": "core.focal", "phases": ["wram"]}],
            'member[0]: loss[0].phases names "wram"; did you mean "warm"?; the phases are warm',
        ),
        (
            [{"name": "one"}, {"name": "two"}],
            [{"use": "core.focal", "phases": ["one"]}],
            'member[0]: no loss counts in phase "two"; add the phase to a loss\'s phases',
        ),
    ],
)
def test_phases_that_make_no_sense_are_refused(
    plain: dict[str, Any], phases: list[dict[str, Any]], losses: list[dict[str, Any]], message: str
) -> None:
    tree = with_phases(plain, *phases)
    tree["member"][0]["loss"] = losses
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tree)
    assert [str(problem) for problem in caught.value.problems] == [message]


def test_a_loss_of_another_phase_does_not_count(
    plain: dict[str, Any], run_tree: Callable[..., Run], tmp_path: Path
) -> None:
    phases = [{"name": "one", "epochs": 1}, {"name": "two", "epochs": 1}]
    tree = with_phases(plain, *phases)
    tree["member"][0]["loss"] = [
        {"use": "core.cross_entropy"},
        {"use": "core.focal", "weight": 50.0, "phases": ["two"]},
    ]
    first, second = (event["loss"] for event in run_tree(tree, tmp_path / "run").log())
    assert first < 2 < second


def test_equal_shares_take_each_group_equally_often_and_no_row_twice_before_all_once() -> None:
    groups = np.repeat(["us", "es", "jp"], [70, 20, 10])
    rows = balanced_rows(groups, 0.0, np.random.default_rng(0))
    counts = np.bincount(rows, minlength=100)
    assert sorted(np.unique(groups[rows], return_counts=True)[1]) == [33, 33, 34]
    assert counts[:70].max() == 1 and counts[70:90].min() == 1 and counts[90:].min() == 3


def test_a_share_of_one_takes_every_row_once() -> None:
    groups = np.array(list("aabac"))
    assert sorted(balanced_rows(groups, 1.0, np.random.default_rng(0))) == [0, 1, 2, 3, 4]


def test_balanced_training_differs_from_plain_training(
    plain: dict[str, Any], run_tree: Callable[..., Run], tmp_path: Path
) -> None:
    phase = {"name": "main", "epochs": 1}
    losses = [
        run_tree(with_phases(plain, phase, locale_share=share), tmp_path / str(share)).log()[0]["loss"]
        for share in (1.0, 0.0)
    ]
    assert losses[0] != losses[1]
