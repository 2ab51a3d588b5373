from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, TwoSidedEncoder
from prodmatch_core.components.loss import Output, PointwiseLoss
from prodmatch_core.components.negatives import Mixed, StateGenerator
from prodmatch_core.data.corpus import Corpus, match_examples
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import RunError
from prodmatch_core.sections import Phase, Training
from prodmatch_core.tasks.heads import ClassHead
from prodmatch_core.tasks.match import MatchTask
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.optimizing import step_size
from prodmatch_core.training.prediction import predict


class CrossEntropy(PointwiseLoss):
    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def per_example(self, output: Output) -> torch.Tensor:
        return nn.functional.cross_entropy(output.logits.float(), output.labels, reduction="none")


class Words(Encoder):
    """Counts shared words; one weight a side keeps it trainable."""

    width = 3

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 3)
        self.dropout = nn.Dropout(0.2)

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Words:
        return cls()

    @classmethod
    def load(cls, config: Any, folder: Path) -> Words:
        return cls()

    def save_assets(self, folder: Path) -> None:
        pass

    def prepare(self, corpus: Corpus) -> WordsPrepared:
        return WordsPrepared(
            [set(t.split()) for t in corpus.query_texts()], [set(t.split()) for t in corpus.product_texts()]
        )

    def forward(self, batch: Any) -> Encoding:
        return Encoding(pair=self.dropout(self.mix(batch["shared"])))


@attrs.frozen
class WordsPrepared:
    queries: list[set[str]]
    products: list[set[str]]

    def batch(self, query: np.ndarray, product: np.ndarray) -> dict[str, torch.Tensor]:
        pairs = [(self.queries[q], self.products[p]) for q, p in zip(query, product, strict=True)]
        rows = [[len(a & b), len(a), len(b)] for a, b in pairs]
        return {"shared": torch.tensor(rows, dtype=torch.float32)}

    def lengths(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        return np.array([len(self.products[p]) for p in product], dtype=np.int64)


def make_job(dataset: Dataset, settings: Training, **changes: Any) -> loop.Fitting:
    corpus, examples, _ = match_examples(dataset)
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    with seeds.torch_seed(0, "weights"):
        encoder = Words()
        model = MemberModel(encoder, ClassHead(3, 2, siamese=False), MatchTask())
    valid, prepared = examples["valid"], encoder.prepare(corpus)

    def validate(model: MemberModel) -> dict[str, float]:
        return {"accuracy": float((predict(model, prepared, valid).argmax(1) == valid.label).mean())}

    job = {
        "model": model,
        "losses": [(1.0, CrossEntropy())],
        "data": data,
        "prepared": prepared,
        "settings": settings,
        "validate": validate,
        "measure": "accuracy",
        "higher": True,
        "seed": 0,
        "name": "words",
    }
    return loop.Fitting(**{**job, **changes})


SETTINGS = Training(batch_size=16, epochs=8, learning_rate=0.05, patience=0)


def trained(job: loop.Fitting) -> dict[str, torch.Tensor]:
    with seeds.torch_seed(0, "dropout"):
        loop.fit(job)
    return job.model.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_learns_what_the_words_say(tiny_dataset: Dataset) -> None:
    job = make_job(tiny_dataset, SETTINGS)
    trained(job)
    valid = job.data.valid
    decided = predict(job.model, job.prepared, valid).argmax(1)
    assert (decided == valid.label).mean() > 0.95


def test_same_seed_gives_the_same_weights_and_another_seed_does_not(tiny_dataset: Dataset) -> None:
    first, again, other = (trained(make_job(tiny_dataset, SETTINGS, seed=seed)) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3, 4, 5])
def test_training_stopped_after_any_epoch_resumes_to_the_same_weights(
    tiny_dataset: Dataset, tmp_path: Path, after: int
) -> None:
    settings = attrs.evolve(
        SETTINGS, epochs=4, phase=(Phase(name="one"), Phase(name="two", epochs=3, freeze=("encoder",)))
    )
    whole = trained(make_job(tiny_dataset, settings))

    def stop(figures: Any) -> None:
        if figures["epoch"] == after + 1:
            raise Stopped

    checkpoint = Checkpoint(tmp_path / "words.safetensors", "key")
    with pytest.raises(Stopped):
        trained(make_job(tiny_dataset, settings, checkpoint=checkpoint, on_epoch=stop))
    heard: list[int] = []
    resumed = trained(
        make_job(tiny_dataset, settings, checkpoint=checkpoint, on_epoch=lambda f: heard.append(f["epoch"]))
    )
    assert heard[0] == after + 1
    assert same(whole, resumed)


