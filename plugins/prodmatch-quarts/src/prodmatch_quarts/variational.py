"""`quarts.variational`: a generator of hard mismatching queries inside the classifier (arXiv 2005.03624, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.components.encoder import (
    Encoding,
    FitData,
    Prepared,
    States,
    TwoSidedEncoder,
)
from prodmatch_core.components.negatives import Judge, Mixed, StateGenerator
from prodmatch_core.tokens.batches import Tokens
from prodmatch_core.tokens.fields import TokenFields
from prodmatch_core.tokens.table import Rereading, TokenTable
from prodmatch_core.training import seeds
from prodmatch_core.training.prediction import evaluating
from prodmatch_quarts import pretraining, probes, writing
from prodmatch_quarts.configs import VariationalConfig
from prodmatch_quarts.network import VariationalNetwork, Written, novel
from prodmatch_quarts.pretraining import Lessons
from prodmatch_quarts.switch import Reversed, Switch, untouched
from prodmatch_quarts.tuples import Tuples


class VariationalGenerator(StateGenerator):
    """Learns from tuples after some epochs, and from then on overwrites the queries of some matching examples.

    Until then, and with a rate of 0, it draws no random number and changes nothing.
    """

    started: Tensor
    turn: Tensor

    def __init__(
        self,
        config: VariationalConfig,
        data: FitData,
        encoder: TwoSidedEncoder,
        network: VariationalNetwork,
        prepared: Prepared,
        seed: int,
    ) -> None:
        """Hold the network beside the encoder, which stays the member's own."""
        super().__init__()
        self.config, self.data, self.network, self.seed = config, data, network, seed
        self.switch = Switch.of(data.scheme)
        # In a tuple, the encoder is no module of the generator's: its weights are the member's.
        self._beside: tuple[TwoSidedEncoder, ...] = (encoder,)
        self._prepared = prepared
        self._lessons: Lessons | None = None
        self._tuples: tuple[Tuples, Tuples] | None = None
        self._learnt: Mapping[str, Any] = {}
        self._figures: Mapping[str, Any] = {}
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("turn", torch.tensor(0))

    @classmethod
    def build(
        cls, config: VariationalConfig, data: FitData, encoder: TwoSidedEncoder, rng: np.random.Generator
    ) -> Self:
        """Make the generator for `encoder`; its weights and its own draws follow from `rng` alone.

        Raises:
            ConfigError: the encoder cannot reread what is written, and `states` asks for it.
        """
        seed = int(rng.integers(2**31))
        if config.states == "reread" and not isinstance(encoder, Rereading):
            raise probes.cannot_reread(type(encoder).__name__)
        with seeds.torch_seed(seed, "quarts.variational", "weights"):
            if isinstance(encoder, Rereading):
                table = copy.deepcopy(encoder.tokens)  # its own vectors, which it may change
            else:
                fields = TokenFields(vocabulary=config.vocabulary)
                table = TokenTable.build(fields, data, seeds.rng(seed, "tokens"))
            prepared = encoder.prepare(data.corpus)
            example = data.train.take(np.arange(min(1, len(data.train))))
            with torch.no_grad(), evaluating(encoder):
                found = encoder.encode(prepared.batch(example.query, example.product))
            assert found.query_states is not None and found.product_states is not None
            widths = found.query_states.hidden.shape[2], found.product_states.hidden.shape[2]
            network = VariationalNetwork(config, table, *widths, shared=isinstance(encoder, Rereading))
        return cls(config, data, encoder, network, prepared, seed)

    # -- what it stands on ----------------------------------------------------------------------------------------

    @property
    def encoder(self) -> TwoSidedEncoder:
        """Return the member's encoder."""
        return self._beside[0]

    @property
    def lessons(self) -> Lessons:
        """Return the corpus in the encoder's and in the generator's own tokens, made once."""
        if self._lessons is None:
            tokens = Tokens.of(
                self.data.corpus.query_texts(), self.network.table.tokenizer, self.config.longest
            )
            aligned = isinstance(self.encoder, Rereading)
            self._lessons = Lessons(self.encoder, self._prepared, tokens, aligned)
        return self._lessons

    @property
    def tuples(self) -> tuple[Tuples, Tuples]:
        """Return the tuples to learn from and those held out, the same whenever they are asked for."""
        if self._tuples is None:
            rng = seeds.rng(self.seed, "tuples")
            self._tuples = Tuples.build(self.data, self.config.tuples, rng).divided(rng)
        return self._tuples

    # -- training -------------------------------------------------------------------------------------------------

    def refresh(self, epoch: int, rng: np.random.Generator, judge: Judge) -> None:
        """Learn from the tuples when its time has come, and look at what it writes."""
        if not self.config.rate or epoch < self.config.after:
            return
        train, held = self.tuples
        if not len(train):
            return
        if not bool(self.started):
            own = seeds.rng(self.seed, "pretraining")
            self._learnt = pretraining.pretrain(self.network, self.lessons, train, held, self.config, own)
            self.started.fill_(True)
        self._figures = {
            **train.counts,
            **self._learnt,
            **probes.probe(self, judge, seeds.rng(self.seed, "probe")).figures,
        }

    @property
    def figures(self) -> Mapping[str, Any]:
        """Return counts of tuples, how well they were learnt, what is written, and alarms."""
        return self._figures

    def mix(self, encoding: Encoding, labels: Tensor, rng: np.random.Generator) -> Mixed:
        """Return the batch with some matching queries overwritten by generated ones."""
        if not self.config.rate or not bool(self.started):
            return untouched(encoding, labels)
        chosen = self.switch.draw(labels, self.config.rate, rng)
        if not bool(chosen.any()):
            return untouched(encoding, labels)
        noise = torch.Generator(labels.device).manual_seed(int(rng.integers(2**63)))
        rows = taken(encoding, chosen)
        penalty = None
        if self.config.learns in ("frozen", "tuples"):
            with torch.no_grad():
                states, written = self.states(rows, noise)
        elif self.config.learns == "joint":
            states, written = self.states(rows, noise)
        else:
            states, written = self._adversary(rows, noise)
        if self.config.learns != "frozen":
            penalty = self._anchor(int(chosen.sum()), rng, noise)
        if self.config.novel and rows.query_states is not None and rows.query_states.ids is not None:
            new = novel(written, rows.query_states)
            chosen = chosen.masked_scatter(chosen, new)
            states = States(states.hidden[new], states.mask[new])
        return self.switch.mix(encoding, labels, chosen, states, penalty)

    def states(self, encoding: Encoding, noise: torch.Generator | None) -> tuple[States, Written]:
        """Return what stands in the query states' place for every row, and the words behind it."""
        memory = self.network.read(encoding)
        written = self.network.write(memory, memory.draw(noise), self.config.feed, noise)
        if self.config.states == "decoder":
            return States(written.states, written.mask), written
        assert isinstance(self.encoder, Rereading)
        tokens = self.encoder.tokens
        vectors = tokens(written.ids) if written.shares is None else written.shares @ tokens.embedding.weight
        return self.encoder.reread(vectors, written.ids, written.mask, encoding), written

    def _adversary(self, rows: Encoding, noise: torch.Generator) -> tuple[States, Written]:
        """Return states that only the classifier learns from, then states that the generator climbs by, in turn."""
        self.turn += 1
        if int(self.turn) % 2:
            with torch.no_grad():
                return self.states(rows, noise)
        # The encoder is the classifier's: it descends on what it reads, and what the generator reads stands still.
        found, written = self.states(still(rows), noise)
        return attrs.evolve(found, hidden=Reversed.apply(found.hidden)), written

    def _anchor(self, count: int, rng: np.random.Generator, noise: torch.Generator) -> Tensor | None:
        """Return reconstruction and KL on as many tuples as rows were overwritten."""
        anchor = self.config.anchor
        if anchor is None:
            anchor = 0.0 if self.config.learns == "joint" else 1.0
        train, _ = self.tuples
        if not anchor:
            return None
        rows = rng.integers(0, len(train), count)
        with evaluating(self.encoder):
            found = pretraining.teach(
                self.network, self.lessons, train.take(rows), noise, self.config.word_dropout
            )
        return anchor * (
            found.reconstruction + self.config.kl * found.divergence + self.config.align * found.distance
        )

    # -- for a reader ---------------------------------------------------------------------------------------------

    def leave(self, folder: Path, judge: Judge) -> None:
        """Write generated queries beside the true ones, what the classifier says of them, and the last figures."""
        writing.leave(self, folder, judge)


def taken(encoding: Encoding, chosen: Tensor) -> Encoding:
    """Return the rows of an encoding's states at `chosen`, a mask or row numbers."""
    return _each(encoding, lambda tensor: tensor[chosen])


def still(encoding: Encoding) -> Encoding:
    """Return an encoding whose states pass no gradient on."""
    return _each(encoding, Tensor.detach)


def _each(encoding: Encoding, change: Callable[[Tensor], Tensor]) -> Encoding:
    def changed(states: States | None) -> States | None:
        if states is None:
            return None
        ids = None if states.ids is None else change(states.ids)
        return States(change(states.hidden), change(states.mask), ids)

    return Encoding(
        query_states=changed(encoding.query_states), product_states=changed(encoding.product_states)
    )
