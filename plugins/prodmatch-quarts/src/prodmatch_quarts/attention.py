"""`quarts.attention`: the classifier of QUARTS up to its pair vector (arXiv 2005.03624, section 3.1).

An LSTM reads the product, another the query, from the product's last state on. Each query token then attends to the
product's tokens, knowing what the ones before it attended to (Rocktaeschel et al., arXiv 1509.06664, section 2.4).
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.encoder import Batch, Encoding, FitData, Prepared, States, TwoSidedEncoder
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.table import PAD, TokenTable
from prodmatch_quarts.plugin import AttentionConfig
from prodmatch_quarts.word_by_word import WordByWord


class AttentionEncoder(TwoSidedEncoder):
    """A batch holds `query_ids`, `product_ids` (batch, length) int64 and their `*_mask` bool."""

    def __init__(self, config: AttentionConfig, tokens: TokenTable) -> None:
        """Make LSTMs and attention with random weights around a table of tokens."""
        super().__init__()
        self.config, self.tokens, self.width = config, tokens, config.hidden
        self.product_lstm = nn.LSTM(config.width, config.hidden, batch_first=True)
        self.query_lstm = nn.LSTM(config.width, config.hidden, batch_first=True)
        self.flag = nn.Embedding(2, config.width)
        nn.init.normal_(self.flag.weight, std=config.width**-0.5)
        # Padding on the right hides an LSTM's last cell; it is made from the last state, which is there.
        self.cell = nn.Linear(config.hidden, config.hidden)
        self.attention = WordByWord(config.hidden, config.attention)
        self.meet = nn.Linear(3 * config.hidden, config.hidden)
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    @classmethod
    def build(cls, config: AttentionConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder whose tokens are learnt from the catalogue."""
        return cls(config, TokenTable.build(config, data, rng))

    @classmethod
    def load(cls, config: AttentionConfig, folder: Path) -> Self:
        """Make an encoder with the saved tokenizer."""
        return cls(config, TokenTable.load(config, folder))

    def save_assets(self, folder: Path) -> None:
        """Write tokenizer.json."""
        self.tokens.save(folder)

    def prepare(self, corpus: Corpus) -> Prepared:
        """Tokenise every query and product once."""
        return self.tokens.prepare(corpus)

    def encode(self, batch: Batch) -> Encoding:
        """Return the LSTMs' states of both sides, (batch, length, hidden)."""
        query, product = batch["query_ids"], batch["product_ids"]
        in_query, in_product = self._shared(query, product)
        product_states = self._read(
            self.product_lstm, self.tokens(product), in_product, batch["product_mask"], product
        )
        return Encoding(
            query_states=self._read_query(
                self.tokens(query), in_query, batch["query_mask"], query, product_states
            ),
            product_states=product_states,
        )

    def reread(self, vectors: Tensor, ids: Tensor, mask: Tensor, encoding: Encoding) -> States:
        """Return the states of other queries beside the batch's products."""
        product = encoding.product_states
        assert product is not None and product.ids is not None
        return self._read_query(vectors, self._shared(ids, product.ids)[0], mask, ids, product)

    def interact(self, encoding: Encoding) -> Encoding:
        """Return `encoding` with the pair vector, (batch, hidden) float32."""
        query, product = encoding.query_states, encoding.product_states
        assert query is not None and product is not None
        found, _ = self.attention(query, product)
        end = last(query)
        # tanh(W_x [r_n; q_n; |r_n - q_n|]), then three dense layers of which the task's head has two.
        met = torch.tanh(self.meet(torch.cat([found, end, (found - end).abs()], dim=1)))
        return attrs.evolve(encoding, pair=functional.relu(self.dense(self.dropout(met))))

    def weights(self, batch: Batch) -> Tensor:
        """Return how much each query token attends to each product token, (batch, n, m) float; 0 at padding."""
        encoding = self.encode(batch)
        assert encoding.query_states is not None and encoding.product_states is not None
        return self.attention(encoding.query_states, encoding.product_states)[1]

    def _read_query(
        self, vectors: Tensor, shared: Tensor, mask: Tensor, ids: Tensor, product: States
    ) -> States:
        begin = None
        if self.config.conditional:
            end = last(product)
            begin = end[None].contiguous(), torch.tanh(self.cell(end))[None].contiguous()
        return self._read(self.query_lstm, vectors, shared, mask, ids, begin)

    def _read(
        self,
        lstm: nn.LSTM,
        vectors: Tensor,
        shared: Tensor,
        mask: Tensor,
        ids: Tensor,
        begin: tuple[Tensor, Tensor] | None = None,
    ) -> States:
        if self.config.flags:
            vectors = vectors + self.flag(shared)
        if not len(vectors):  # the LSTM of nothing is an error
            return States(vectors.new_zeros(*vectors.shape[:2], self.config.hidden), mask, ids)
        # Read from left to right, a token's state knows nothing of the padding after it.
        return States(lstm(self.dropout(vectors), begin)[0], mask, ids)

    def _shared(self, query: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 where a token is on the other side too, else 0: (batch, n) and (batch, m) int64."""
        same = (query[:, :, None] == product[:, None, :]) & (query != PAD)[:, :, None]
        return same.any(dim=2).long(), same.any(dim=1).long()


def last(states: States) -> Tensor:
    """Return each row's last state that is no padding, (batch, width)."""
    place = (states.mask.sum(dim=1) - 1).clamp_min(0)
    return states.hidden.gather(1, place[:, None, None].expand(-1, 1, states.hidden.shape[2]))[:, 0]
