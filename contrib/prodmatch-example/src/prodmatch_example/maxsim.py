"""`example.maxsim`: late interaction (ColBERT, arXiv 2004.12832), over words instead of word pieces."""

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
from prodmatch_example.plugin import MaxSimConfig
from prodmatch_example.words import PreparedWords, WordTable

SCORES = 6
"Scores in a pair vector, three a side: MaxSim, its worst word, and how many words there are."


class MaxSimEncoder(TwoSidedEncoder):
    """Encodes query and product apart, as one unit vector a word; then every word meets its best counterpart.

    A word's vector is the mean of its n-grams' vectors, a little changed by its neighbours.
    """

    def __init__(self, config: MaxSimConfig) -> None:
        """Make an encoder with random vectors, in which words are as alike as the n-grams they share."""
        super().__init__()
        self.config = config
        self.grams = nn.EmbeddingBag(1 + config.buckets, config.width, mode="mean", padding_idx=0)
        # Query and product words are read alike but for one learnt vector, as ColBERT's [Q] and [D] markers do.
        self.side = nn.Embedding(2, config.width)
        nn.init.zeros_(self.side.weight)
        self.context = nn.Conv1d(config.width, config.width, config.context, padding=config.context // 2)
        for parameter in self.context.parameters():
            nn.init.zeros_(parameter)
        self.width = 3 * config.width + SCORES

    @classmethod
    def build(cls, config: MaxSimConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder; there is nothing to learn beforehand, because words are hashed."""
        return cls(config)

    @classmethod
    def load(cls, config: MaxSimConfig, folder: Path) -> Self:
        """Make an encoder of the configured sizes; all it learnt is in its weights."""
        return cls(config)

    def save_assets(self, folder: Path) -> None:
        """Write nothing: all that was learnt is in the weights."""

    def prepare(self, corpus: Corpus) -> Prepared:
        """Split every text into words, and hash every word once."""
        table = WordTable(self.config.buckets, self.config.max_words)
        queries = table.read(corpus.query_texts(self.config.fields))
        products = table.read(corpus.product_texts(self.config.fields))
        return PreparedWords(queries, products, table.hashes())

    def encode(self, batch: Batch) -> Encoding:
        """Return one unit vector a word, on both sides."""
        return Encoding(
            query_states=self._states(batch["query_grams"], batch["query_mask"], 0),
            product_states=self._states(batch["product_grams"], batch["product_mask"], 1),
        )

    def _states(self, grams: Tensor, mask: Tensor, side: int) -> States:
        rows, length, _ = grams.shape
        words = self.grams(grams.flatten(0, 1)).view(rows, length, self.config.width)
        # Zeros stand beyond a text's ends, however far it is padded.
        inside = torch.where(mask[..., None], words + self.side.weight[side], 0.0)
        near = self.context(inside.transpose(1, 2)).transpose(1, 2)
        hidden = functional.normalize((inside + functional.gelu(near)).float(), dim=-1)
        return States(torch.where(mask[..., None], hidden, 0.0), mask)

    def interact(self, encoding: Encoding) -> Encoding:
        """Return `encoding` with its pair vector: the scores of both sides, and what was found and what not.

        The middle of the vector is the mean of q * p over every query word q and its best product word p; summed
        up, it is the MaxSim score. The rest are the words that found no counterpart, weighted by what is lacking.
        """
        query, product = encoding.query_states, encoding.product_states
        assert query is not None and product is not None
        with torch.autocast(query.hidden.device.type, enabled=False):
            found, missing, forward = _meet(query, product)
            _, extra, backward = _meet(product, query)
            learnt = torch.cat([found, missing, extra], dim=1)
            learnt = functional.dropout(learnt, self.config.dropout, self.training)
            pair = torch.cat([learnt, forward, backward], dim=1)
        return attrs.evolve(encoding, pair=pair)


def maxsim(query: States, product: States) -> tuple[Tensor, Tensor]:
    """Return each query word's similarity with its best product word, and that word's vector.

    ColBERT's score (equation 3) is the sum of the similarities over the query's words.

    Args:
        query: unit vectors (batch, n, width) and their mask.
        product: unit vectors (batch, m, width) and their mask.

    Returns:
        (batch, n) float32 cosines, 0 for what is no word or where the product has none, and (batch, n, width) float32.
    """
    cosines = query.hidden.float() @ product.hidden.float().transpose(1, 2)
    best, place = cosines.masked_fill(~product.mask[:, None], -2.0).max(dim=2)
    partner = product.hidden.float().gather(1, place[..., None].expand(-1, -1, product.hidden.shape[2]))
    there = query.mask & product.mask.any(dim=1, keepdim=True)
    return torch.where(there, best, 0.0), partner


def _meet(left: States, right: States) -> tuple[Tensor, Tensor, Tensor]:
    """Return what of `left` is found in `right`, what is missing there, (batch, width) each, and three scores."""
    best, partner = maxsim(left, right)
    hidden, words = left.hidden.float(), left.mask.sum(dim=1, keepdim=True)
    share = left.mask / words.clamp_min(1)
    found = torch.einsum("bn,bnw->bw", share, hidden * partner)
    missing = torch.einsum("bn,bnw->bw", share * (1 - best), hidden)
    worst = best.masked_fill(~left.mask, 1.0).amin(dim=1, keepdim=True)
    return found, missing, torch.cat([(share * best).sum(1, keepdim=True), worst, words.float().log1p()], 1)
