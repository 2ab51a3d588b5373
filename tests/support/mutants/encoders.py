from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from mutants.mutant import Mutant, mutant
from prodmatch_core.components.encoder import (
    Batch,
    Encoder,
    Encoding,
    FitData,
    Prepared,
    Rows,
    SelfFittingEncoder,
    States,
)
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.records import EncoderSpec
from prodmatch_core.testing.benches.two_sided import WordRows, WordStates


class Shifted(WordStates):
    """Healthy; adds to every pair a number that was drawn when it was built."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = shift

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        return cls(float(rng.random()))

    def save_assets(self, folder: Path) -> None:
        np.save(folder / "shift.npy", self.shift)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(float(np.load(folder / "shift.npy")))

    def interact(self, encoding: Encoding) -> Encoding:
        met = super().interact(encoding)
        return met if met.pair is None else attrs.evolve(met, pair=self.changed(met.pair) + self.shift)

    def changed(self, pair: Tensor) -> Tensor:
        return pair


class SharesFitted(SelfFittingEncoder):
    """Healthy: the classes' shares for everybody."""

    def __init__(self, shares: np.ndarray) -> None:
        self.shares = shares

    @classmethod
    def fit(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        return cls(np.bincount(data.train.label, minlength=2) / len(data.train))

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        return np.tile(self.shares, (len(examples), 1))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(np.load(folder / "shares.npy"))

    def save_assets(self, folder: Path) -> None:
        np.save(folder / "shares.npy", self.shares)


class Wide(Shifted):
    """24 examples and width 9 make pair of shape (24, 8). Return one vector of size `width` an example."""

    width = 9


class NoPair(Shifted):
    """the record declares embeddings, pairs, tokens, and the Encoding has no pair. Give it, or correct `gives`."""

    def interact(self, encoding: Encoding) -> Encoding:
        return encoding


class NoStates(Shifted):
    """encode gives no query_states of (batch, length, width) with a bool mask (batch, length). Give them."""

    def encode(self, batch: Batch) -> Encoding:
        encoding = super().encode(batch)
        states = encoding.query_states
        floats = States(states.hidden, states.mask.float()) if states is not None else None
        return attrs.evolve(encoding, query_states=floats)


class OneSided(Encoder):
    """the record declares tokens, and the class is no TwoSidedEncoder. Derive it from that."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.inner = WordStates()

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        return cls()

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls()

    def save_assets(self, folder: Path) -> None:
        """Nothing."""

    def prepare(self, corpus: Corpus) -> Prepared:
        return self.inner.prepare(corpus)

    def forward(self, batch: Batch) -> Encoding:
        return self.inner(batch)


class Improper(SharesFitted):
    """24 examples of 2 classes get probabilities of shape (24, 2), or rows that do not sum to 1. Return (n, classes)
    distributions.
    """

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        return 2 * super().predict(corpus, examples)


class Undeclared(Shifted):
    """a part gives probabilities if, and only if, it is a SelfFittingEncoder. Correct `gives` or the class."""


class Counting(Shifted):
    """in evaluation mode two passes over the same examples differ by #. Drop units only while `self.training`, and keep
    no state between passes.
    """

    passes = 0

    def changed(self, pair: Tensor) -> Tensor:
        self.passes += 1
        return pair + 0.125 * self.passes


class Centred(Shifted):
    """an example's vectors differ by # with other examples beside it. Take no statistic over the batch in evaluation
    mode.
    """

    def changed(self, pair: Tensor) -> Tensor:
        return pair - pair.mean(dim=0)


class Unmasked(Shifted):
    """an example's vectors differ by # with a longer example beside it. Mask padding everywhere: in attention, means,
    maxima and last states.
    """

    def mean(self, states: States | None) -> Tensor | None:
        return None if states is None else states.hidden.sum(dim=1) / max(states.hidden.shape[1], 1)


class Placed(Shifted):
    """examples in another order get vectors that differ by #. Let no vector depend on an example's place in the batch."""

    def changed(self, pair: Tensor) -> Tensor:
        return pair + 0.125 * torch.arange(len(pair))[:, None]


@attrs.frozen(eq=False)
class SizedRows(WordRows):
    size: int = 0

    def batch(self, query: Rows, product: Rows) -> Batch:
        rows = product if product is not None else query
        assert rows is not None
        return {**super().batch(query, product), "size": torch.full((len(rows), 1), float(np.log(self.size)))}


class OfItsCorpus(Shifted):
    """examples read from a smaller corpus get vectors that differ by #. Learn statistics in `build` or `fit`, save them,
    and take none in `prepare` or `predict`.
    """

    def prepare(self, corpus: Corpus) -> Prepared:
        rows = super().prepare(corpus)
        assert isinstance(rows, WordRows)
        return SizedRows(rows.sides, corpus.products.height)

    def forward(self, batch: Batch) -> Encoding:
        encoding = super().forward(batch)
        return (
            encoding if encoding.pair is None else attrs.evolve(encoding, pair=encoding.pair * batch["size"])
        )


class Together(Shifted):
    """the product side alone gets other vectors than beside the other side. Encode each side by itself, and leave out
    the one whose rows are None.
    """

    def encode(self, batch: Batch) -> Encoding:
        encoding = super().encode(batch)
        alone = encoding.query is None and encoding.product is not None
        return attrs.evolve(encoding, product=2 * encoding.product) if alone else encoding


class Rooted(Shifted):
    """the gradient of words.weight is not finite. Look for a square root, norm, logarithm or division at 0."""

    def changed(self, pair: Tensor) -> Tensor:
        return pair + (pair - pair.detach()).square().sum(dim=1, keepdim=True).sqrt()


class Detached(Shifted):
    """no weight has a gradient. Do not detach the vectors from what made them."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__(shift)
        self.idle = nn.Parameter(torch.zeros(()))

    def encode(self, batch: Batch) -> Encoding:
        encoding = super().encode(batch)
        detached = {
            side: States(states.hidden.detach(), states.mask) if states is not None else None
            for side, states in (
                ("query_states", encoding.query_states),
                ("product_states", encoding.product_states),
            )
        }
        query, product = (self.mean(states) for states in detached.values())
        return Encoding(query=query, product=product, **detached)

    def changed(self, pair: Tensor) -> Tensor:
        return pair.detach() + 0 * self.idle


class Forgets(Shifted):
    """loaded from its files, the part answers otherwise, by #. Save everything that was learnt."""

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls()


class Pickles(Shifted):
    """the saved file assets/shift.pt is a pickle. Save JSON, safetensors, Parquet or LightGBM text."""

    def save_assets(self, folder: Path) -> None:
        (folder / "shift.pt").write_bytes(pickle.dumps(self.shift))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(pickle.loads((folder / "shift.pt").read_bytes()))


class PicklesInArchives(Shifted):
    """the saved file assets/shift.pt holds shift/data.pkl, which is a pickle. Save JSON, safetensors, Parquet or LightGBM
    text.
    """

    def save_assets(self, folder: Path) -> None:
        torch.save(self.shift, folder / "shift.pt")

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(torch.load(folder / "shift.pt", weights_only=True))


class PicklesInArrays(Shifted):
    """the saved file assets/shift.npy is an array of Python objects, which is a pickle. Save JSON, safetensors, Parquet or
    LightGBM text.
    """

    def save_assets(self, folder: Path) -> None:
        np.save(folder / "shift.npy", np.array([self.shift], dtype=object))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(np.load(folder / "shift.npy", allow_pickle=True)[0])


class Hasty(WordStates):
    """many rows of the query side at once get vectors that differ from those of batches. Return the same from
    `encode_rows`, or None.
    """

    def encode_rows(self, prepared: Any, side: str, rows: np.ndarray) -> torch.Tensor:
        return torch.zeros((len(rows), self.width))


def encoder(check: str, factory: Any, *gives: str) -> Mutant:
    return mutant(
        check,
        EncoderSpec,
        factory,
        needs={"pair_texts", "class_labels"},
        gives=set(gives) or {"tokens", "pairs", "embeddings"},
    )


HEALTHY = [
    encoder("words", WordStates),
    encoder("shifted", Shifted),
    encoder("shares", SharesFitted, "probabilities"),
]
MUTANTS = [
    encoder("gives_what_it_declares", Wide),
    encoder("gives_what_it_declares", NoPair),
    encoder("gives_what_it_declares", NoStates),
    encoder("gives_what_it_declares", OneSided),
    encoder("gives_what_it_declares", Improper, "probabilities"),
    encoder("gives_what_it_declares", Undeclared, "probabilities", "pairs"),
    encoder("eval_mode_is_deterministic", Counting),
    encoder("batch_independence", Centred),
    encoder("padding_invariance", Unmasked),
    encoder("permutation_equivariance", Placed),
    encoder("corpus_independence", OfItsCorpus),
    encoder("one_side_alone", Together),
    encoder("many_rows_at_once_is_the_same", Hasty),
    encoder("finite_gradients", Rooted),
    encoder("finite_gradients", Detached),
    encoder("saved_and_loaded_is_the_same", Forgets),
    encoder("saved_and_loaded_is_the_same", Pickles),
    encoder("saved_and_loaded_is_the_same", PicklesInArchives),
    encoder("saved_and_loaded_is_the_same", PicklesInArrays),
]
