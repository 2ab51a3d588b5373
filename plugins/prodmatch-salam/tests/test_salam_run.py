"""A run with phases, a graph and copies, from the pipeline file to a scored pair."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ConfigError, DataError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.rundata import read_dataset
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.testing.official_files import write_esci
from prodmatch_core.training import seeds
from prodmatch_salam.features import FeatureStore, model_hash, text_hashes
from prodmatch_salam.fusion import FusionEncoder
from prodmatch_salam.serving import PairScorer, Scored

PIPELINES = Path(__file__).parent.parent / "pipelines"
NGRAM = {"use": "core.ngram", "width": 8, "buckets": 4096}
QUICK = (
    "data.size=1500",
    "member.0.encoder.text.hidden=16",
    "member.0.encoder.text.layers=1",
    "member.0.encoder.text.heads=2",
    "member.0.encoder.text.vocabulary=2000",
    "member.0.encoder.text.max_length=24",
    "member.0.encoder.graph.width=16",
    "member.0.encoder.width=16",
    "member.0.training.phase.0.epochs=1",
    "member.0.training.phase.1.epochs=1",
    "evaluation.replicates=100",
    "evaluation.baselines=[]",
)
"Settings of size and time only."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of the shipped pipeline on a small shop."""
    pipeline = load_pipeline(PIPELINES / "shop.toml", QUICK)
    return run_pipeline(pipeline, out=tmp_path_factory.mktemp("runs") / "shop")


@pytest.fixture(scope="module")
def pairs(run: Run) -> pl.DataFrame:
    """Return the run's test pairs as a file of pairs to score has them."""
    dataset = read_dataset(load_pipeline(run.path / "resolved.toml"), ReadContext())
    assert dataset.queries is not None and dataset.products is not None
    rows = run.decisions.filter(pl.col("split") == "test").select("query_id", "product_id", "locale", "score")
    rows = rows.join(dataset.queries.select("query_id", query="text"), on="query_id", maintain_order="left")
    titles = dataset.products.select("product_id", "locale", "title")
    return rows.join(titles, on=["product_id", "locale"], maintain_order="left")


def test_scoring_with_identifiers_gives_the_runs_own_test_scores(run: Run, pairs: pl.DataFrame) -> None:
    found = Pipeline.load(run.path, precision="fp32").predict(pairs.drop("score"))
    np.testing.assert_allclose(found["score"].to_numpy(), pairs["score"].to_numpy(), atol=1e-4)


def test_without_identifiers_the_graph_knows_nobody_and_texts_answer(run: Run, pairs: pl.DataFrame) -> None:
    pipeline = Pipeline.load(run.path, precision="fp32")
    bare = pairs.select("query", "title", "locale")
    named = bare.with_columns(query_id=pl.lit("nobody"), product_id=pl.lit("nothing"))
    first, second = (pipeline.predict(frame.unique(maintain_order=True))["score"] for frame in (bare, named))
    np.testing.assert_allclose(first.to_numpy(), second.to_numpy(), atol=1e-5)
    known = pipeline.predict(pairs.drop("score"))["score"].to_numpy()
    assert np.abs(known - pipeline.predict(bare)["score"].to_numpy()).max() > 1e-3


def test_the_log_has_both_phases_and_the_first_learns_links(run: Run) -> None:
    events = run.log()
    assert [(event["phase"], event.get("locale")) for event in events] == [
        ("everywhere", None),
        ("region", "en"),
        ("region", "es"),
        ("region", "ja"),
    ]


def test_links_are_learnt(tmp_path: Path) -> None:
    settings = (*QUICK, "member.0.loss.0.weight=0", "member.0.training.phase.0.epochs=3")
    plain = load_pipeline(PIPELINES / "shop.toml", settings)
    losses = [event["loss"] for event in run_pipeline(plain, out=tmp_path / "links").log()[:3]]
    assert losses[2] < losses[0] * 0.9


def test_the_report_names_the_graph_and_tells_locales_and_degrees_apart(run: Run) -> None:
    html = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Texts and graph: salam" in html
    assert "shoppers&#x27; engagements" in html and "a proxy made of" not in html
    for text in ("Test pairs by locale", "Test pairs by the neighbours of their product", ">16+<"):
        assert text in html


