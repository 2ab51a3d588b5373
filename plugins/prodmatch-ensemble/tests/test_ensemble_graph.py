"""The graph member: what is precomputed equals what is made on the fly, and stands for no other text."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.sparse import random as random_sparse

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_data
from prodmatch_core.data.corpus import frame_examples, match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError
from prodmatch_ensemble.configs import GraphConfig
from prodmatch_ensemble.sgc import SmoothedGraph
from prodmatch_ensemble.smoothing import nearest, on_the_fly, precomputed, smoothing
from prodmatch_ensemble.texts import TextVectors


@pytest.fixture(scope="module")
def data() -> FitData:
    section = load_data("shop.synthetic", ["size=1200"])
    dataset = section.part.spec.load()(section.part.config, ReadContext())
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    return FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)


def fitted(data: FitData, **fields: object) -> SmoothedGraph:
    config = GraphConfig(**{"width": 8, "rounds": 20, **fields})  # type: ignore[arg-type]
    return SmoothedGraph.fit(config, data, np.random.default_rng(0))


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_precomputed_neighbourhoods_equal_those_made_on_the_fly(hops: int) -> None:
    rng = np.random.default_rng(hops)
    links = random_sparse(60, 60, density=0.04, format="csr", rng=rng)
    smooth = smoothing(links + links.T)
    vectors = rng.normal(size=(60, 5)).astype(np.float32)
    nodes = rng.permutation(60)[:7]
    np.testing.assert_allclose(
        on_the_fly(smooth, vectors, nodes, hops), precomputed(smooth, vectors, hops)[nodes], rtol=1e-6
    )


def test_smoothing_is_the_normalised_adjacency_with_self_loops_by_hand() -> None:
    path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=float)
    from scipy.sparse import csr_matrix

    found = smoothing(csr_matrix(path)).toarray()
    d = np.array([2, 3, 2])
    np.testing.assert_allclose(found, (path + np.eye(3)) / np.sqrt(np.outer(d, d)))


def test_the_nearest_titles_are_those_of_greatest_cosine_and_no_title_is_its_own() -> None:
    rng = np.random.default_rng(0)
    titles = rng.normal(size=(40, 6)).astype(np.float32)
    titles /= np.linalg.norm(titles, axis=1, keepdims=True)
    row, like = nearest(titles, titles, 3, itself=True)
    scores = titles @ titles.T - 9 * np.eye(40)
    np.testing.assert_array_equal(np.sort(row, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :3], axis=1))
    assert (like >= 0).all()


def test_clicks_tell_what_texts_do_not(data: FitData) -> None:
    clicked, texts = fitted(data, relation="click"), fitted(data, relation="texts")
    labels = data.valid.label

    def loss(member: SmoothedGraph) -> float:
        found = member.predict(data.corpus, data.valid)
        return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-6)).mean())

    assert loss(clicked) < loss(texts)


def test_a_known_text_is_read_and_a_changed_one_stands_for_itself(data: FitData) -> None:
    member = fitted(data, relation="click")
    title = data.corpus.products["title"][0]
    known = pl.DataFrame({"query": ["x"], "title": [title], "locale": [data.corpus.products["locale"][0]]})
    changed = known.with_columns(title=pl.col("title") + " refurbished")
    from prodmatch_ensemble.sgc import _keys

    def vectors(frame: pl.DataFrame) -> np.ndarray:
        corpus, _ = frame_examples(frame)
        texts = corpus.product_texts(("title",))
        return member.nodes.of(_keys(corpus, "product", texts), texts, 0)

    found = vectors(changed)
    np.testing.assert_array_equal(found[0, 0], found[0, -1])  # no neighbourhood of another text
    assert vectors(known).shape == (1, 3, 8)
    stored = member.nodes.vectors[np.searchsorted(member.nodes.keys, _keys_of(known))]
    np.testing.assert_array_equal(vectors(known), stored)


def _keys_of(frame: pl.DataFrame) -> np.ndarray:
    from prodmatch_ensemble.sgc import _keys

    corpus, _ = frame_examples(frame)
    return _keys(corpus, "product", corpus.product_texts(("title",)))


def test_vectors_of_texts_do_not_depend_on_their_company() -> None:
    texts = ["usb cable 2 m", "leather wallet", "usb charger", "red shoe", "wallet for men"]
    made = TextVectors.fit(texts, 3, np.random.default_rng(0))
    np.testing.assert_allclose(made.of(texts)[2:3], made.of(texts[2:3]), rtol=1e-5)


def test_an_unknown_relation_names_those_there_are(data: FitData) -> None:
    with pytest.raises(DataError) as error:
        fitted(data, relation="clicks")
    assert str(error.value) == (
        f'{data.dataset.source}: no engagement has the relation "clicks"; there are add, bought_next, click, co_view, '
        "impression, purchase. Correct encoder.relation."
    )
