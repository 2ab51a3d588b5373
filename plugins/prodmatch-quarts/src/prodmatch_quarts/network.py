"""The generator's network: a variational encoder-decoder over states (arXiv 2005.03624, section 3.2)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.encoder import Encoding, States
from prodmatch_core.tokens.table import TokenTable
from prodmatch_core.tokens.tokenizer import SPECIAL_TOKENS
from prodmatch_quarts.attention import last
from prodmatch_quarts.configs import VariationalConfig

PAD, UNKNOWN, BEGIN, END, MASK = (
    SPECIAL_TOKENS.index(name) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
)
NEVER = (PAD, UNKNOWN, BEGIN, MASK)
"Tokens that are not written."
LEAST = 1e-9
"Probabilities below this count as this."
STEEP = 10.0
"Log-variances are kept within this of 0."


@attrs.frozen(eq=False)
class Memory:
    """What the decoder knows of a batch: states to attend to, and where the latent lies."""

    states: States
    "Both sides' states, one after the other, (batch, n + m, hidden); with their tokens, where the encoder tells them."
    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: torch.Generator | None) -> Tensor:
        """Return a latent vector a row, (batch, latent): drawn, or the mean where there is no noise."""
        if noise is None:
            return self.mean
        chance = torch.randn(self.mean.shape, generator=noise, device=noise.device).to(self.mean)
        return self.mean + chance * (0.5 * self.log_variance).exp()

    @property
    def divergence(self) -> Tensor:
        """Return KL(q(z | x) || N(0, 1)) of each row, (batch,) float32 nats."""
        mean, spread = self.mean.float(), self.log_variance.float()
        return 0.5 * (mean.square() + spread.exp() - 1.0 - spread).sum(dim=1)


@attrs.frozen(eq=False)
class Written:
    """Queries that the decoder wrote."""

    ids: Tensor
    "(batch, length) int64, PAD after the end."
    mask: Tensor
    "(batch, length) bool."
    shares: Tensor | None
    "(batch, length, vocabulary) float weights of the tokens behind each, with a gradient; None: the id alone."
    states: Tensor
    "(batch, length, width) the decoder's own states after each token, in the encoder's width."


def novel(written: Written, query: States) -> Tensor:
    """Return whether a written query has a token that the one read has not, (batch,) bool."""
    assert query.ids is not None
    known = (written.ids[:, :, None] == query.ids[:, None, :]) & query.mask[:, None, :]
    return (written.mask & ~known.any(dim=2)).any(dim=1)


class VariationalNetwork(nn.Module):
    """Reads the states of a title and a matching query, and writes a query that does not match."""

    def __init__(
        self, config: VariationalConfig, table: TokenTable, query: int, product: int, shared: bool
    ) -> None:
        """Make random weights.

        Args:
            config: sizes.
            table: the tokens it writes, with vectors of its own.
            shared: whether the encoder reads the same tokens, so that those it read can be repeated.
            query: width of the encoder's query states.
            product: width of the encoder's product states.
        """
        super().__init__()
        hidden, self.config, self.table, self.shared = config.hidden, config, table, shared
        width = table.config.width
        self.query_memory, self.product_memory = nn.Linear(query, hidden), nn.Linear(product, hidden)
        self.summary = nn.Linear(2 * (query + product), hidden)
        self.mean, self.spread = nn.Linear(hidden, config.latent), nn.Linear(hidden, config.latent)
        self.begin = nn.Linear(config.latent, hidden)
        self.lstm = nn.LSTM(width + config.latent, hidden, batch_first=True)
        self.blend = nn.Linear(2 * hidden, hidden)
        self.words = nn.Linear(hidden, width)
        self.frequency = nn.Parameter(torch.zeros(table.embedding.num_embeddings))
        self.copies = nn.Linear(hidden, 1)
        "Log-odds of repeating a token that was read (pointer-generator, arXiv 1704.04368, equations 8 and 9)."
        self.states = nn.Linear(hidden, query)

    def read(self, encoding: Encoding) -> Memory:
        """Return what the decoder may know of the batch's pairs."""
        query, product = encoding.query_states, encoding.product_states
        assert query is not None and product is not None
        found = torch.cat([last(query), _mean(query), last(product), _mean(product)], dim=1)
        summary = torch.tanh(self.summary(found))
        hidden = torch.cat([self.query_memory(query.hidden), self.product_memory(product.hidden)], dim=1)
        mask = torch.cat([query.mask, product.mask], dim=1)
        told = query.ids is not None and product.ids is not None and self.shared
        ids = None
        if told:
            assert query.ids is not None and product.ids is not None
            ids = torch.cat([query.ids, product.ids], dim=1)
        states = States(hidden, mask, ids)
        return Memory(states, self.mean(summary), self.spread(summary).clamp(-STEEP, STEEP))

    def taught(
        self, memory: Memory, latent: Tensor, ids: Tensor, hidden: Tensor | None = None
    ) -> tuple[Told, Tensor]:
        """Return what the decoder makes of a query that it is given token by token, and states of the tokens.

        Args:
            memory: of the batch.
            latent: (batch, latent).
            ids: (batch, length) int64 tokens of the query, PAD after its end.
            hidden: (batch, length) bool, tokens that the decoder is not shown.

        Returns:
            What it would write in the place of each token, and of the end after the last; and (batch, length, width)
            states after each token.
        """
        shown = ids if hidden is None else torch.where(hidden, MASK, ids)
        first = torch.full_like(ids[:, :1], BEGIN)
        out, weight, _ = self._step(self.table(torch.cat([first, shown], dim=1)), memory, latent, None)
        return Told(self, memory, out, weight), self.states(out[:, 1:])

    def write(
        self, memory: Memory, latent: Tensor, feed: str, noise: torch.Generator | None = None
    ) -> Written:
        """Return a query for each row: at least one token, at most `longest`, one after the other.

        Args:
            memory: of the batch.
            latent: (batch, latent).
            feed: what the decoder reads of a token it wrote, as `VariationalConfig.feed` says.
            noise: source of the draws; None takes the likeliest instead.
        """
        rows = len(latent)
        ids, masks, shares, states = [], [], [], []
        going = torch.ones(rows, dtype=torch.bool, device=latent.device)
        vector, state = self.table(torch.full((rows, 1), BEGIN, device=latent.device)), None
        for step in range(self.config.longest + 1):
            out, weight, state = self._step(vector, memory, latent, state)
            if step:
                states.append(self.states(out[:, 0]))
            if step == self.config.longest or (step and not bool(going.any())):
                break
            logits = self.shares(out, weight, memory)[:, 0]
            never = [*NEVER, END] if not step else list(NEVER)
            logits = logits.index_fill(1, torch.tensor(never, device=logits.device), float("-inf"))
            token, share = _choose(logits, feed, self.config.temperature, noise)
            going = going & (token != END)
            ids.append(torch.where(going, token, PAD))
            masks.append(going)
            if share is None:
                vector = self.table(ids[-1])[:, None]
            else:
                shares.append(share)
                vector = (share @ self.table.embedding.weight)[:, None]
        return Written(
            torch.stack(ids, dim=1),
            torch.stack(masks, dim=1),
            torch.stack(shares, dim=1) if shares else None,
            torch.stack(states, dim=1),
        )

    def _step(
        self, vectors: Tensor, memory: Memory, latent: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Read token vectors (batch, length, width).

        Returns:
            (batch, length, hidden); what was attended to, (batch, length, n + m) float32; and the LSTM's state.
        """
        if state is None:
            begin = torch.tanh(self.begin(latent))[None].contiguous()
            state = begin, torch.zeros_like(begin)
        beside = latent[:, None].expand(-1, vectors.shape[1], -1)
        found, state = self.lstm(torch.cat([vectors, beside], dim=2), state)
        score = found @ memory.states.hidden.transpose(1, 2)
        weight = score.float().masked_fill(~memory.states.mask[:, None], float("-inf")).softmax(dim=2)
        context = weight.to(found.dtype) @ memory.states.hidden
        return torch.tanh(self.blend(torch.cat([found, context], dim=2))), weight, state

    def logits(self, out: Tensor) -> Tensor:
        """Return (..., vocabulary) float32 logits of tokens that are written anew, of (..., hidden)."""
        return functional.linear(self.words(out), self.table.embedding.weight, self.frequency).float()

    def shares(self, out: Tensor, weight: Tensor, memory: Memory) -> Tensor:
        """Return log-probabilities of all tokens, (batch, length, vocabulary) float32."""
        logits = self.logits(out)
        if memory.states.ids is None:
            return logits.log_softmax(dim=2)
        repeat = torch.sigmoid(self.copies(out).float())
        ids = memory.states.ids[:, None].expand_as(weight)
        shares = ((1 - repeat) * logits.softmax(dim=2)).scatter_add(2, ids, repeat * weight)
        return shares.clamp_min(LEAST).log()


@attrs.frozen(eq=False)
class Told:
    """What a decoder would write after each token of queries it was given."""

    network: VariationalNetwork
    memory: Memory
    out: Tensor
    "(batch, length, hidden) of the decoder."
    weight: Tensor
    "(batch, length, n + m) float32, what it attended to."

    def shares(self) -> Tensor:
        """Return log-probabilities of all tokens, (batch, length, vocabulary) float32."""
        return self.network.shares(self.out, self.weight, self.memory)

    def likelihood(self, target: Tensor, there: Tensor) -> Tensor:
        """Return the log-probability of one token a place, (places,) float32, as `shares` would have it.

        What learning needs; it passes over the vocabulary twice, where `shares` does seven times.

        Args:
            target: (batch, length) int64.
            there: (batch, length) bool, the places that are asked for.
        """
        out, target = self.out[there], target[there]
        logits = self.network.logits(out)
        anew = logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(dim=1)
        ids = self.memory.states.ids
        if ids is None:
            return anew
        repeat = torch.sigmoid(self.network.copies(out).float())[:, 0]
        row = torch.nonzero(there)[:, 0]
        repeated = torch.where(ids[row] == target[:, None], self.weight[there], 0.0).sum(dim=1)
        return ((1 - repeat) * anew.exp() + repeat * repeated).clamp_min(LEAST).log()


def _choose(
    logits: Tensor, feed: str, temperature: float, noise: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """Return a token a row, (batch,) int64, and the weights behind it, (batch, vocabulary); None: it stands alone."""
    if feed == "greedy" or (feed == "drawn" and noise is None):
        return logits.argmax(dim=1), None
    if feed == "soft":
        share = logits.softmax(dim=1)
        return share.argmax(dim=1), share
    assert noise is not None, "drawn tokens need a source"
    even = torch.rand(logits.shape, generator=noise, device=noise.device).to(logits)
    perturbed = logits / temperature - torch.log(-torch.log(even.clamp(1e-6, 1 - 1e-6)))
    token = perturbed.argmax(dim=1)
    if feed == "drawn":
        return token, None
    soft = perturbed.softmax(dim=1)
    hard = functional.one_hot(token, logits.shape[1]).to(soft)
    return token, hard + soft - soft.detach()


def _mean(states: States) -> Tensor:
    there = states.mask.unsqueeze(-1)
    return torch.where(there, states.hidden, 0.0).sum(dim=1) / there.sum(dim=1).clamp_min(1)