def test_a_proxy_is_called_one_in_the_report(tmp_path: Path) -> None:
    settings = (*QUICK, 'member.0.encoder.edges="proxy"', "data.size=800")
    run = run_pipeline(load_pipeline(PIPELINES / "shop.toml", settings), out=tmp_path / "proxy")
    html = (run.path / "report.html").read_text(encoding="utf-8")
    assert "a proxy made of training judgements, not of behaviour" in html


def test_engagements_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    write_esci(tmp_path / "esci")
    settings = ('member.0.encoder.edges="engagements"',)
    with pytest.raises(ConfigError, match=r"salam\.fusion needs engagements"):
        load_pipeline(PIPELINES / "esci.toml", settings)


def test_the_shipped_esci_pipeline_runs_on_the_official_files_in_all_locales(tmp_path: Path) -> None:
    write_esci(tmp_path / "esci")
    quick = tuple(setting for setting in QUICK if not setting.startswith("data."))
    pipeline = load_pipeline(PIPELINES / "esci.toml", quick)
    run = run_pipeline(pipeline, out=tmp_path / "run", context=ReadContext(root=tmp_path))
    assert set(run.decisions["locale"]) == {"us", "es", "jp"}
    told = json.loads((run.path / "members/salam/assets/fusion.json").read_text())
    assert told == {"edges": "proxy", "setting": "transductive"}


@pytest.mark.real
def test_real_esci_rows_in_the_official_files_run_with_a_proxy(tmp_path: Path) -> None:
    root = os.environ.get("PRODMATCH_DATA")
    if not root:
        pytest.skip("PRODMATCH_DATA does not name the data folder")
    rows = pl.read_csv(Path(root, "esci_fixture", "esci.csv"))
    texts = [name for name in rows.columns if name.startswith("product_") and name != "product_text"]
    letters = rows.with_columns(pl.col("esci_label").str.slice(0, 1), pl.lit("train").alias("split"))
    asked = [
        "query",
        "query_id",
        "product_id",
        "product_locale",
        "esci_label",
        "small_version",
        "large_version",
    ]
    (tmp_path / "esci").mkdir()
    letters.select("example_id", *asked, "split").write_parquet(
        tmp_path / "esci/shopping_queries_dataset_examples.parquet"
    )
    products = rows.select(texts).unique("product_id", keep="first", maintain_order=True)
    products.write_parquet(tmp_path / "esci/shopping_queries_dataset_products.parquet")
    quick = tuple(setting for setting in QUICK if not setting.startswith("data."))
    # A tenth of 200 rows for the test would be one query.
    settings = (*quick, 'data.version="large"', "data.split.test=0.3", "data.split.valid=0.2")
    run = run_pipeline(
        load_pipeline(PIPELINES / "esci.toml", settings),
        out=tmp_path / "run",
        context=ReadContext(root=tmp_path),
    )
    assert run.metrics["counts"]["test"] > 20
    assert "a proxy made of" in (run.path / "report.html").read_text(encoding="utf-8")


# -- node features ---------------------------------------------------------------------------------------------------


