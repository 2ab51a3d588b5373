"""From a pipeline file to the run directory: mixed parts, files for a reader, the report, augmentation."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.errors import ConfigError, DataError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_quarts.augment import augmented, sample
from prodmatch_quarts.drawing import heat_map
from prodmatch_quarts.section import various
from prodmatch_quarts.spelling import Spelling

PIPELINES = Path(__file__).parent.parent / "pipelines"
SHOP = {"use": "shop.synthetic", "size": 1200, "events_per_judgement": 0.0}
GENERATOR = {
    "use": "quarts.variational",
    "after": 1,
    "tuples": 100,
    "epochs": 2,
    "hidden": 16,
    "latent": 8,
    "written": 30,
}


def run(out: Path, member: dict[str, Any]) -> Run:
    training = {"epochs": 2, "batch_size": 64}
    tree = {
        "pipeline": {"name": "quarts"},
        "data": SHOP,
        "member": [{"name": "m", "training": training, **member}],
        "evaluation": {"replicates": 100, "baselines": []},
    }
    return run_pipeline(load_pipeline(tree), out=out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    encoder = {"use": "quarts.attention", "width": 16, "hidden": 16, "vocabulary": 800}
    negatives = {**GENERATOR, "learns": "adversarial", "states": "reread", "feed": "gumbel"}
    return run(tmp_path_factory.mktemp("quarts") / "run", {"encoder": encoder, "negatives": negatives})


def test_the_log_tells_figures_and_alarms_from_the_epoch_the_generator_is_used_in(finished: Run) -> None:
    first, second = finished.log()
    assert "negatives" not in first
    assert second["negatives"].keys() >= {"tuples_judged", "kl", "distinct", "told_apart", "alarms"}


def test_generated_queries_stand_beside_the_true_ones_in_a_file(finished: Run) -> None:
    table = pl.read_parquet(finished.path / "members/m/negatives/generated.parquet")
    assert table.columns[:6] == ["product_id", "locale", "title", "query_id", "query", "generated"]
    assert table.height == 30
    assert (table["generated"] != table["query"]).mean() > 0.5
    assert (table["generated"].str.len_chars() > 0).all()
    figures = json.loads((finished.path / "members/m/negatives/figures.json").read_text())
    assert figures["used"]
    scores = pl.read_parquet(finished.path / "members/m/negatives/scores.parquet")
    assert {"match", "generated", "random"} <= set(scores["kind"])


def test_the_report_draws_attention_and_shows_generated_queries(finished: Run) -> None:
    report = (finished.path / "report.html").read_text(encoding="utf-8")
    assert "Attention of query tokens over product tokens" in report
    assert "Generated queries" in report and "P(mismatch) by kind" in report


def test_scoring_needs_no_generator(finished: Run) -> None:
    weights = (finished.path / "members/m/model.safetensors").read_bytes()
    assert b"generator." not in weights
    scored = Pipeline.load(finished.path).predict(pl.DataFrame({"query": ["phone"], "title": ["Phone case"]}))
    assert 0 <= scored["score"][0] <= 1


def test_parts_of_three_plugins_train_from_a_pipeline_file_alone(tmp_path: Path) -> None:
    tree = tomllib.loads((PIPELINES / "mixed.toml").read_text(encoding="utf-8"))
    tree["data"] = SHOP
    tree["member"][0]["encoder"] |= {"width": 16, "vocabulary": 800}
    tree["member"][0]["negatives"] |= {"tuples": 60, "epochs": 1, "written": 10}
    tree["evaluation"] = {"replicates": 100, "baselines": []}
    done = run_pipeline(load_pipeline(tree), out=tmp_path / "run")
    assert [epoch["epoch"] for epoch in done.log()] == [1, 2]
    assert "told_apart" in done.log()[1]["negatives"]
    assert (done.path / "members/pyramid/negatives/generated.parquet").exists()


@pytest.mark.parametrize("name", ["homedepot_generator", "mixed"])
def test_the_shipped_pipelines_are_valid(name: str) -> None:
    assert load_pipeline(PIPELINES / f"{name}.toml").member[0].negatives.name == "quarts.variational"


def test_rereading_is_refused_in_words_where_the_encoder_cannot(tmp_path: Path) -> None:
    member = {"encoder": {"use": "example.maxsim"}, "negatives": {**GENERATOR, "states": "reread"}}
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "run", member)
    assert str(error.value) == (
        'negatives.states = "reread": MaxSimEncoder cannot read queries that are written token by token. Use states = '
        '"decoder", or an encoder that is Rereading, such as quarts.attention or baselines.match_pyramid.'
    )


def test_augmentation_adds_generated_queries_as_training_mismatches() -> None:
    dataset = make_shop(ShopConfig(size=400, events_per_judgement=0.0))
    some = (
        dataset.products.head(3).select("product_id", "locale").with_columns(generated=pl.lit("blue thing"))
    )
    found = augmented(dataset, some, "g.parquet")
    added = found.judgements.tail(3)
    assert found.judgements.height == dataset.judgements.height + 3
    assert set(added["label"]) == {"irrelevant"} and set(added["split"]) == {"train"}
    assert found.queries.tail(3)["text"].to_list() == ["blue thing"] * 3
    with pytest.raises(DataError) as error:
        augmented(dataset, some.with_columns(product_id=pl.lit("nowhere")), "g.parquet")
    assert str(error.value) == (
        "g.parquet, row 1: product_id 'nowhere' is not in the data set (rows like this: 3). Name the file of a run on "
        "the same data."
    )
    with pytest.raises(DataError) as error:
        augmented(dataset, some.drop("generated"), "g.parquet")
    assert str(error.value) == (
        "g.parquet: no column generated. Name the generated.parquet that a run with quarts.variational wrote to "
        "members/<name>/negatives/."
    )


def test_augmentation_needs_two_pipeline_files_and_a_folder(finished: Run, tmp_path: Path) -> None:
    shop = make_shop(ShopConfig(size=1200, events_per_judgement=0.0))
    write_folder(shop, tmp_path / "shop")
    tree = tomllib.loads((PIPELINES / "homedepot_augmented.toml").read_text(encoding="utf-8"))
    generated = finished.path / "members/m/negatives/generated.parquet"
    tree["data"] |= {"path": "shop", "generated": str(generated)}
    tree["member"][0]["encoder"] |= {"width": 16, "hidden": 16, "vocabulary": 800}
    tree["member"][0] |= {"loss": [{"use": "core.cross_entropy"}], "training": {"epochs": 1}}
    tree["evaluation"] = {"replicates": 100, "baselines": []}
    done = run_pipeline(load_pipeline(tree), out=tmp_path / "run", context=ReadContext(root=tmp_path))
    novel = int(pl.read_parquet(generated)["novel"].sum())
    assert novel and f"generated queries added to the training split: {novel}" in " ".join(done.data["notes"])


def test_augmentation_names_a_folder_without_judged_pairs(tmp_path: Path) -> None:
    sample(tmp_path)
    shop = make_shop(ShopConfig(size=400))
    write_folder(attrs.evolve(shop, judgements=None, queries=None, scheme=None, truth={}), tmp_path / "log")
    tree = {
        "pipeline": {"name": "q"},
        "data": {"use": "quarts.augmented", "path": "log", "generated": "generated.parquet"},
        "member": [{"encoder": {"use": "core.ngram"}}],
    }
    with pytest.raises(DataError) as error:
        run_pipeline(load_pipeline(tree), out=tmp_path / "run", context=ReadContext(root=tmp_path))
    assert str(error.value) == (
        f"{tmp_path / 'log'}: has no judged pairs that queries could be added to. Name a folder that has."
    )


def test_the_report_shows_as_many_true_queries_as_it_can() -> None:
    queries = ["a"] * 20 + ["b", "c"] + ["a"]
    shown = various(pl.DataFrame({"query": queries, "row": range(len(queries))}))
    assert shown["row"].to_list() == [0, 20, 21, *range(1, 13)]


def test_tokens_are_put_together_as_texts_write_them() -> None:
    from prodmatch_core.tokens.tokenizer import train_tokenizer

    texts = ["dishwasher salt", "dish soap", "washer fluid", "crème brûlée torch"] * 3
    tokenizer = train_tokenizer(texts, 320)
    spelling = Spelling.of(texts, tokenizer)
    for text in texts[:4]:
        assert spelling.text(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_even_attention_is_pale_and_a_peak_is_dark() -> None:
    even = heat_map(np.full((1, 10), 0.1), ["a"], [str(n) for n in range(10)], "x")
    assert 'fill-opacity="0.28"' in even
    assert 'fill-opacity="1"' in heat_map(np.eye(2), ["a", "b"], ["c", "d"], "x")


def test_noise_changes_matching_queries_alone_and_by_its_scale() -> None:
    import torch

    from prodmatch_core.components.encoder import Encoding, States
    from prodmatch_quarts.configs import NoiseConfig
    from prodmatch_quarts.noise import NoiseGenerator
    from prodmatch_quarts.switch import Switch

    hidden = torch.randn(400, 5, 8, generator=torch.Generator().manual_seed(0))
    query = States(hidden, torch.ones(400, 5, dtype=torch.bool))
    labels = torch.arange(400) % 2
    made = NoiseGenerator(NoiseConfig(rate=1.0, scale=2.0), Switch((0,), 1))
    mixed = made.mix(Encoding(query_states=query), labels, np.random.default_rng(0))
    apart = mixed.encoding.query_states.hidden - hidden
    assert (apart[labels == 1] == 0).all()
    assert float(apart[labels == 0].std()) == pytest.approx(2.0 * float(hidden.std()), rel=0.03)