def test_a_checkpoint_made_under_another_key_is_not_used(tiny_dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    trained(make_job(tiny_dataset, SETTINGS, checkpoint=Checkpoint(path, "one")))
    assert Checkpoint(path, "one").read() is not None
    assert Checkpoint(path, "two").read() is None


def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    path.write_bytes(b"\x10\x00\x00")
    assert Checkpoint(path, "key").read() is None


class TwoSidedWords(Words, TwoSidedEncoder):
    """The same, in two steps."""

    def encode(self, batch: Batch) -> Encoding:
        return Encoding(pair=batch["shared"])

    def interact(self, encoding: Encoding) -> Encoding:
        return Encoding(pair=self.dropout(self.mix(encoding.pair)))


class Loud(StateGenerator):
    """Changes no example, and has a great loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    @classmethod
    def build(cls, config: Any, data: FitData, encoder: Any, rng: np.random.Generator) -> Loud:
        return cls()

    def mix(self, encoding: Encoding, labels: torch.Tensor, rng: np.random.Generator) -> Mixed:
        return Mixed(encoding, labels, torch.zeros_like(labels, dtype=torch.bool), 1e4 * self.weight.sum())


def test_a_generators_own_loss_takes_nothing_of_the_members_step(tiny_dataset: Dataset) -> None:
    found: list[dict[str, torch.Tensor]] = []
    heard: list[dict[str, Any]] = []
    for generator in (None, Loud()):
        with seeds.torch_seed(0, "weights"):
            model = MemberModel(TwoSidedWords(), ClassHead(3, 2, siamese=False), MatchTask(), generator)
        settings = attrs.evolve(SETTINGS, epochs=2)
        job = make_job(tiny_dataset, settings, model=model, on_epoch=lambda told: heard.append(dict(told)))
        found.append(trained(job))
    assert same(*found)
    assert found[1]["generator.weight"] < 1
    alone, beside = heard[:2], heard[2:]
    assert [told["loss"] for told in alone] == [told["loss"] for told in beside]
    assert all(told["generator_loss"] > 1000 for told in beside)
    assert not any("generator_loss" in told for told in alone)


def test_a_frozen_part_keeps_its_weights(tiny_dataset: Dataset) -> None:
    job = make_job(tiny_dataset, attrs.evolve(SETTINGS, phase=(Phase(freeze=("encoder",)),)))
    before = {name: tensor.clone() for name, tensor in job.model.encoder.state_dict().items()}
    head = job.model.head.layers[1].weight.clone()
    trained(job)
    assert same(before, job.model.encoder.state_dict())
    assert not torch.equal(head, job.model.head.layers[1].weight)


def test_freezing_what_is_not_there_names_what_is(tiny_dataset: Dataset) -> None:
    job = make_job(tiny_dataset, attrs.evolve(SETTINGS, phase=(Phase(freeze=("encodr",)),)))
    with pytest.raises(RunError, match=r"cannot freeze encodr: the model has encoder, encoder\.mix"):
        trained(job)


def test_an_infinite_loss_names_member_phase_epoch_and_remedy(tiny_dataset: Dataset) -> None:
    class Broken(CrossEntropy):
        def per_example(self, output: Output) -> torch.Tensor:
            return super().per_example(output) * float("inf")

    job = make_job(tiny_dataset, SETTINGS, losses=[(1.0, Broken())])
    with pytest.raises(
        RunError, match=r"member words, phase main, epoch 1: the loss is nan\. Lower training"
    ):
        trained(job)


def test_patience_stops_and_the_best_epoch_is_kept(tiny_dataset: Dataset) -> None:
    figures = iter([0.1, 0.9, 0.2, 0.3, 0.95])
    weights = []
    job = make_job(
        tiny_dataset, attrs.evolve(SETTINGS, patience=2), validate=lambda p: {"accuracy": next(figures)}
    )
    job = attrs.evolve(
        job, on_epoch=lambda f: weights.append({k: v.clone() for k, v in job.model.state_dict().items()})
    )
    trained(job)
    assert len(weights) == 4
    assert same(weights[1], job.model.state_dict())


def test_prediction_does_not_depend_on_batch_mates(tiny_dataset: Dataset) -> None:
    job = make_job(tiny_dataset, SETTINGS)
    valid = job.data.valid
    together = predict(job.model, job.prepared, valid)
    alone = predict(job.model, job.prepared, valid, budget=1)
    np.testing.assert_allclose(together, alone, atol=1e-7)


def test_step_size_rises_then_falls_to_zero() -> None:
    factor = step_size(Training(warmup=0.2, decay="linear"), total=10)
    assert [factor(step) for step in (0, 1, 2, 6, 10)] == [1 / 3, 2 / 3, 1.0, 0.5, 0.0]
    assert step_size(Training(warmup=0, decay="cosine"), total=10)(5) == pytest.approx(0.5)
    assert step_size(Training(warmup=0, decay="constant"), total=10)(10) == 1.0
    assert step_size(Training(warmup=0.2), total=10, start=4)(2) == factor(6)
