"""Vectors of texts without training: hashed character n-grams, weighed by rarity, reduced by singular values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from scipy.sparse import csr_matrix

BUCKETS = 2**15


@attrs.frozen(eq=False)
class TextVectors:
    """Latent semantic analysis (Deerwester et al., JASIS 41(6), 1990) of hashed n-grams.

    Attributes:
        rarity: (buckets,) float32, logarithm of how few texts a bucket is in.
        directions: (width, buckets) float32.
    """

    rarity: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(cls, texts: Sequence[str], width: int, rng: np.random.Generator) -> TextVectors:
        """Learn from texts which n-grams are rare, and the directions in which texts differ most."""
        from sklearn.utils.extmath import randomized_svd

        counts = _counts(texts)
        there = np.bincount(counts.indices, minlength=BUCKETS)
        rarity = (np.log((1 + len(texts)) / (1 + there)) + 1).astype(np.float32)
        width = min(width, max(min(counts.shape) - 1, 1))
        weighed = _unit(counts.multiply(rarity).tocsr())
        _, _, directions = randomized_svd(
            weighed, width, n_iter=3, random_state=int(rng.integers(2**31)), flip_sign=True
        )
        return cls(rarity, directions.astype(np.float32))

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector of length 1 for every text, (n, width) float32; 0 for an empty one."""
        if not len(texts):
            return np.empty((0, len(self.directions)), dtype=np.float32)
        found = np.asarray(_unit(_counts(texts).multiply(self.rarity).tocsr()) @ self.directions.T)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, length, out=np.zeros_like(found), where=length > 0).astype(np.float32)

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return what is to be saved."""
        return {"rarity": self.rarity, "directions": self.directions}


def _counts(texts: Sequence[str]) -> csr_matrix:
    from sklearn.feature_extraction.text import HashingVectorizer

    maker = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=BUCKETS, alternate_sign=False, norm=None
    )
    counts = maker.transform(texts)
    counts.data = 1 + np.log(counts.data)
    return counts.astype(np.float32)


def _unit(rows: csr_matrix) -> csr_matrix:
    from sklearn.preprocessing import normalize

    return normalize(rows)
