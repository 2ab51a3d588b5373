"""A sparse index of texts by words, pairs of words and character trigrams: the lexical miner and the guard.

A text is the set of its n-grams, each weighted by its inverse document frequency; the score of two texts is the cosine
(Salton and Buckley, Term-weighting approaches in automatic text retrieval, 1988). Posting lists are read block by block
of documents, so that the sums of a block stay in the processor's cache however many documents there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numba import njit

from prodmatch_core.mining.topk import Best, Ragged, blocks, in_order, offer
from prodmatch_core.tokens.hashing import hash_texts

NGRAM = 3
"Characters of an n-gram, the marks around a word included."
COMMON, COMMON_SHARE = 1000, 0.1
"An n-gram in more texts than both says nothing: its weight is 0 and it has no posting list."
BLOCK = 1 << 15
"Documents whose scores are summed at a time by one thread."
QUERIES = 512
"Queries a thread answers at a time."
TEXTS = 1 << 14
"Texts hashed at a time."


@attrs.frozen(eq=False)
class Bags:
    """Texts as ascending terms, ragged, with the length of each text's vector.

    Attributes:
        terms: (total,) int32 row of the vocabulary; terms outside it are left out here and counted in `norms`.
        offsets: (texts + 1,) int64.
        norms: (texts,) float32; 1 where a text has no weight at all, so that its cosines are 0.
    """

    terms: np.ndarray
    offsets: np.ndarray
    norms: np.ndarray


@attrs.frozen(eq=False)
class LexicalIndex:
    """Documents by their n-grams.

    Attributes:
        vocabulary: (terms,) uint32 hashed n-grams, ascending.
        weights: (terms,) float32 squared inverse document frequency: what a shared term adds to a score.
        unknown: the same of a term that no document has.
        documents: the documents' terms.
    """

    vocabulary: np.ndarray
    weights: np.ndarray
    unknown: float
    documents: Bags

    @classmethod
    def of(cls, texts: Sequence[str]) -> LexicalIndex:
        """Index `texts`."""
        codes, offsets = _codes(texts)
        vocabulary = np.unique(codes)
        terms = np.searchsorted(vocabulary, codes).astype(np.int32)
        frequency = np.bincount(terms, minlength=len(vocabulary))
        weights = np.log((1 + len(texts)) / frequency) ** 2
        weights[frequency > max(COMMON, COMMON_SHARE * len(texts))] = 0.0
        weights = weights.astype(np.float32)
        index = cls(
            vocabulary, weights, float(np.log(1 + len(texts)) ** 2), Bags(terms, offsets, np.empty(0))
        )
        return attrs.evolve(
            index, documents=Bags(terms, offsets, _norms(weights[terms].astype(np.float64), offsets))
        )

    def bags(self, texts: Sequence[str]) -> Bags:
        """Return other texts in this index's terms."""
        codes, offsets = _codes(texts)
        place = np.searchsorted(self.vocabulary, codes)
        place = np.minimum(place, max(len(self.vocabulary) - 1, 0))
        known = self.vocabulary[place] == codes if len(self.vocabulary) else np.zeros(len(codes), dtype=bool)
        squares = np.full(len(codes), self.unknown)
        squares[known] = self.weights[place[known]]
        kept = np.concatenate([[0], np.cumsum(known)])[offsets]
        return Bags(place[known].astype(np.int32), kept, _norms(squares, offsets))

    def cosines(self, left: Bags, rows: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Return the score of each pair (row of `left`, document), (n,) float32."""
        right = self.documents
        return _cosines(
            left.terms,
            left.offsets,
            left.norms,
            right.terms,
            right.offsets,
            right.norms,
            self.weights,
            rows,
            documents,
        )

    def search(
        self, queries: Bags, documents: int, k: int, excluded: Ragged, memory: int, threads: int
    ) -> Iterator[tuple[slice, Best]]:
        """Yield the best `k` of the first `documents` documents for each query, exactly, in blocks of queries.

        A document that shares no weighted term with a query is never returned for it.

        Args:
            queries: terms of the queries, from `bags`.
            documents: how many documents are candidates.
            k: how many are wanted of each query.
            excluded: documents that must not be returned, by query.
            memory: bytes that sums and heaps may take; decides the blocks, not the result.
            threads: threads that search together.
        """
        lists = _postings(self.documents, self.weights, documents)
        inverse = (1 / self.documents.norms[:documents]).astype(np.float32)
        memory //= threads
        width = max(min(BLOCK, memory // 8), 1)
        rows = max(min(QUERIES, memory // (4 * 12 * k)), 1)

        def best_of(block: slice) -> tuple[slice, Best]:
            best, banned = Best.empty(block.stop - block.start, k), excluded.take(block)
            best.scores[:] = 0.0  # only what is above 0 is found
            _search(
                queries.terms,
                queries.offsets[block.start : block.stop + 1],
                queries.norms[block],
                lists.values,
                lists.offsets,
                self.weights,
                inverse,
                banned.values,
                banned.offsets,
                best.scores,
                best.columns,
                width,
            )
            best.scores[best.columns < 0] = -np.inf
            return block, best.ordered()

        return in_order(best_of, blocks(len(queries.offsets) - 1, rows), threads)


def _codes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashed n-grams of each text, ascending and each once, uint32, and their offsets."""
    codes, counts = [np.empty(0, dtype=np.uint32)], [np.zeros(1, dtype=np.int64)]
    for part in blocks(len(texts), TEXTS):
        grams = hash_texts(texts[part], NGRAM, NGRAM)
        codes.append(grams.codes)
        counts.append(np.diff(grams.offsets))
    return np.concatenate(codes), np.cumsum(np.concatenate(counts))


def _norms(squares: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(squares)])[offsets]
    norms = np.sqrt(np.maximum(np.diff(sums), 0))
    # A sum over all texts before leaves crumbs where a text has no weight.
    norms[norms < 1e-3] = 1.0
    return norms.astype(np.float32)