class Counting:
    """Computes vectors of texts and counts how many it was asked for."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.asked = texts, 0

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.asked += len(rows)
        return np.array([[len(self.texts[row]), ord(self.texts[row][0])] for row in rows], dtype=np.float32)


def test_stored_features_equal_fresh_ones_and_are_computed_once(tmp_path: Path) -> None:
    texts = ["lamp", "chair", "lamp", "ランプ"]
    store, compute = FeatureStore(tmp_path), Counting(texts)
    fresh = store.vectors(texts, "model", 2, compute)
    again = store.vectors(texts[::-1], "model", 2, compute)
    np.testing.assert_array_equal(fresh.take(np.arange(4)), compute(np.arange(4)))
    np.testing.assert_array_equal(again.take(np.arange(4)), fresh.take(np.arange(4)[::-1]))
    assert compute.asked == 3 + 4  # three different texts, and the four of the comparison
    assert isinstance(again.table, np.memmap)


def test_another_model_never_finds_the_features_of_the_first(tmp_path: Path) -> None:
    store, compute = FeatureStore(tmp_path), Counting(["lamp"])
    store.vectors(["lamp"], "a" * 64, 2, compute)
    store.vectors(["lamp"], "b" * 64, 2, compute)
    assert compute.asked == 2


def test_a_store_that_was_cut_off_goes_on_where_it_is_whole(tmp_path: Path) -> None:
    texts = ["lamp", "chair", "rug"]
    store, compute = FeatureStore(tmp_path), Counting(texts)
    store.vectors(texts, "model", 2, compute)
    vectors = tmp_path / "model" / "vectors.bin"
    with vectors.open("r+b") as stream:
        stream.truncate(8 * 2 + 3)
    again = store.vectors(texts, "model", 2, compute)
    assert compute.asked == 4
    np.testing.assert_array_equal(again.take(np.arange(3)), Counting(texts)(np.arange(3)))


def test_the_models_hash_follows_its_weights(run: Run) -> None:
    encoders = [Pipeline.load(run.path).members[0].model.encoder.text for _ in range(2)]  # type: ignore[union-attr]
    assert model_hash(encoders[0]) == model_hash(encoders[1])
    with torch.no_grad():
        next(encoders[1].parameters()).add_(1e-3)
    assert model_hash(encoders[0]) != model_hash(encoders[1])


def test_different_texts_have_different_hashes() -> None:
    assert len(set(text_hashes([str(number) for number in range(10_000)]).tolist())) == 10_000


def features_of(settings: tuple[str, ...]) -> np.ndarray:
    """Return the node features of the shipped pipeline's encoder as it is built, with initial weights of one seed."""
    pipeline = load_pipeline(PIPELINES / "shop.toml", settings)
    dataset = read_dataset(pipeline, ReadContext())
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    config = pipeline.member[0].encoder.config
    with seeds.torch_seed(0, "weights"):
        features = FusionEncoder.build(config, data, seeds.rng(0, "build")).features
    return features.take(np.arange(len(features.rows)))


def test_features_of_a_store_are_those_without_one_and_are_computed_once(tmp_path: Path) -> None:
    small = (*QUICK, "data.size=800")
    stored = (*small, f'member.0.encoder.store="{tmp_path}"')
    first = features_of(stored)
    (vectors,) = tmp_path.glob("*/vectors.bin")
    size = vectors.stat().st_size
    np.testing.assert_array_equal(features_of(stored), first)
    assert vectors.stat().st_size == size > 0
    np.testing.assert_allclose(features_of(small), first, atol=1e-5)


