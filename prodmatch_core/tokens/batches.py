"""Texts as ragged token ids, and batches put together from them by array arithmetic alone.

Texts are tokenised once. A batch is then one gather from a pool of ids: where each piece of each row starts and how
long it is follows from the tokenizer's own template, e.g. [CLS] query [SEP] product [SEP].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from prodmatch_core.components.encoder import Batch, Rows, pad_ragged

CHUNK = 16_384
"Texts handed to the tokenizer at once; bounds the memory its results take before they become arrays."
FIRST, SECOND = -1, -2
"Stand for the texts among a template's token ids."


@attrs.frozen(eq=False)
class Tokens:
    """Token ids of many texts without special tokens: flat `values` int32 and (texts + 1,) int64 `offsets`."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> Tokens:
        """Tokenise `texts`, keeping at most the first `longest` tokens of each."""
        parts, counts = [np.empty(0, dtype=np.int32)], np.zeros(len(texts) + 1, dtype=np.int64)
        for start in range(0, len(texts), CHUNK):
            found = tokenizer.encode_batch_fast(list(texts[start : start + CHUNK]), add_special_tokens=False)
            rows = [np.array(encoding.ids[:longest], dtype=np.int32) for encoding in found]
            counts[start + 1 : start + 1 + len(rows)] = [len(row) for row in rows]
            parts += rows
        return cls(np.concatenate(parts), np.cumsum(counts))

    @property
    def counts(self) -> np.ndarray:
        """Return the number of tokens of each text, (texts,) int64."""
        return np.diff(self.offsets)


@attrs.frozen
class Template:
    """What a tokenizer puts around one text or a pair: its pieces in order, and the token type of each."""

    pieces: tuple[int, ...]
    "Ids of special tokens, FIRST and SECOND."
    types: tuple[int, ...]
    "Token type (segment) of each piece."

    @classmethod
    def of_pair(cls, tokenizer: Tokenizer) -> Template:
        """Read the template of a pair off an encoded example."""
        return cls._read(tokenizer.encode("a", "a"))

    @classmethod
    def of_text(cls, tokenizer: Tokenizer) -> Template:
        """Read the template of a single text, off an encoded example."""
        return cls._read(tokenizer.encode("a"))

    @classmethod
    def _read(cls, encoding: Encoding) -> Template:
        pieces: list[int] = []
        types: list[int] = []
        for token, kind, side in zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True):
            piece = token if side is None else (FIRST, SECOND)[side]
            if side is None or piece not in pieces:
                pieces.append(piece)
                types.append(kind)
        return cls(tuple(pieces), tuple(types))

    @property
    def specials(self) -> int:
        """Return how many tokens the template adds."""
        return sum(piece >= 0 for piece in self.pieces)