def _postings(bags: Bags, weights: np.ndarray, documents: int) -> Ragged:
    values, offsets = _invert(bags.terms, bags.offsets, weights, documents)
    return Ragged(values, offsets)


@njit(cache=True, nogil=True)
def _invert(
    terms: np.ndarray, offsets: np.ndarray, weights: np.ndarray, documents: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the documents of each term that has weight, ascending, int32, and their offsets."""
    counts = np.zeros(len(weights) + 1, dtype=np.int64)
    for at in range(offsets[documents]):
        if weights[terms[at]] > 0:
            counts[terms[at] + 1] += 1
    starts = np.cumsum(counts)
    free = starts.copy()
    values = np.empty(starts[-1], dtype=np.int32)
    for document in range(documents):
        for at in range(offsets[document], offsets[document + 1]):
            term = terms[at]
            if weights[term] > 0:
                values[free[term]] = document
                free[term] += 1
    return values, starts


@njit(cache=True, nogil=True)
def _search(
    terms: np.ndarray,
    offsets: np.ndarray,
    norms: np.ndarray,
    lists: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    inverse: np.ndarray,
    excluded: np.ndarray,
    excluded_offsets: np.ndarray,
    scores: np.ndarray,
    columns: np.ndarray,
    width: int,
) -> None:
    documents = len(inverse)
    sums = np.zeros(width, dtype=np.float32)
    for row in range(len(norms)):
        begin, end = offsets[row], offsets[row + 1]
        cursor = starts[terms[begin:end]]
        last = starts[terms[begin:end] + 1]
        banned, banned_end = excluded_offsets[row], excluded_offsets[row + 1]
        scale = np.float32(1) / norms[row]
        for before in range(0, documents, width):
            stop = min(before + width, documents)
            for t in range(end - begin):
                weight = weights[terms[begin + t]] * scale
                at = cursor[t]
                while at < last[t] and lists[at] < stop:
                    sums[lists[at] - before] += weight
                    at += 1
                cursor[t] = at
            while banned < banned_end and excluded[banned] < stop:
                if excluded[banned] >= before:
                    sums[excluded[banned] - before] = 0.0
                banned += 1
            for d in range(stop - before):
                sums[d] *= inverse[before + d]
            offer(scores[row], columns[row], sums[: stop - before], before)
            sums[:] = 0.0


@njit(cache=True, nogil=True)
def _cosines(
    left: np.ndarray,
    left_offsets: np.ndarray,
    left_norms: np.ndarray,
    right: np.ndarray,
    right_offsets: np.ndarray,
    right_norms: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    documents: np.ndarray,
) -> np.ndarray:
    result = np.zeros(len(rows), dtype=np.float32)
    for n in range(len(rows)):
        a, a_end = left_offsets[rows[n]], left_offsets[rows[n] + 1]
        b, b_end = right_offsets[documents[n]], right_offsets[documents[n] + 1]
        total = np.float32(0)
        scale = np.float32(1) / left_norms[rows[n]]
        while a < a_end and b < b_end:
            if left[a] == right[b]:
                total += weights[left[a]] * scale
                a += 1
                b += 1
            elif left[a] < right[b]:
                a += 1
            else:
                b += 1
        result[n] = total * (np.float32(1) / right_norms[documents[n]])
    return result
