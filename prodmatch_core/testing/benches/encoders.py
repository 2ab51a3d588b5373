"""Encoders at work: on the tiny world of the first task that they fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from prodmatch_core.components.encoder import Encoder, Prepared, SelfFittingEncoder
from prodmatch_core.components.node_encoder import NodeEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.fit import parts_within
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.benches import nodes
from prodmatch_core.testing.outcomes import Skipped
from prodmatch_core.testing.subject import SavedBench, Subject
from prodmatch_core.testing.worlds import World, worlds
from prodmatch_core.training import seeds

ROWS = 24
"Examples that encoders are asked about."
GIVEN = ("pair", "query", "product", "logits", "uncertainty")
"What of an Encoding is compared."


def world_of(subject: Subject) -> World:
    """Return the first tiny world that has what the encoder needs and a head for what it gives.

    Raises:
        Skipped: there is none.
    """
    nested = set().union(
        *(inner.gives for _, inner in parts_within(subject.part, "") if inner is not subject.part)
    )
    for found in worlds():
        if subject.part.needs <= found.gives | nested and subject.part.gives & found.task.spec.heads.keys():
            return found
    raise Skipped(
        f"no tiny world gives {', '.join(sorted(subject.part.needs))} and has a task for an encoder that gives "
        f"{', '.join(sorted(subject.part.gives)) or 'nothing'}"
    )


@functools.cache
def probe(found: World) -> tuple[Corpus, Examples]:
    """Return texts of different lengths, every third one long, and examples of the training and validation splits."""
    queries, products = (
        frame.with_columns(
            pl.when(pl.int_range(pl.len()) % 3 == 0)
            .then(pl.concat_str([name] * 7, separator=" "))
            .otherwise(name)
            .alias(name)
            for name in ("text", "title")
            if name in frame.columns
        )
        for frame in (found.fit.corpus.queries, found.fit.corpus.products)
    )
    examples = found.fit.train.concat(found.fit.valid)
    rows = np.unique(np.linspace(0, len(examples) - 1, 4 * ROWS).astype(np.int64))
    return Corpus(queries, products), examples.take(rows)


@contextmanager
def unchanged_mode(encoder: torch.nn.Module, training: bool) -> Iterator[None]:
    """Put an encoder into training or evaluation mode, and put the mode of each of its modules back."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@attrs.frozen(eq=False)
class Asked:
    """An encoder with the corpus it is asked about: rows of the examples in, vectors or probabilities out."""

    subject: Subject
    made: Any
    corpus: Corpus
    examples: Examples
    sides: tuple[str, ...]
    prepared: Prepared | None

    @classmethod
    def of(
        cls, subject: Subject, made: Any, corpus: Corpus | None = None, examples: Examples | None = None
    ) -> Asked:
        """Return the encoder with the probe of its world, or with another corpus and examples."""
        found = world_of(subject)
        there, those = probe(found)
        corpus, examples = corpus or there, examples or those
        prepared = made.prepare(corpus) if isinstance(made, Encoder) else None
        return cls(subject, made, corpus, examples, found.task.sides, prepared)

    def batch(self, rows: np.ndarray, sides: tuple[str, ...] | None = None) -> Any:
        """Return the batch of the examples at `rows`, of all sides or of some."""
        assert self.prepared is not None
        return self.prepared.batch(*self._rows(rows, sides or self.sides))

    def cost(self, rows: np.ndarray) -> np.ndarray:
        """Return the cost of the examples at `rows`, (n, sides or 1) int64: of each side where it can be had alone."""
        assert self.prepared is not None
        alone = "embeddings" in self.subject.part.gives
        each = [(side,) for side in self.sides] if alone else [self.sides]
        return np.stack([self.prepared.lengths(*self._rows(rows, sides)) for sides in each], axis=1)

    def __call__(self, rows: np.ndarray, sides: tuple[str, ...] | None = None) -> Answer:
        """Return the vectors, or class probabilities, of the examples at `rows`, in evaluation mode."""
        if not isinstance(self.made, Encoder):
            asked = self.examples.take(rows)
            probabilities, unsure = self.made.predict_with_uncertainty(self.corpus, asked)
            told = {} if np.isnan(unsure).all() else {"uncertainty": unsure}
            return {"probabilities": probabilities, **told}
        with unchanged_mode(self.made, training=False), torch.inference_mode():
            encoding = self.made(self.batch(rows, sides))
        given = {name: getattr(encoding, name) for name in GIVEN}
        return {name: tensor.float().numpy() for name, tensor in given.items() if tensor is not None}

    def _rows(self, rows: np.ndarray, sides: tuple[str, ...]) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (
            self.examples.query[rows] if "query" in sides else None,
            self.examples.product[rows] if "product" in sides else None,
        )


class EncoderBench(SavedBench):
    """Builds an encoder on its world and asks it for vectors or probabilities."""

    contract = (Encoder, SelfFittingEncoder, NodeEncoder)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the encoder, with weights from torch's seeded generator, or fitted."""
        factory = subject.factory
        if issubclass(factory, NodeEncoder):
            return nodes.build(subject, seed)
        data = world_of(subject).fit
        if issubclass(factory, SelfFittingEncoder):
            return factory.fit(subject.config, data, seeds.rng(seed, "kit", "fit"))
        with seeds.torch_seed(seed, "kit", "weights"):
            return factory.build(subject.config, data, seeds.rng(seed, "kit", "build")).eval()

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the vectors or probabilities of some examples, or the vectors of some nodes."""
        if isinstance(made, NodeEncoder):
            return nodes.ask(made, nodes.WANTED)
        return Asked.of(subject, made)(np.arange(ROWS))

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask for the vectors of no example."""
        if isinstance(made, NodeEncoder):
            assert len(nodes.ask(made, nodes.WANTED[:0])["vectors"]) == 0
            return
        answer = Asked.of(subject, made)(np.arange(0))
        assert all(len(values) == 0 for values in answer.values())

    def reload(self, subject: Subject, made: Any, folder: Path) -> Any:
        """Save assets and weights as a run does, and load them."""
        assets = folder / "assets"
        assets.mkdir()
        made.save_assets(assets)
        if isinstance(made, SelfFittingEncoder):
            return subject.factory.load(subject.config, assets)
        save_file(
            {k: v.detach().clone().contiguous() for k, v in made.state_dict().items()},
            folder / "model.safetensors",
        )
        with seeds.torch_seed(1, "kit", "other weights"):
            loaded = subject.factory.load(subject.config, assets)
        loaded.load_state_dict(load_file(folder / "model.safetensors"))
        return loaded.eval()
