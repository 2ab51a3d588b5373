from __future__ import annotations

import json
import pickle
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.builtin.configs import OverlapConfig
from prodmatch_core.builtin.overlap import FEATURES, OverlapEncoder
from prodmatch_core.builtin.softmax_regression import SoftmaxRegression
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.corpus import Corpus, Examples, frame_examples
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.errors import DataError, RunError

WORDS = ["red", "blue", "lamp", "shoe", "chair", "acme", "large", "table"]


def make(labels: tuple[int, ...] = (0, 1, 3), count: int = 120) -> tuple[Corpus, Examples]:
    """Return pairs whose label follows from how many words the title has of the query."""
    rng = np.random.default_rng(0)
    rows, classes = [], []
    for index in range(count):
        query = rng.choice(WORDS, size=3, replace=False)
        rest = [word for word in WORDS if word not in query]
        common = index % len(labels)
        title = [*query[: 3 - common], *rng.choice(rest, size=1 + common, replace=False)]
        rows.append((" ".join(query), " ".join(title)))
        classes.append(labels[common])
    corpus, examples = frame_examples(pl.DataFrame(rows, schema=["query", "title"], orient="row"))
    return corpus, attrs.evolve(examples, label=np.array(classes))


def fit(corpus: Corpus, train: Examples) -> OverlapEncoder:
    data = FitData(corpus, train, Examples.empty(), ESCI, Dataset("none"))
    return OverlapEncoder.fit(OverlapConfig(), data, np.random.default_rng(0))


def test_overlap_learns_labels_that_follow_from_words_in_common() -> None:
    corpus, examples = make()
    probabilities = fit(corpus, examples.take(slice(0, 90))).predict(corpus, examples.take(slice(90, None)))
    assert (probabilities.argmax(axis=1) == examples.label[90:]).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_a_class_absent_from_training_gets_no_probability() -> None:
    corpus, examples = make()
    probabilities = fit(corpus, examples).predict(corpus, examples)
    assert probabilities.shape == (len(examples), 4)
    assert (probabilities[:, 2] == 0).all()


def test_a_single_class_is_certain() -> None:
    corpus, examples = make(labels=(1,))
    assert (fit(corpus, examples).predict(corpus, examples)[:, 1] == 1).all()


def test_a_prediction_does_not_depend_on_the_pairs_beside_it() -> None:
    corpus, examples = make()
    encoder = fit(corpus, examples)
    row = 2  # a query with words the title lacks: where they are rare, in some corpus, they would count more
    alone, one = frame_examples(
        pl.DataFrame(
            {
                "query": [corpus.query_texts()[examples.query[row]]],
                "title": [corpus.product_texts()[examples.product[row]]],
            }
        )
    )
    np.testing.assert_allclose(
        encoder.predict(alone, one)[0], encoder.predict(corpus, examples)[row], rtol=1e-9
    )


def test_loading_gives_the_same_output_without_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, examples = make()
    encoder = fit(corpus, examples)
    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, None)
    encoder.save_assets(tmp_path)
    loaded = OverlapEncoder.load(OverlapConfig(), tmp_path)
    np.testing.assert_array_equal(loaded.predict(corpus, examples), encoder.predict(corpus, examples))


def test_features_of_another_version_are_refused(tmp_path: Path) -> None:
    fit(*make()).save_assets(tmp_path)
    path = tmp_path / "overlap.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "features": ["jaccard"]}))
    with pytest.raises(RunError) as caught:
        OverlapEncoder.load(OverlapConfig(), tmp_path)
    assert str(caught.value) == (
        f"{path}: fitted to the features jaccard; this version of prodmatch-core computes {', '.join(FEATURES)}. "
        "Run the pipeline again, or install the version named in provenance.json."
    )


def test_no_labelled_row_is_a_data_error() -> None:
    corpus, examples = make()
    unlabelled = attrs.evolve(examples, label=np.full(len(examples), -1))
    with pytest.raises(DataError, match="no training row has a label and a weight above 0"):
        fit(corpus, unlabelled)


def regression_rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(60, 3)) * [1, 100, 0.01] + [0, 5, 7]
    return features, (features[:, 0] + rng.normal(size=60) > 0).astype(np.int64) + (features[:, 1] > 90)


def test_regression_weight_two_is_a_row_twice() -> None:
    features, labels = regression_rows()
    weights = np.ones(60)
    weights[:10] = 2
    weighted = SoftmaxRegression.fit(features, labels, weights, 3, 1.0)
    twice = np.r_[np.arange(60), np.arange(10)]
    repeated = SoftmaxRegression.fit(features[twice], labels[twice], np.ones(70), 3, 1.0)
    np.testing.assert_allclose(weighted.predict(features), repeated.predict(features), atol=1e-4)


def test_regression_weight_zero_is_a_row_absent() -> None:
    features, labels = regression_rows()
    weights = np.r_[np.zeros(10), np.ones(50)]
    weighted = SoftmaxRegression.fit(features, labels, weights, 3, 1.0)
    absent = SoftmaxRegression.fit(features[10:], labels[10:], np.ones(50), 3, 1.0)
    np.testing.assert_allclose(weighted.predict(features), absent.predict(features), atol=1e-12)


def test_regression_of_two_classes_is_the_logistic_function() -> None:
    features, labels = regression_rows()
    labels = labels * 0 + (features[:, 0] > 0.3)
    regression = SoftmaxRegression.fit(features, labels, np.ones(60), 2, 1.0)
    scores = (features - regression.mean) / regression.scale @ regression.coefficients[:, 1]
    expected = 1 / (1 + np.exp(-(scores + regression.intercepts[1])))
    np.testing.assert_allclose(regression.predict(features)[:, 1], expected)
    # The gradient of the penalised likelihood vanishes at the optimum.
    slope = ((features - regression.mean) / regression.scale).T @ (expected - labels)
    np.testing.assert_allclose(slope + regression.coefficients[:, 1], 0, atol=1e-2)


def test_regression_of_two_classes_out_of_four_puts_them_where_they_belong() -> None:
    features, _ = regression_rows()
    labels = np.where(features[:, 0] > 0, 1, 3)
    probabilities = SoftmaxRegression.fit(features, labels, np.ones(60), 4, 0.01).predict(features)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95


def test_regression_does_not_stumble_over_a_constant_feature() -> None:
    features, labels = regression_rows()
    features[:, 2] = 5.0
    assert np.isfinite(SoftmaxRegression.fit(features, labels, np.ones(60), 3, 1.0).predict(features)).all()
