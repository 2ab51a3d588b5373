from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.builtin.configs import NgramConfig
from prodmatch_core.builtin.mined_config import MinedConfig
from prodmatch_core.builtin.mined_negatives import MinedNegatives
from prodmatch_core.builtin.ngram import NgramEncoder
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.errors import ConfigError
from prodmatch_core.records import Part
from prodmatch_core.registry import default_registry
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.embedding import Embedder

QUERIES, PRODUCTS, JUDGED = 12, 80, 6
COLOURS, THINGS = (
    ("red", "blue", "green", "black", "white"),
    ("dress", "lamp", "shoe", "sofa", "ring", "desk"),
)
TOWERS = NgramConfig(mode="two_tower", buckets=512, width=8)


class Unasked:
    """Vectors that a lexical miner has no business with."""

    def queries(self, rows: np.ndarray) -> np.ndarray:
        raise AssertionError("a lexical miner asked for vectors")

    products = queries


@attrs.define
class Given:
    """Vectors that a test may change."""

    query: np.ndarray
    product: np.ndarray
    asked: int = 0

    def queries(self, rows: np.ndarray) -> np.ndarray:
        self.asked += 1
        return self.query[rows]

    def products(self, rows: np.ndarray) -> np.ndarray:
        return self.product[rows]


def make() -> FitData:
    """Return queries and products in two locales; every query has judged products, some of them matches."""
    rng = np.random.default_rng(3)

    def texts(count: int) -> list[str]:
        return [f"{rng.choice(COLOURS)} {rng.choice(THINGS)} {n % 7}" for n in range(count)]

    locale = np.array(["en", "ja"])
    corpus = Corpus(
        pl.DataFrame(
            {
                "query_id": [f"q{n}" for n in range(QUERIES)],
                "locale": locale[np.arange(QUERIES) % 2],
                "text": texts(QUERIES),
            }
        ),
        pl.DataFrame(
            {
                "product_id": [f"p{n}" for n in range(PRODUCTS)],
                "locale": locale[np.arange(PRODUCTS) % 2],
                "title": texts(PRODUCTS),
            }
        ),
    )
    query = np.repeat(np.arange(QUERIES), JUDGED)
    product = np.concatenate(
        [rng.choice(np.arange(q % 2, PRODUCTS, 2), size=JUDGED, replace=False) for q in range(QUERIES)]
    )
    examples = Examples(query, product, np.arange(len(query)) % 3, rng.random(len(query)) + 0.5)
    valid = np.arange(len(query)) % JUDGED == 5
    return FitData(corpus, examples.take(~valid), examples.take(valid), ESCI, Dataset("none"))


def vectors(seed: int) -> Given:
    rng = np.random.default_rng(seed)
    return Given(
        rng.standard_normal((QUERIES, 4), dtype=np.float32),
        rng.standard_normal((PRODUCTS, 4), dtype=np.float32),
    )


def ready(data: FitData, embed: Any = None, **fields: Any) -> MinedNegatives:
    generator = MinedNegatives.build(MinedConfig(**fields), data)
    generator.refresh(0, np.random.default_rng(0), embed or Unasked())
    return generator


def codes(examples: Examples) -> list[int]:
    return (examples.query * PRODUCTS + examples.product).tolist()


@pytest.mark.parametrize("sampling", ["top", "uniform", "score"])
def test_negatives_are_unjudged_of_the_locale_each_once_and_of_the_worst_label(sampling: str) -> None:
    data = make()
    generator, rng = ready(data, per_positive=3.0, sampling=sampling), np.random.default_rng(0)
    judged = codes(data.train.concat(data.valid))
    for _ in range(5):
        found = generator.propose(data.train, rng)
        assert len(found) > 20
        assert not set(codes(found)) & set(judged)
        assert len(set(codes(found))) == len(found)
        np.testing.assert_array_equal(found.query % 2, found.product % 2)
        assert set(found.label.tolist()) == {3}


