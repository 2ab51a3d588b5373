"""`ensemble.sgc`: a graph member that learns in seconds: texts smoothed over a graph, and trees over the pair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import attrs
import lightgbm
import numpy as np
import polars as pl
from safetensors.numpy import load_file
from scipy.sparse import coo_matrix, csr_matrix

from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.errors import DataError
from prodmatch_core.writing import write_arrays
from prodmatch_ensemble.configs import GraphConfig
from prodmatch_ensemble.smoothing import nearest, precomputed, smoothing
from prodmatch_ensemble.texts import TextVectors

NODES = "nodes.safetensors"
FEW = 20_000
"Rows below which threads cost LightGBM more than they bring."


@attrs.frozen(eq=False)
class Nodes:
    """The smoothed vectors of known queries and products, found by their texts.

    A product whose text has changed is not found, and stands for itself alone: what was precomputed never answers for
    another text.

    Attributes:
        texts: makes a vector of any text.
        keys: (nodes,) uint64, sorted.
        vectors: (nodes, hops + 1, width) float32, after 0, 1, ... hops.
        titles: rows of `vectors` that are products; the titles new texts are linked to.
    """

    texts: TextVectors
    keys: np.ndarray
    vectors: np.ndarray
    titles: np.ndarray

    def of(self, keys: np.ndarray, texts: Sequence[str], neighbours: int) -> np.ndarray:
        """Return the vectors of texts after every hop, (n, hops + 1, width) float32.

        A known one's are read; a new one's are made: of itself, or with `neighbours` of it and the titles most like it.
        """
        place = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        known = self.keys[place] == keys
        found = np.empty((len(keys), *self.vectors.shape[1:]), dtype=np.float32)
        found[known] = self.vectors[place[known]]
        new = np.flatnonzero(~known)
        if len(new):
            own = self.texts.of([texts[row] for row in new.tolist()])
            found[new] = own[:, None]
            if neighbours and len(self.titles):
                titles = self.vectors[self.titles]
                row, like = nearest(own, titles[:, 0], neighbours, itself=False)
                whole = 1 + like.sum(axis=1)
                for hop in range(1, found.shape[1]):
                    around = np.einsum("nk,nkw->nw", like, titles[row, hop - 1])
                    found[new, hop] = (own + around) / whole[:, None]
        return found


class SmoothedGraph(SelfFittingEncoder):
    """Simplified graph convolution (arXiv 1902.07153) with trees in place of its linear layer."""

    def __init__(self, config: GraphConfig, nodes: Nodes, booster: lightgbm.Booster) -> None:
        """Hold what was fitted."""
        self.config = config
        self.nodes = nodes
        self.booster = booster

    @classmethod
    def fit(cls, config: GraphConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Smooth all texts of the corpus over the graph, and boost until the validation loss stops falling.

        Raises:
            DataError: the data has no engagements of the relation.
        """
        nodes = _nodes(config, data, rng)
        train, valid = (
            lightgbm.Dataset(
                features(config, nodes, data.corpus, examples), examples.label, weight=examples.weight
            )
            for examples in (data.train, data.valid)
        )
        booster = lightgbm.train(
            {
                "objective": "multiclass",
                "num_class": len(data.scheme.labels),
                "learning_rate": config.learning_rate,
                "num_leaves": config.leaves,
                "min_data_in_leaf": config.leaf_rows,
                "feature_fraction": 0.5,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "seed": int(rng.integers(2**31)),
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
                "num_threads": 1 if len(data.train) < FEW else 0,
            },
            train,
            num_boost_round=config.rounds,
            valid_sets=[valid],
            callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
        )
        return cls(config, nodes, booster)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        if not len(examples):  # LightGBM refuses an empty table
            return np.empty((0, self.booster.num_model_per_iteration()))
        return np.asarray(self.booster.predict(features(self.config, self.nodes, corpus, examples)))

    def save_assets(self, folder: Path) -> None:
        """Write the trees as LightGBM text and the nodes as safetensors."""
        self.booster.save_model(folder / "trees.txt", num_iteration=self.booster.best_iteration)
        nodes = self.nodes
        arrays = {"keys": nodes.keys, "vectors": nodes.vectors, "titles": nodes.titles}
        write_arrays(folder / NODES, {**arrays, **nodes.texts.arrays()})
        (folder / "graph.json").write_text(json.dumps({"nodes": len(nodes.keys)}))

    @classmethod
    def load(cls, config: GraphConfig, folder: Path) -> Self:
        """Read what `save_assets` wrote."""
        saved = load_file(folder / NODES)
        texts = TextVectors(saved["rarity"], saved["directions"])
        nodes = Nodes(texts, saved["keys"], saved["vectors"], saved["titles"])
        return cls(config, nodes, lightgbm.Booster(model_file=folder / "trees.txt"))


