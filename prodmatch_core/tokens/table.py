"""Tokens as vectors: a tokenizer of the catalogue, a vector a token, and batches of both sides.

Vectors begin as a factorisation of how often tokens stand near each other, which is what skip-gram with negative
sampling does implicitly (Levy and Goldberg, NIPS 2014, section 3): a small set of judged pairs is too little to learn
words from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from tokenizers import Tokenizer
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding, FitData, States
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.batches import FIRST, Inputs, Template, Tokens, TowerBatches
from prodmatch_core.tokens.fields import TokenFields
from prodmatch_core.tokens.tokenizer import SPECIAL_TOKENS, train_tokenizer, unknown_token
from prodmatch_core.writing import write_text

PAD = SPECIAL_TOKENS.index("[PAD]")
WINDOW = 4
"Tokens to each side that count as near."
SMOOTHING = 0.75
"Exponent of the context counts, which keeps rare neighbours from weighing too much (same paper, section 5)."
PLAIN = Template((FIRST,), (0,))
"A text and nothing around it."


class TokenTable(nn.Module):
    """A tokenizer, and the vector of each of its tokens."""

    def __init__(self, config: TokenFields, tokenizer: Tokenizer) -> None:
        """Make random vectors for the tokens of `tokenizer`."""
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.embedding = nn.Embedding(tokenizer.get_vocab_size(), config.width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)

    @classmethod
    def build(cls, config: TokenFields, data: FitData, rng: np.random.Generator) -> Self:
        """Train the tokenizer on catalogue and training queries, and begin the vectors as `config.vectors` says."""
        texts = readable(data, config.fields)
        table = cls(config, train_tokenizer(texts, config.vocabulary))
        if config.vectors == "catalogue":
            tokens = Tokens.of(texts, table.tokenizer, config.max_length)
            found = neighbour_vectors(tokens, table.tokenizer.get_vocab_size(), config.width, rng)
            with torch.no_grad():
                known = torch.from_numpy(np.abs(found).sum(axis=1) > 0)
                table.embedding.weight[known] = torch.from_numpy(found)[known]
        return table

    @classmethod
    def load(cls, config: TokenFields, folder: Path) -> Self:
        """Make the table of what `save` wrote; the vectors are loaded with the weights."""
        return cls(config, Tokenizer.from_file(str(folder / "tokenizer.json")))

    def save(self, folder: Path) -> None:
        """Write tokenizer.json."""
        write_text(folder / "tokenizer.json", self.tokenizer.to_str())

    def prepare(self, corpus: Corpus) -> TowerBatches:
        """Tokenise every query and product once; a batch has `*_ids` int64 and `*_mask` bool of each side."""
        longest, fields = self.config.max_length, self.config.fields
        queries = Tokens.of(corpus.query_texts(fields), self.tokenizer, longest)
        products = Tokens.of(corpus.product_texts(fields), self.tokenizer, longest)
        inputs = Inputs(PAD, unknown_token(self.tokenizer), types=False)
        return TowerBatches(queries, products, PLAIN, inputs, longest)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of ids (batch, length), (batch, length, width)."""
        return self.embedding(ids)


def readable(data: FitData, fields: Sequence[str]) -> list[str]:
    """Return what may be learnt from before training: the texts of training queries, then those of all products."""
    queries = data.corpus.query_texts(fields)
    trained = [queries[row] for row in np.unique(data.train.query) if row >= 0]
    return trained + data.corpus.product_texts(fields)


def neighbour_vectors(tokens: Tokens, vocabulary: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a vector of each token by the company it keeps, (vocabulary, width) float32 of length 1, 0 if it has none.

    The positive pointwise mutual information of tokens within WINDOW of each other, factorised (Levy and Goldberg,
    NIPS 2014, sections 3 and 5).
    """
    text = np.repeat(np.arange(len(tokens.offsets) - 1), tokens.counts)
    left, right = [], []
    for distance in range(1, WINDOW + 1):
        same = text[distance:] == text[:-distance]
        left.append(tokens.values[:-distance][same])
        right.append(tokens.values[distance:][same])
    ends = np.concatenate([*left, *right]).astype(np.int64), np.concatenate([*right, *left]).astype(np.int64)
    counts = sparse.coo_matrix((np.ones(len(ends[0])), ends), (vocabulary, vocabulary)).tocsr().tocoo()
    total = np.asarray(counts.sum(axis=1)).ravel()
    context = total**SMOOTHING
    share = context / max(context.sum(), 1.0)
    information = np.log(np.maximum(counts.data, 1e-12) / (total[counts.row] * share[counts.col]))
    kept = information > 0
    matrix = sparse.csr_matrix(
        (information[kept], (counts.row[kept], counts.col[kept])), (vocabulary, vocabulary)
    )
    vectors = np.zeros((vocabulary, width), dtype=np.float32)
    if matrix.nnz:
        left_side, size, _ = randomized_svd(
            matrix, min(width, vocabulary - 1), n_iter=4, random_state=int(rng.integers(2**31))
        )
        found = left_side * np.sqrt(size)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        vectors[:, : found.shape[1]] = np.where(length > 1e-6, found / np.maximum(length, 1e-6), 0.0)
    return vectors


@runtime_checkable
class Rereading(Protocol):
    """What a two-sided encoder may offer beside: it reads queries that someone wrote, token by token.

    A generator of negatives can then have its queries read as any other, and gradients find their way through them.
    """

    tokens: TokenTable
    "The tokens it reads, with their vectors."

    def reread(self, vectors: Tensor, ids: Tensor, mask: Tensor, encoding: Encoding) -> States:
        """Return the query states of other queries beside the products of a batch.

        Args:
            vectors: (batch, length, width) float, a vector a token, or a mixture of tokens' vectors.
            ids: (batch, length) int64, the token each stands for.
            mask: (batch, length) bool, True = a token; the first of a row always is.
            encoding: the products' states, as `encode` returned them.
        """
        ...
