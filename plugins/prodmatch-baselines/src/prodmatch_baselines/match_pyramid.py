"""`baselines.match_pyramid`: text matching as image recognition (Pang et al., arXiv 1602.06359).

The picture has a pixel for each pair of a query token and a product token; its channels say how alike the two are: by
dot product, by cosine, and by a Gaussian kernel, which lights up where the tokens are the same (arXiv 1606.04648,
section 2). Convolutions find patterns, dynamic pooling brings pictures of all sizes to one.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_baselines.plugin import MatchPyramidConfig
from prodmatch_core.components.encoder import Batch, Encoding, FitData, Prepared, States, TwoSidedEncoder
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.table import TokenTable

CHANNELS = 3


class MatchPyramid(TwoSidedEncoder):
    """Token vectors on each side; then convolutions over the picture of their likeness.

    A batch holds `query_ids`, `product_ids` (batch, length) int64 and their `*_mask` bool.
    """

    def __init__(self, config: MatchPyramidConfig, tokens: TokenTable) -> None:
        """Make the convolutions with random weights around a table of tokens."""
        super().__init__()
        self.config, self.tokens, self.width = config, tokens, config.width
        sizes = [CHANNELS] + [config.kernels] * config.convolutions
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, padding=1) for inside, outside in itertools.pairwise(sizes)
        )
        self.pooled = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(config.kernels * config.query_cells * config.product_cells, config.width),
            nn.ReLU(),
        )

    @classmethod
    def build(cls, config: MatchPyramidConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder whose tokens are learnt from the catalogue."""
        return cls(config, TokenTable.build(config, data, rng))

    @classmethod
    def load(cls, config: MatchPyramidConfig, folder: Path) -> Self:
        """Make an encoder with the saved tokenizer."""
        return cls(config, TokenTable.load(config, folder))

    def save_assets(self, folder: Path) -> None:
        """Write tokenizer.json."""
        self.tokens.save(folder)

    def prepare(self, corpus: Corpus) -> Prepared:
        """Tokenise every query and product once."""
        return self.tokens.prepare(corpus)

    def encode(self, batch: Batch) -> Encoding:
        """Return the token vectors of the sides that are there."""
        query, product = (
            States(self.tokens(ids := batch[f"{side}_ids"]), batch[f"{side}_mask"], ids)
            if f"{side}_ids" in batch
            else None
            for side in ("query", "product")
        )
        return Encoding(query_states=query, product_states=product)

    def reread(self, vectors: Tensor, ids: Tensor, mask: Tensor, encoding: Encoding) -> States:
        """Return the states of other queries: their tokens' vectors."""
        return States(vectors, mask, ids)

    def interact(self, encoding: Encoding) -> Encoding:
        """Return `encoding` with each side's mean token and, of both sides, the pair vector, (batch, width) float32."""
        query, product = encoding.query_states, encoding.product_states
        pair = None
        if query is not None and product is not None:
            pair = self.pooled(self._patterns(query, product).flatten(1))
        return attrs.evolve(encoding, query=_mean(query), product=_mean(product), pair=pair)

    def _patterns(self, query: States, product: States) -> Tensor:
        """Return the pooled patterns, (batch, kernels, query cells, product cells)."""
        inside = query.mask[:, None, :, None] & product.mask[:, None, None, :]
        with torch.autocast(query.hidden.device.type, enabled=False):
            picture = likeness(query.hidden.float(), product.hidden.float())
        for convolution in self.convolutions:
            # Nothing stands outside the picture, however far it is padded.
            picture = functional.relu(convolution(torch.where(inside, picture, 0.0)))
        rows = pool(picture, query.mask.sum(dim=1), self.config.query_cells, 2)
        return pool(rows, product.mask.sum(dim=1), self.config.product_cells, 3)


def likeness(query: Tensor, product: Tensor) -> Tensor:
    """Return dot product, cosine and Gaussian kernel of all pairs of tokens, (batch, 3, n, m) float32.

    Args:
        query: (batch, n, width) float32.
        product: (batch, m, width) float32.
    """
    dot = query @ product.transpose(1, 2)
    cosine = functional.normalize(query, dim=-1) @ functional.normalize(product, dim=-1).transpose(1, 2)
    apart = query.square().sum(-1)[:, :, None] + product.square().sum(-1)[:, None] - 2 * dot
    return torch.stack([dot, cosine, torch.exp(-apart.clamp_min(0.0))], dim=1)


def pool(picture: Tensor, length: Tensor, cells: int, dimension: int) -> Tensor:
    """Return the maxima of `cells` equal stretches of one dimension (dynamic pooling, section 3.2.2).

    Args:
        picture: (batch, kernels, n, m), not negative.
        length: (batch,) int64, how much of that dimension is no padding; at least 1.
        cells: stretches; of a shorter text some share a token.
        dimension: 2 or 3.
    """
    place = torch.arange(picture.shape[dimension], device=picture.device)
    shape = [len(picture), 1, 1, 1]
    shape[dimension] = len(place)
    found = []
    for cell in range(cells):
        begin = (cell * length) // cells
        end = torch.maximum(((cell + 1) * length) // cells, begin + 1)
        within = (place >= begin[:, None]) & (place < end[:, None])
        found.append(torch.where(within.view(shape), picture, 0.0).amax(dim=dimension))
    return torch.stack(found, dim=dimension)


def _mean(states: States | None) -> Tensor | None:
    if states is None:
        return None
    there = states.mask.unsqueeze(-1)
    return torch.where(there, states.hidden, 0.0).sum(dim=1) / there.sum(dim=1).clamp_min(1)