def features(config: GraphConfig, nodes: Nodes, corpus: Corpus, examples: Examples) -> np.ndarray:
    """Return the pair at every hop: cosines, and the products of both vectors after the last, (n, columns) float32."""
    neighbours = config.neighbours if config.relation == "texts" else 0
    used_queries, query = np.unique(examples.query, return_inverse=True)
    used_products, product = np.unique(examples.product, return_inverse=True)
    sides = []
    for kind, used in (("query", used_queries), ("product", used_products)):
        texts = _texts(config, corpus, kind)
        chosen = [texts[row] for row in used.tolist()]
        sides.append(nodes.of(_keys(corpus, kind, texts)[used], chosen, neighbours))
    left, right = sides[0][query], sides[1][product]
    length = np.linalg.norm(left, axis=2) * np.linalg.norm(right, axis=2)
    cosine = np.divide(
        (left * right).sum(axis=2), length, out=np.zeros(length.shape, np.float32), where=length > 0
    )
    # A query and its product's surroundings, and the other way round.
    crossed = [(left[:, 0] * right[:, -1]).sum(axis=1), (left[:, -1] * right[:, 0]).sum(axis=1)]
    return np.hstack([cosine, np.stack(crossed, axis=1), left[:, -1] * right[:, -1]]).astype(np.float32)


def _nodes(config: GraphConfig, data: FitData, rng: np.random.Generator) -> Nodes:
    corpus = data.corpus
    queries, products = _texts(config, corpus, "query"), _texts(config, corpus, "product")
    made = TextVectors.fit([*queries, *products], config.width, rng)
    own = made.of([*queries, *products])
    if config.relation == "texts":
        row, like = nearest(own, own[len(queries) :], config.neighbours, itself=True)
        begin = np.repeat(np.arange(len(own)), row.shape[1])
        links = _symmetric(begin, len(queries) + row.ravel(), like.ravel(), len(own))
    else:
        links = _engaged(config.relation, data, len(own))
    vectors = precomputed(smoothing(links), own, config.hops)
    keys = np.concatenate([_keys(corpus, "query", queries), _keys(corpus, "product", products)])
    unique, first = np.unique(keys, return_index=True)
    return Nodes(made, unique, vectors[first], np.flatnonzero(first >= len(queries)))


def _engaged(relation: str, data: FitData, count: int) -> csr_matrix:
    """Return the engagements between the corpus's queries and products as a symmetric adjacency.

    Raises:
        DataError: there are none of the relation.
    """
    links = data.dataset.engagements
    if links is None:
        raise DataError(
            f"{data.dataset.source}: ensemble.sgc follows engagements, and there are none. Take a data set that gives "
            'them, or set relation = "texts".'
        )
    if relation and relation not in (there := links["relation"].unique().sort().to_list()):
        raise DataError(
            f'{data.dataset.source}: no engagement has the relation "{relation}"; there are {", ".join(there)}. '
            "Correct encoder.relation."
        )
    if relation:
        links = links.filter(pl.col("relation") == relation)
    corpus = data.corpus
    nodes = pl.concat(
        [
            corpus.queries.select(kind=pl.lit("query"), id="query_id", locale="locale"),
            corpus.products.select(kind=pl.lit("product"), id="product_id", locale="locale"),
        ]
    ).with_row_index("node")
    ends = ["locale"] if "locale" in links.columns and links["locale"].null_count() == 0 else []
    for end in ("src", "dst"):
        on = {f"{end}_kind": "kind", end: "id"} | {name: name for name in ends}
        links = links.join(nodes, left_on=list(on), right_on=list(on.values()), how="inner").rename(
            {"node": f"{end}_node"}
        )
        links = links.drop([name for name in ("locale_right",) if name in links.columns])
    weight = np.log1p(links["count"].to_numpy())
    return _symmetric(links["src_node"].to_numpy(), links["dst_node"].to_numpy(), weight, count)


def _symmetric(begin: np.ndarray, end: np.ndarray, weight: np.ndarray, count: int) -> csr_matrix:
    rows, columns = np.concatenate([begin, end]), np.concatenate([end, begin])
    return coo_matrix((np.concatenate([weight, weight]), (rows, columns)), shape=(count, count)).tocsr()


def _texts(config: GraphConfig, corpus: Corpus, kind: str) -> list[str]:
    return corpus.query_texts() if kind == "query" else corpus.product_texts(config.fields)


def _keys(corpus: Corpus, kind: str, texts: Sequence[str]) -> np.ndarray:
    """Return a number for each text of a side, the same wherever kind, locale and text are, (n,) uint64."""
    table = corpus.queries if kind == "query" else corpus.products
    made = (
        hashlib.blake2b(f"{kind}\x1f{locale}\x1f{text}".encode(), digest_size=8).digest()
        for locale, text in zip(table["locale"].to_list(), texts, strict=True)
    )
    return np.frombuffer(b"".join(made), dtype=np.uint64)