# -- language models ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small XLM-RoBERTa made from a configuration, with a tokenizer of its kind."""
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path_factory.mktemp("xlmr")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(
        ["red desk lamp", "lámpara roja", "赤いランプ", "phone case 10"] * 4, trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = XLMRobertaConfig(
        vocab_size=len(wrapped), max_position_embeddings=40, type_vocab_size=1, pad_token_id=1, **sizes
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        XLMRobertaModel(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def test_a_multilingual_model_of_a_folder_is_the_text_view_and_makes_the_features(
    multilingual: Path, tmp_path: Path
) -> None:
    quick = (setting for setting in QUICK if ".text." not in setting or "max_length" in setting)
    settings = (*quick, f'member.0.encoder.text.model="{multilingual}"', "data.size=800")
    run = run_pipeline(load_pipeline(PIPELINES / "shop.toml", settings), out=tmp_path / "run")
    config = json.loads((run.path / "members/salam/assets/text/config.json").read_text())
    assert config["model_type"] == "xlm-roberta"
    features = load_file(run.path / "members/salam/assets/features.safetensors")["nodes"]
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-4)


def test_a_multilingual_model_is_named_as_the_hub_names_it(
    multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, home = "0" * 40, tmp_path / "models--acme--small-xlmr"
    shutil.copytree(multilingual, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    quick = [setting for setting in QUICK if ".text." not in setting or "max_length" in setting]
    found = [
        features_of((*quick, "data.size=500", f'member.0.encoder.text.model="{name}"'))
        for name in ("acme/small-xlmr", multilingual)
    ]
    np.testing.assert_array_equal(*found)


def test_the_tokenizer_is_trained_on_all_locales(run: Run) -> None:
    tokenizer = Tokenizer.from_file(str(run.path / "members/salam/assets/text/tokenizer.json"))
    assert (
        tokenizer.encode("ＣＡＦÉ", add_special_tokens=False).tokens
        == tokenizer.encode("café", add_special_tokens=False).tokens
    )
    tokens = [token for token in tokenizer.get_vocab() if len(token) > 1 and not token.startswith("<0x")]
    assert any("ぁ" <= letter <= "ヿ" for token in tokens for letter in token)
    assert any(letter in "áéíóúñ" for token in tokens for letter in token)


# -- serving -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> tuple[PairScorer, list[int]]:
    """Return a scorer that remembers two pairs, and the sizes of what its pipeline was asked."""
    scorer, sizes = PairScorer.load(run.path, capacity=2), []
    predict: Callable[..., Any] = Pipeline.predict

    def counting(self: Pipeline, frame: pl.DataFrame) -> pl.DataFrame:
        sizes.append(frame.height)
        return predict(self, frame)

    monkeypatch.setattr(Pipeline, "predict", counting)
    return scorer, sizes


def ask(scorer: PairScorer, pairs: pl.DataFrame, row: int) -> Scored:
    query, title, *rest = pairs.select("query", "title", "locale", "query_id", "product_id").row(row)
    return scorer.score(query, title, **dict(zip(("locale", "query_id", "product_id"), rest, strict=True)))


def test_a_pair_is_computed_once_and_remembered(
    counted: tuple[PairScorer, list[int]], pairs: pl.DataFrame
) -> None:
    scorer, sizes = counted
    first, again = ask(scorer, pairs, 0), ask(scorer, pairs, 0)
    assert sizes == [1] and again is first
    assert first.score == pytest.approx(pairs["score"][0], abs=1e-3)


def test_what_was_asked_for_longest_ago_is_forgotten_first(
    counted: tuple[PairScorer, list[int]], pairs: pl.DataFrame
) -> None:
    scorer, sizes = counted
    for row in (0, 1, 0, 2, 0, 1):
        ask(scorer, pairs, row)
    assert len(sizes) == 4 and len(scorer.seen) == 2  # 0, 1, 2, and 1 once more


def test_many_pairs_are_learnt_at_once(counted: tuple[PairScorer, list[int]], pairs: pl.DataFrame) -> None:
    scorer, sizes = counted
    scorer.learn(pairs.drop("score").head(2))
    ask(scorer, pairs, 1)
    assert sizes == [2]


def test_a_field_that_pairs_do_not_have_is_named(counted: tuple[PairScorer, list[int]]) -> None:
    with pytest.raises(DataError) as caught:
        counted[0].score("lamp", "a lamp", colour="red")
    assert str(caught.value) == (
        "a pair has no colour; it may have locale, query_id, product_id, description, bullets, brand, color."
    )


def test_known_nodes_are_computed_when_a_scorer_is_loaded(run: Run) -> None:
    (member,) = PairScorer.load(run.path).pipeline.members
    for model in (member.model, *member.regions.values()):
        assert model.encoder._known is not None  # type: ignore[union-attr]


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": NGRAM}, "features: core.ngram has no language model to make node features with; name an encoder that "
         'gives embeddings, for example { use = "core.ngram", mode = "two_tower" }'),
        ({"text": NGRAM, "features": NGRAM}, "features: core.ngram gives no embeddings; set its mode, or name another"),
        ({"width": 30}, "width must be a multiple of heads, got 30 and 4"),
        ({"text": {"use": "core.mean_nodes"}}, "text: core.mean_nodes gives neither pairs nor embeddings; name a text "
         "encoder"),
    ],
)  # fmt: skip
def test_a_fusion_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    encoder = {
        "use": "salam.fusion",
        "text": {"use": "core.transformer"},
        "graph": {"use": "core.mean_nodes"},
        **fields,
    }
    plain = {
        "pipeline": {"name": "x"},
        "data": {"use": "shop.synthetic"},
        "member": [{"encoder": encoder, "sampler": {"use": "core.uniform_sampler", "fanouts": [5, 5]}}],
    }
    with pytest.raises(ConfigError) as caught:
        load_pipeline(plain)
    assert [str(problem) for problem in caught.value.problems] == [f"member[0].encoder: {message}"]
