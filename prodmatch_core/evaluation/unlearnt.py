"""What finds neighbours without learning: the lines that a trained member of embed or relate has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from scipy.sparse import csr_matrix

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.evaluation.retrieved import Scorer
from prodmatch_core.evaluation.search import Search

Named = tuple[str, Scorer]


def embed_baselines(search: Search, corpus: Corpus, known: Examples) -> Iterator[Named]:
    """Yield cosine of character n-gram TF-IDF and of words in common, over titles."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles = np.array(corpus.product_texts(("title",)), dtype=object)
    (_, queries), (_, candidates) = search.reads
    for name, options in (
        ("word TF-IDF", {"analyzer": "word", "token_pattern": r"(?u)\b\w+\b"}),
        ("character n-gram TF-IDF", {"analyzer": "char_wb", "ngram_range": (3, 5), "sublinear_tf": True}),
    ):
        # Statistics come from the candidates alone: nothing is learnt from which of them belong together.
        try:
            vectorizer = TfidfVectorizer(dtype=np.float32, **options).fit(titles[candidates])
        except ValueError:  # not one word in all titles: such a baseline has nothing to say
            continue
        yield name, _sparse(vectorizer.transform(titles[queries]), vectorizer.transform(titles[candidates]))


def relate_baselines(search: Search, corpus: Corpus, known: Examples) -> Iterator[Named]:
    """Yield popularity (known in-degree) and co-occurrence (targets of sources that share targets)."""
    (_, sources), (_, candidates) = search.reads
    count = len(candidates)
    popularity = np.bincount(known.product, minlength=count).astype(np.float32)
    yield "popularity", lambda rows: np.broadcast_to(popularity, (len(rows), count))
    weights = np.ones(len(known), dtype=np.float32)
    edges = csr_matrix((weights, (known.query, known.product)), shape=(count, count))
    # Two steps there and one back: u -> v <- w -> x makes x a candidate for u; what is bought with it counts less.
    both = edges @ edges.T @ edges + edges.T
    yield "co-occurrence", lambda rows: both[sources[rows]].toarray()


def _sparse(left: csr_matrix, right: csr_matrix) -> Scorer:
    transposed = right.T.tocsr()
    return lambda rows: (left[rows] @ transposed).toarray()


BASELINES: Mapping[str, Callable[[Search, Corpus, Examples], Iterator[Named]]] = {
    "embed": embed_baselines,
    "relate": relate_baselines,
}
"Baselines of each task that ranks neighbours."