def test_every_matching_example_gets_its_share_and_its_weight() -> None:
    data = make()
    batch = attrs.evolve(data.train, weight=data.train.query + 1.0)
    found = ready(data, per_positive=2.0, weight=0.25).propose(batch, np.random.default_rng(0))
    matching = np.bincount(batch.query[batch.label == 0], minlength=QUERIES)
    np.testing.assert_array_equal(np.bincount(found.query, minlength=QUERIES), 2 * matching)
    np.testing.assert_allclose(found.weight, (found.query + 1) * 0.25)


def test_a_batch_without_matches_gets_none() -> None:
    data = make()
    batch = data.train.take(data.train.label != 0)
    assert len(ready(data).propose(batch, np.random.default_rng(0))) == 0


def test_top_takes_the_best_and_a_low_temperature_nearly_so() -> None:
    data, embed = make(), vectors(1)
    batch = data.train.take(np.flatnonzero(data.train.label == 0)[:1])
    query = int(batch.query[0])
    top = ready(data, embed, miner="self", per_positive=3.0, sampling="top", max_likeness=1.0)
    scores = embed.product @ embed.query[query]
    found = top.propose(batch, np.random.default_rng(0))
    judged = {p for part in (data.train, data.valid) for p in part.product[part.query == query].tolist()}
    titles = top.catalogue.title
    allowed = [
        p
        for p in range(query % 2, PRODUCTS, 2)
        if titles[p] not in titles[list(judged)] and top.catalogue.first[titles[p]] == p
    ]
    assert found.product.tolist() == sorted(allowed, key=lambda p: -scores[p])[:3]
    cold = ready(
        data, embed, miner="self", per_positive=3.0, sampling="score", temperature=1e-4, max_likeness=1.0
    )
    assert cold.propose(batch, np.random.default_rng(9)).product.tolist() == found.product.tolist()


def test_drawing_by_score_follows_the_odds() -> None:
    data, embed = make(), vectors(1)
    generator, rng = (
        ready(data, embed, miner="self", sampling="score", temperature=1.0, last=3),
        np.random.default_rng(0),
    )
    batch = data.train.take(np.flatnonzero(data.train.label == 0)[:1])
    first, end = (
        generator.candidates.offsets[batch.query[0]],
        generator.candidates.offsets[batch.query[0] + 1],
    )
    odds = np.exp(generator.candidates.score[first:end].astype(np.float64))
    drawn = np.array([generator.propose(batch, rng).product[0] for _ in range(3000)])
    shares = [(drawn == product).mean() for product in generator.candidates.product[first:end]]
    np.testing.assert_allclose(shares, odds / odds.sum(), atol=0.04)


def test_same_seed_same_negatives_and_another_seed_others() -> None:
    data = make()
    first, again, other = (
        codes(ready(data).propose(data.train, np.random.default_rng(seed))) for seed in (4, 4, 5)
    )
    assert first == again != other


def test_blocks_of_any_size_give_the_same_candidates() -> None:
    data, embed = make(), vectors(2)
    embed.query, embed.product = embed.query.round(), embed.product.round()
    for miner in ("lexical", "self"):
        large, small = (ready(data, embed, miner=miner, memory_mb=mb, last=9).candidates for mb in (64, 1))
        np.testing.assert_array_equal(large.product, small.product)
        np.testing.assert_array_equal(large.score, small.score)


def test_the_members_own_encoder_is_asked_anew_when_it_is_due_and_changes_the_negatives() -> None:
    data, embed = make(), vectors(1)
    generator = ready(data, embed, miner="self", refresh_every=2)
    before = generator.candidates
    embed.query = -embed.query
    generator.refresh(1, np.random.default_rng(0), embed)
    assert generator.candidates is before
    generator.refresh(2, np.random.default_rng(0), embed)
    assert generator.candidates.product.tolist() != before.product.tolist()
    again = ready(data, embed, miner="self")
    assert again.candidates.product.tolist() == generator.candidates.product.tolist()


