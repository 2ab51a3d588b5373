"""Approximate search of vectors by faiss, for catalogues where reading every product is too slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from prodmatch_core.errors import ConfigError
from prodmatch_core.mining.topk import Best, Ragged, blocks

LINKS = 32
"Neighbours of a product in the graph of `hnsw`."
EFFORT = 128
"Products looked at while the graph is built, and at least while it is searched."
PROBES = 16
"Cells of `ivf` that are searched, of about the square root of the number of products."


def search(
    queries: np.ndarray, products: np.ndarray, k: int, excluded: Ragged, memory: int, index: str
) -> Iterator[tuple[slice, Best]]:
    """Yield about the best `k` products of each query by inner product; arguments as of `topk.search`.

    Raises:
        ConfigError: faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ConfigError(
            f'negatives: index = "{index}" needs faiss. `pip install faiss-cpu`, or use index = "exact"'
        ) from None
    # The excluded ones come up first of all, so as many more are asked for.
    most = int(np.diff(excluded.offsets).max(initial=0))
    wanted = min(k + most, len(products))
    built = _build(faiss, products, wanted, index)
    for block in blocks(len(queries), max(memory // (24 * wanted), 1)):
        scores, columns = built.search(np.ascontiguousarray(queries[block]), wanted)
        banned = excluded.take(block)
        row = np.repeat(np.arange(len(columns)), np.diff(banned.offsets))
        codes = row * len(products) + banned.values[banned.offsets[0] : banned.offsets[-1]]
        out = (columns < 0) | np.isin(np.arange(len(columns))[:, None] * len(products) + columns, codes)
        scores = np.where(out, -np.inf, scores).astype(np.float32)
        best = Best(scores, np.where(out, -1, columns)).ordered()
        yield block, Best(best.scores[:, :k], best.columns[:, :k])


def _build(faiss: Any, products: np.ndarray, wanted: int, index: str) -> Any:
    width = products.shape[1]
    data = np.ascontiguousarray(products)
    if index == "ivf":
        cells = max(int(len(products) ** 0.5), 1)
        built = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
        built.cp.min_points_per_centroid = 1
        built.train(data)
        built.add(data)
        built.nprobe = min(PROBES, cells)
        return built
    built = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
    built.hnsw.efConstruction, built.hnsw.efSearch = EFFORT, max(EFFORT, 2 * wanted)
    # Threads would add products in an order of their own: the same seed would not give the same graph.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        built.add(data)
    finally:
        faiss.omp_set_num_threads(threads)
    return built