def truncate(
    query: np.ndarray, product: np.ndarray, room: int, query_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many tokens of each query and product fit together into `room` tokens.

    The product is cut first. Only where the query takes more than `query_share` of the room and the product
    needs the rest is the query cut too, and no further than its share.

    Args:
        query: (n,) token counts.
        product: (n,) token counts.
        room: tokens for both, special tokens excluded.
        query_share: between 0 and 1.
    """
    share = max(int(room * query_share), 1)
    query = np.minimum(query, np.maximum(room - product, share))
    return query, np.minimum(product, room - query)


@attrs.frozen
class Inputs:
    """What the network reads beside ids and mask, and the ids with a meaning of their own."""

    pad: int
    "Id that fills rows on the right."
    unknown: int | None
    "Id of unknown tokens, which are no sign of overlap; None where the tokenizer has none."
    types: bool
    "Whether the network reads token types."
    flags: bool = False
    "Whether the network reads overlap flags."


class PairBatches:
    """Queries and products in one input each; what a cross-encoder reads."""

    def __init__(
        self,
        queries: Tokens,
        products: Tokens,
        template: Template,
        inputs: Inputs,
        max_length: int,
        query_share: float,
    ) -> None:
        """Hold tokenised texts; a pair longer than `max_length` is cut as `truncate` says."""
        self.queries, self.products, self.template, self.inputs = queries, products, template, inputs
        self.query_counts, self.product_counts = queries.counts, products.counts
        self.room, self.query_share = max_length - template.specials, query_share
        self.pool = _pool(template, queries, products)
        self.query_base = template.specials
        self.product_base = self.query_base + len(queries.values)

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the tokens of each pair, special tokens included, (n,) int64."""
        assert query is not None and product is not None
        first, second = self._fit(query, product)
        return first + second + self.template.specials

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return `ids`, `mask` and, where the network reads them, `types` and `flags`, (n, longest) each."""
        assert query is not None and product is not None
        first, second = self._fit(query, product)
        texts = {
            FIRST: (self.query_base + self.queries.offsets[query], first),
            SECOND: (self.product_base + self.products.offsets[product], second),
        }
        return _lay_out(self.template, self.pool, texts, self.inputs)

    def _fit(self, query: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return truncate(self.query_counts[query], self.product_counts[product], self.room, self.query_share)


class TowerBatches:
    """Queries and products in an input of their own each; what a two-tower encoder reads."""

    def __init__(
        self, queries: Tokens, products: Tokens, template: Template, inputs: Inputs, max_length: int
    ) -> None:
        """Hold tokenised texts; each is cut to `max_length` tokens, special tokens included."""
        self.sides = {"query": queries, "product": products}
        self.pools = {name: _pool(template, side) for name, side in self.sides.items()}
        self.counts = {
            name: np.minimum(side.counts, max_length - template.specials) for name, side in self.sides.items()
        }
        self.template, self.inputs = template, inputs

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the tokens of both sides together, special tokens included, (n,) int64."""
        sides = (("query", query), ("product", product))
        found = [self.counts[name][rows] + self.template.specials for name, rows in sides if rows is not None]
        return np.sum(found, axis=0)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return `query_ids`, `query_mask`, `product_ids`, `product_mask` and types likewise, (n, longest) each."""
        batch: dict[str, Tensor] = {}
        for name, rows in (("query", query), ("product", product)):
            if rows is None:
                continue
            starts = self.template.specials + self.sides[name].offsets[rows]
            texts = {FIRST: (starts, self.counts[name][rows])}
            tensors = _lay_out(self.template, self.pools[name], texts, self.inputs)
            batch |= {f"{name}_{key}": tensor for key, tensor in tensors.items()}
        return batch


def _pool(template: Template, *sides: Tokens) -> np.ndarray:
    """Return all that rows are gathered from, (total,) int32: the template's special tokens, then each side."""
    specials = np.array([piece for piece in template.pieces if piece >= 0], dtype=np.int32)
    return np.concatenate([specials, *(side.values for side in sides)])


def _lay_out(
    template: Template, pool: np.ndarray, texts: Mapping[int, tuple[np.ndarray, np.ndarray]], inputs: Inputs
) -> dict[str, Tensor]:
    """Return the rows of a batch; `texts` gives the start in the pool and the length of each row's texts."""
    pieces = np.array(template.pieces)
    starts = np.empty((len(texts[FIRST][0]), len(pieces)), dtype=np.int64)
    sizes = np.ones_like(starts)
    starts[:, pieces >= 0] = np.arange(template.specials)
    for side, (begin, count) in texts.items():
        starts[:, pieces == side] = begin[:, None]
        sizes[:, pieces == side] = count[:, None]

    offsets = np.concatenate([[0], np.cumsum(sizes.sum(axis=1))])
    size = sizes.ravel()
    begins = np.cumsum(size) - size
    index = np.arange(offsets[-1]) + np.repeat(starts.ravel() - begins, size)
    ids, mask = pad_ragged(pool[index], offsets, inputs.pad)
    tensors = {"ids": ids, "mask": mask}
    if inputs.types or inputs.flags:
        inside = mask.numpy()
        piece = np.full(inside.shape, -1)
        piece[inside] = np.repeat(np.tile(np.arange(len(pieces)), len(starts)), size)
        if inputs.types:
            tensors["types"] = torch.from_numpy(np.append(template.types, 0)[piece])
        if inputs.flags:
            side = np.append(pieces, 0)[piece]
            tensors["flags"] = torch.from_numpy(overlap(ids.numpy(), side, inputs.unknown))
    mask[:, 0] = True  # attention over nothing at all is not a number
    return tensors


def overlap(ids: np.ndarray, side: np.ndarray, unknown: int | None) -> np.ndarray:
    """Return 1 where a token of one side occurs on the other side of its row, else 0, (n, length) int64.

    Args:
        ids: (n, length) token ids.
        side: (n, length) FIRST, SECOND, or anything else for what belongs to no side.
        unknown: id that never counts, because two unknown tokens need not be the same.
    """
    known = np.ones(ids.shape, dtype=bool) if unknown is None else ids != unknown
    first, second = (side == FIRST) & known, (side == SECOND) & known
    columns = [slice(*_extent(mask)) for mask in (first, second)]
    left = np.where(first, ids, -1)[:, columns[0]]
    right = np.where(second, ids, -2)[:, columns[1]]
    same = left[:, :, None] == right[:, None, :]
    flags = np.zeros(ids.shape, dtype=np.int64)
    flags[:, columns[0]] |= same.any(axis=2)
    flags[:, columns[1]] |= same.any(axis=1)
    return flags


def _extent(mask: np.ndarray) -> tuple[int, int]:
    """Return the first column with a True in it and the one after the last; (0, 0) where there is none."""
    columns = np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)