def test_what_does_not_change_is_mined_once() -> None:
    generator = ready(make())
    before = generator.candidates
    generator.refresh(1, np.random.default_rng(0), Unasked())
    assert generator.candidates is before
    assert generator.state() == {}


def test_a_restored_generator_goes_on_with_what_was_mined_before() -> None:
    data, embed = make(), vectors(1)
    whole = ready(data, embed, miner="self", refresh_every=3)
    resumed = MinedNegatives.build(whole.config, data)
    resumed.restore(whole.state())
    for generator in (whole, resumed):
        generator.refresh(2, np.random.default_rng(0), vectors(7))
    assert codes(resumed.propose(data.train, np.random.default_rng(1))) == codes(
        whole.propose(data.train, np.random.default_rng(1))
    )
    assert resumed.figures == whole.figures


def test_the_figures_say_how_many_were_wanted_and_found() -> None:
    data = make()
    generator = ready(data, per_positive=100.0, last=4)
    matches = np.bincount(data.train.query[data.train.label == 0], minlength=QUERIES)
    figures = generator.figures
    assert figures["queries"] == (matches > 0).sum()
    assert figures["wanted"] == 100 * matches.sum()
    assert (
        figures["found"]
        == figures["candidates"]
        == len(generator.candidates.product)
        <= 4 * figures["queries"]
    )
    assert figures["considered"] == figures["candidates"] + figures["guarded"]


# -- encoders ---------------------------------------------------------------------------------------------------------


def towers(data: FitData) -> NgramEncoder:
    with seeds.torch_seed(0, "weights"):
        return NgramEncoder.build(TOWERS, data, np.random.default_rng(0))


def test_encoding_restores_the_modes_and_draws_no_random_number() -> None:
    data = make()
    encoder = towers(data).train()
    encoder.query_tower.eval()
    modes = [module.training for module in encoder.modules()]
    embed = Embedder(encoder, encoder.prepare(data.corpus))
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    embed.queries(np.arange(QUERIES))
    assert [module.training for module in encoder.modules()] == modes
    assert torch.equal(torch_state, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_encoding_gives_the_vectors_of_pairs_at_length_1_whatever_the_budget() -> None:
    data = make()
    encoder = towers(data).eval()
    prepared = encoder.prepare(data.corpus)
    rows = np.array([5, 0, 5, 7])
    with torch.no_grad():
        encoding = encoder(prepared.batch(rows, rows))
    for budget in (1, 10_000):
        embed = Embedder(encoder, prepared, budget=budget)
        for found, expected in (
            (embed.queries(rows), encoding.query),
            (embed.products(rows), encoding.product),
        ):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, torch.nn.functional.normalize(expected).numpy(), atol=1e-6)


def encoder_part(**fields: Any) -> Part:
    return Part(default_registry().get("encoder", "core.ngram"), NgramConfig(**fields))


def test_another_encoder_is_made_from_the_seed_asked_once_and_let_go() -> None:
    data, found = make(), []
    for seed in (1, 1, 2):
        with seeds.torch_seed(seed, "weights"):
            generator = ready(data, miner="encoder", encoder=encoder_part(**attrs.asdict(TOWERS)))
        found.append(generator.candidates.product.tolist())
        assert generator.encoder is None
    assert found[0] == found[1] != found[2]


