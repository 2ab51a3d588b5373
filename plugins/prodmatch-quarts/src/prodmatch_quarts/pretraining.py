"""Training the generator beside a classifier that stays as it is (arXiv 2005.03624, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.encoder import (
    Batch,
    Encoding,
    Prepared,
    States,
    TwoSidedEncoder,
    gather_ragged,
    pad_ragged,
)
from prodmatch_core.tokens.batches import Tokens
from prodmatch_core.training.batches import epoch_batches
from prodmatch_core.training.prediction import evaluating
from prodmatch_quarts.configs import VariationalConfig
from prodmatch_quarts.network import END, PAD, Told, VariationalNetwork
from prodmatch_quarts.tuples import Tuples

BATCH = 64
"Tuples a step."
CLIP = 5.0
"Largest norm of the gradient."


@attrs.frozen(eq=False)
class Lessons:
    """Tuples as tensors: what the classifier's encoder makes of the matching pair, and the query to write."""

    encoder: TwoSidedEncoder
    prepared: Prepared
    tokens: Tokens
    "Every query in the generator's own tokens."
    aligned: bool
    "Whether those are the encoder's tokens too, one for one."

    def batch(self, query: np.ndarray, product: np.ndarray) -> Batch:
        """Return the batch of pairs on the encoder's device."""
        device = next(self.encoder.parameters()).device
        return {name: tensor.to(device) for name, tensor in self.prepared.batch(query, product).items()}

    @torch.no_grad()
    def read(self, query: np.ndarray, product: np.ndarray) -> Encoding:
        """Return what the encoder as it stands makes of pairs."""
        return self.encoder.encode(self.batch(query, product))

    def written(self, query: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return queries in the generator's tokens, (n, longest) int64 with PAD after their end, and their mask."""
        device = next(self.encoder.parameters()).device
        ids, mask = pad_ragged(*gather_ragged(self.tokens.values, self.tokens.offsets, query), PAD)
        return ids.to(device), mask.to(device)


@attrs.frozen(eq=False)
class Taught:
    """What the network did with the tuples of one batch."""

    reconstruction: Tensor
    "Mean cross entropy of a token, nats."
    divergence: Tensor
    "Mean KL of a tuple, nats."
    distance: Tensor
    "Mean squared distance of the decoder's states from read states of the same query."
    told: Told
    "What it would write at each place."
    target: Tensor
    "(batch, length + 1) int64, the token that stands there, and the end."
    there: Tensor
    "(batch, length + 1) bool, places that are no padding."

    @property
    def count(self) -> Tensor:
        """Return the number of tokens, ends included."""
        return self.there.sum()

    @property
    def right(self) -> Tensor:
        """Return how many of them were the likeliest."""
        return ((self.told.shares().argmax(dim=2) == self.target) & self.there).sum()


def teach(
    network: VariationalNetwork,
    lessons: Lessons,
    tuples: Tuples,
    noise: torch.Generator | None,
    word_dropout: float = 0.0,
) -> Taught:
    """Return how well `network` writes the mismatching queries of `tuples` when it is told each token after it."""
    encoding = lessons.read(tuples.query, tuples.product)
    ids, mask = lessons.written(tuples.mismatch)
    memory = network.read(encoding)
    hidden = None
    if noise is not None and word_dropout:
        hidden = torch.rand(ids.shape, generator=noise, device=noise.device).to(ids.device) < word_dropout
    told, states = network.taught(memory, memory.draw(noise), ids, hidden)
    # The end follows the last token.
    target = functional.pad(ids, (0, 1), value=PAD).scatter(1, mask.sum(dim=1, keepdim=True), END)
    there = functional.pad(mask, (1, 0), value=True)
    loss = -told.likelihood(target, there).mean()
    distance = _distance(States(states, mask), lessons.read(tuples.mismatch, tuples.product), lessons.aligned)
    return Taught(loss, memory.divergence.mean(), distance, told, target, there)


def _distance(states: States, read: Encoding, aligned: bool) -> Tensor:
    """Return how far decoder states are from read ones: token by token where they are aligned, else their means."""
    real = read.query_states
    assert real is not None
    if aligned:
        longest = min(states.mask.shape[1], real.mask.shape[1])
        both = states.mask[:, :longest] & real.mask[:, :longest]
        gap = (states.hidden[:, :longest] - real.hidden[:, :longest])[both]
        return gap.square().mean() if len(gap) else states.hidden.sum() * 0.0
    means = []
    for side in (states, real):
        there = side.mask.unsqueeze(-1)
        means.append(torch.where(there, side.hidden, 0.0).sum(dim=1) / there.sum(dim=1).clamp_min(1))
    return (means[0] - means[1]).square().mean()


def pretrain(
    network: VariationalNetwork,
    lessons: Lessons,
    train: Tuples,
    held: Tuples,
    config: VariationalConfig,
    rng: np.random.Generator,
) -> Mapping[str, float]:
    """Train `network` in place on tuples, and return how well it writes those held out.

    The encoder is read in evaluation mode and learns nothing. The KL divergence counts more and more, as a tanh, up to
    `config.kl`.
    """
    device = next(network.parameters()).device
    noise = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    lengths = np.diff(lessons.tokens.offsets)[train.mismatch]
    total = max(config.epochs * math.ceil(len(train) / BATCH), 1)
    step = 0
    asked = [(p, p.requires_grad) for p in network.parameters()]
    network.requires_grad_(True)
    with evaluating(lessons.encoder):
        network.train()
        for _ in range(config.epochs):
            for rows in epoch_batches(lengths, BATCH, rng):
                found = teach(network, lessons, train.take(rows), noise, config.word_dropout)
                step += 1
                kl = config.kl * math.tanh(3.0 * step / total)
                loss = found.reconstruction + kl * found.divergence + config.align * found.distance
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), CLIP)
                optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for parameter, wanted in asked:
            parameter.requires_grad_(wanted)
        return figures(network, lessons, held if len(held) else train)


@torch.no_grad()
def figures(network: VariationalNetwork, lessons: Lessons, tuples: Tuples) -> dict[str, float]:
    """Return token accuracy, cross entropy of a token and KL of a tuple, both in nats, without any noise."""
    found = [teach(network, lessons, part, None) for part in _parts(tuples)]
    if not found:
        return {}
    count = torch.stack([each.count for each in found]).sum()
    weights = torch.stack([each.count for each in found]) / count
    return {
        "token_accuracy": float(torch.stack([each.right for each in found]).sum() / count),
        "token_cross_entropy": float((weights * torch.stack([each.reconstruction for each in found])).sum()),
        "kl": float((weights * torch.stack([each.divergence for each in found])).sum()),
    }


def _parts(tuples: Tuples) -> Iterator[Tuples]:
    for start in range(0, len(tuples), 256):
        yield tuples.take(np.arange(start, min(start + 256, len(tuples))))
