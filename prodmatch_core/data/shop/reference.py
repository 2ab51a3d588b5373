"""Reference figures of a shop: what the majority, word overlap, a reader of texts and the rule reach."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.lexical import overlap_features
from prodmatch_core.errors import DataError


def reference_figures(dataset: Dataset, seed: int) -> dict[str, dict[str, float]]:
    """Return accuracy and macro-F1 of four references on the test split, against the recorded labels.

    `majority` answers the most frequent training label; `lexical` is gradient-boosted trees on word overlap
    of query and title; `reader` applies the rule to what the texts state, taking hidden facts as met; `rule`
    knows everything but the raters' mistakes, and is the ceiling.

    Raises:
        DataError: the data set is not a shop with its truth.
    """
    if dataset.judgements is None or dataset.scheme is None or "judgements" not in dataset.truth:
        raise DataError(f"{dataset.source}: reference figures need a shop with judgements and their truth")
    labels = dataset.scheme.labels
    pairs = judged_texts(dataset).join(
        dataset.truth["judgements"], on=["query_id", "product_id"], how="left", maintain_order="left"
    )
    train, test = (pairs["split"] == name for name in ("train", "test"))
    label = _codes(pairs["label"], labels)
    here, there = test.to_numpy(), train.to_numpy()
    truth = label[here]
    answers = {
        "majority": np.full(len(truth), np.bincount(label[there]).argmax()),
        "lexical": _lexical(pairs, label, there, here, seed),
        "reader": _codes(pairs["read_label"], labels)[here],
        "rule": _codes(pairs["true_label"], labels)[here],
    }
    return {name: _scores(truth, answer, len(labels)) for name, answer in answers.items()}


def judged_texts(dataset: Dataset) -> pl.DataFrame:
    """Return the judgements, in order, with query `text`, `locale` and the product's texts."""
    if dataset.judgements is None or dataset.queries is None or dataset.products is None:
        raise DataError(f"{dataset.source}: needs judgements, queries and products")
    return dataset.judgements.join(
        dataset.queries.select("query_id", "locale", "text"), on="query_id", how="left", maintain_order="left"
    ).join(dataset.products, on=["product_id", "locale"], how="left", maintain_order="left")


def _codes(column: pl.Series, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    return column.replace_strict(list(labels), list(range(len(labels))), return_dtype=pl.Int64).to_numpy()


def _lexical(
    pairs: pl.DataFrame, label: npt.NDArray[np.int64], train: np.ndarray, test: np.ndarray, seed: int
) -> npt.NDArray[np.int64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    queries, q = np.unique(pairs["text"].to_numpy(), return_inverse=True)
    titles, p = np.unique(pairs["title"].to_numpy(), return_inverse=True)
    features = overlap_features(queries.tolist(), titles.tolist(), q, p)
    model = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.12,
        max_leaf_nodes=31,
        max_bins=64,
        early_stopping=False,
        random_state=seed,
    )
    answer: npt.NDArray[np.int64] = model.fit(features[train], label[train]).predict(features[test])
    return answer


def _scores(truth: npt.NDArray[np.int64], answer: npt.NDArray[np.int64], classes: int) -> dict[str, float]:
    from sklearn.metrics import f1_score

    macro = f1_score(truth, answer, labels=list(range(classes)), average="macro", zero_division=0)
    return {"accuracy": float((truth == answer).mean()), "macro_f1": float(macro)}