def fitting(data: FitData, config: MinedConfig, **changes: Any) -> loop.Fitting:
    from prodmatch_core.builtin.configs import CrossEntropyConfig
    from prodmatch_core.builtin.cross_entropy import CrossEntropyLoss
    from prodmatch_core.sections import Training
    from prodmatch_core.tasks.match import MatchTask
    from prodmatch_core.training.model import MemberModel

    encoder, task = towers(data), MatchTask()
    with seeds.torch_seed(0, "head"):
        model = MemberModel(encoder, task.head(encoder.width, frozenset({"embeddings"}), ESCI), task)
    job = {
        "model": model,
        "losses": [(1.0, CrossEntropyLoss(CrossEntropyConfig(), ESCI))],
        "data": data,
        "prepared": encoder.prepare(data.corpus),
        "settings": Training(batch_size=16, epochs=6, learning_rate=0.03, patience=0),
        "validate": lambda model: {"accuracy": float("nan")},  # so that the last epoch's weights are kept
        "measure": "accuracy",
        "higher": True,
        "seed": 0,
        "name": "towers",
        "negatives": MinedNegatives.build(config, data),
    }
    return loop.Fitting(**{**job, **changes})


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 4])
def test_training_resumes_to_the_same_weights_between_two_renewals_too(tmp_path: Path, after: int) -> None:
    data, config = make(), MinedConfig(miner="self", refresh_every=3, last=8)

    def trained(**changes: Any) -> dict[str, torch.Tensor]:
        job = fitting(data, config, **changes)
        with seeds.torch_seed(0, "dropout"):
            loop.fit(job)
        return job.model.state_dict()

    def stop(figures: Any) -> None:
        if figures["epoch"] == after + 1:
            raise Stopped

    heard: list[Any] = []
    whole = trained(on_epoch=heard.append)
    assert [figures["negatives"]["found"] > 0 for figures in heard] == [True] * 6
    checkpoint = Checkpoint(tmp_path / "towers.safetensors", "key")
    with pytest.raises(Stopped):
        trained(checkpoint=checkpoint, on_epoch=stop)
    resumed = trained(checkpoint=checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


# -- configuration ----------------------------------------------------------------------------------------------------


def problem(negatives: str) -> str:
    """Return what is wrong with a member whose encoder compares pairs and whose negatives are so configured."""
    mined = {"use": "core.mined_negatives", **tomllib.loads(f"x = {negatives}")["x"]}
    source = {
        "pipeline": {"name": "demo"},
        "data": {"use": "shop.synthetic"},
        "member": [{"encoder": {"use": "core.ngram"}, "negatives": mined}],
    }
    with pytest.raises(ConfigError) as caught:
        load_pipeline(source, registry=default_registry())
    return str(caught.value).partition("\n")[2].strip()


def test_an_encoder_without_embeddings_cannot_mine_for_itself() -> None:
    text = problem('{ miner = "self" }')
    assert text.startswith(
        "member[0].negatives.use: core.mined_negatives needs embeddings (one vector per query and per product, "
        "comparable by cosine), which core.ngram (encoder) does not give; given by "
    )
    assert 'core.ngram (encoder with mode = "two_tower")' in text


@pytest.mark.parametrize(
    ("negatives", "text"),
    [
        (
            '{ miner = "encoder", encoder = { use = "core.ngram" } }',
            "encoder: core.ngram, so configured, gives pairs; a miner needs embeddings. Where the encoder has a mode, "
            'set mode = "two_tower"',
        ),
        (
            '{ miner = "encoder" }',
            'miner = "encoder" needs an encoder: encoder = { use = "...", mode = "two_tower" }',
        ),
        (
            '{ encoder = { use = "core.ngram", mode = "two_tower" } }',
            'encoder is read with miner = "encoder" only, and miner is "lexical"; set it',
        ),
        ("{ first = 9, last = 3 }", "first (9) must not be above last (3)"),
        ("{ min_score = 0.9, max_score = 0.3 }", "min_score (0.9) must not be above max_score (0.3)"),
        ('{ index = "ivf" }', 'index = "ivf" searches vectors; the lexical miner has none. Remove index'),
    ],
)
def test_fields_that_contradict_each_other_are_refused(negatives: str, text: str) -> None:
    assert problem(negatives) == f"member[0].negatives: {text}"
