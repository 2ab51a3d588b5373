"""Boosted trees over columns, as LightGBM grows them, perhaps on top of a logistic regression; and how they add up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import lightgbm
import numpy as np

from prodmatch_core.builtin.softmax_regression import SoftmaxRegression
from prodmatch_core.errors import DataError
from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.table import Table, merged

CHUNK = 50_000
"Rows explained at once; bounds the memory of their contributions."
ABSENT = -20.0
"Score of a class that no training row has."
L2 = 1.0
"Penalty of the logistic regression, as core.logistic's."
FEW = 20_000
"Rows below which threads cost LightGBM more than they bring."
INNER = 4
"Parts of the training queries that the number of rounds is chosen by."


@attrs.frozen(eq=False)
class Start:
    """Where boosting begins: the scores of a logistic regression on log-probabilities."""

    regression: SoftmaxRegression

    @classmethod
    def fit(cls, table: Table, weights: np.ndarray, classes: int) -> Start:
        """Fit the regression to the rows of `table` under `weights`."""
        return cls(SoftmaxRegression.fit(table.logs(), table.labels, weights, classes, L2))

    def parts(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Return what each column adds, (n, columns, classes), and the intercepts, (classes,); they sum to the score.

        Of a linear score the Shapley value of a column is its coefficient times its distance from the mean.
        """
        at, classes = list(self.regression.present), self.regression.classes
        base = np.full(classes, ABSENT)
        base[at] = self.regression.intercepts
        standard = (table.logs() - self.regression.mean) / self.regression.scale
        values = np.zeros((len(standard), len(table.columns), classes))
        found = standard[:, :, None] * self.regression.coefficients[None]
        values[:, np.flatnonzero(table.is_probability)[:, None], at] = found
        return values, base

    def scores(self, table: Table) -> np.ndarray:
        """Return the scores, (n, classes) float64."""
        reg = self.regression
        scores = np.full((len(table), reg.classes), ABSENT)
        scores[:, reg.present] = (table.logs() - reg.mean) / reg.scale @ reg.coefficients + reg.intercepts
        return scores


@attrs.frozen(eq=False)
class Trees:
    """A fitted forest and where it began."""

    booster: lightgbm.Booster
    classes: int
    start: Start | None = None

    @classmethod
    def fit(cls, table: Table, config: TreesConfig, classes: int, seed: int) -> Trees:
        """Grow the trees on all rows of `table`, whose labels are all known.

        The number of rounds is the one with the least loss on held-out queries, where `config.patience` asks for it.

        Raises:
            DataError: no row has a label and a weight.
        """
        rows = trainable(table)
        rounds = best_rounds(rows, config, classes, seed) if config.patience else config.rounds
        return grown(rows, config, classes, seed, rounds)

    def scores(self, table: Table) -> np.ndarray:
        """Return the score of every class before it becomes a probability, (n, classes) float64."""
        begun = self.start.scores(table) if self.start else np.zeros((len(table), self.classes))
        if not len(table):  # LightGBM refuses an empty table
            return begun
        return begun + np.asarray(self.booster.predict(table.values, raw_score=True)).reshape(begun.shape)

    def predict(self, table: Table) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        return softmax(self.scores(table))

    def contributions(self, table: Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, for stretches of rows, what each column adds to each score, and what is there without any.

        They are Shapley values: of the trees, path-dependent (Lundberg et al., Nature Machine Intelligence 2, 2020,
        algorithm 2; LightGBM's `pred_contrib`); of the regression, exact.

        Yields:
            (rows, columns, classes) float64 and (classes,) float64; with the second, the first sum to the scores.
        """
        width = len(table.columns)
        for begin in range(0, len(table), CHUNK):
            part = table.take(slice(begin, begin + CHUNK))
            packed = np.asarray(self.booster.predict(part.values, pred_contrib=True))
            found = packed.reshape(len(part), self.classes, width + 1).transpose(0, 2, 1)
            values, base = found[:, :width], found[0, width]
            if self.start is not None:
                linear, intercepts = self.start.parts(part)
                values, base = values + linear, base + intercepts
            yield values, base

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>.txt`, LightGBM's text, and `<name>.json`, the regression."""
        self.booster.save_model(folder / f"{name}.txt")
        begun = self.start.regression.state() if self.start else None
        (folder / f"{name}.json").write_text(json.dumps({"classes": self.classes, "start": begun}))

    @classmethod
    def load(cls, folder: Path, name: str) -> Trees:
        """Read what `save` wrote."""
        state: Mapping[str, Any] = json.loads((folder / f"{name}.json").read_text())
        start = Start(SoftmaxRegression.from_state(state["start"])) if state["start"] else None
        return cls(lightgbm.Booster(model_file=folder / f"{name}.txt"), state["classes"], start)


def held_out(table: Table, config: TreesConfig, classes: int, seed: int) -> np.ndarray:
    """Return probabilities of every row by trees that have not seen its query, (n, classes) float64.

    What decisions about the trees themselves rest on: which members are kept, and where a cascade may stop.
    """
    rows = trainable(table)
    rounds = best_rounds(rows, config, classes, seed) if config.patience else config.rounds
    found = np.empty((len(table), classes))
    # The merged rows leave queries whole, so folds of queries are folds of rows in both tables.
    inner, fold = folds_of(rows.groups, seed), folds_of(table.groups, seed)
    for number in range(INNER):
        trees = grown(rows.take(inner != number), config, classes, seed, rounds)
        out = np.flatnonzero(fold == number)
        found[out] = trees.predict(table.take(out))
    return found


def trainable(table: Table) -> Table:
    """Return the rows with a label and a weight, equal rows made one of their summed weight.

    Raises:
        DataError: there is none.
    """
    used = (table.labels >= 0) & (table.weights > 0)
    rows = merged(table if used.all() else table.take(used))
    if not len(rows):
        raise DataError("ensemble: no training pair has a label and a weight above 0")
    return rows


def folds_of(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of every row, 0 to INNER - 1, by its query: the same for a query in any table, (n,) int64."""
    mixed = (groups.astype(np.uint64) + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed >> np.uint64(33)) % np.uint64(INNER)).astype(np.int64)


def best_rounds(rows: Table, config: TreesConfig, classes: int, seed: int) -> int:
    """Return the number of rounds with the least loss on held-out queries, all parts together."""
    fold = folds_of(rows.groups, seed)
    curves, weights = [], []
    for number in range(INNER):
        inside, outside = rows.take(fold != number), rows.take(fold == number)
        if not len(inside) or not len(outside):
            continue
        told: dict[str, Any] = {}
        _boost(inside, config, classes, seed, config.rounds, outside, told)
        curves.append(np.array(told["outside"]["multi_logloss"]))
        weights.append(outside.weights.sum())
    if not curves:  # all rows are of one query or of queries in one part
        return min(config.rounds, config.patience)
    shortest = min(map(len, curves))
    mean = np.average([curve[:shortest] for curve in curves], axis=0, weights=weights)
    return int(mean.argmin()) + 1


def grown(rows: Table, config: TreesConfig, classes: int, seed: int, rounds: int) -> Trees:
    """Return trees of exactly so many rounds."""
    booster, start = _boost(rows, config, classes, seed, rounds)
    return Trees(booster, classes, start)


def _boost(
    rows: Table,
    config: TreesConfig,
    classes: int,
    seed: int,
    rounds: int,
    outside: Table | None = None,
    told: dict[str, Any] | None = None,
) -> tuple[lightgbm.Booster, Start | None]:
    factors = class_factors(rows, classes, config.balance)
    weights = rows.weights * factors[rows.labels]
    start = Start.fit(rows, weights, classes) if config.start == "logistic" else None
    train = _dataset(rows, weights, start)
    callbacks: list[Any] = []
    valid = []
    if outside is not None:
        valid = [_dataset(outside, outside.weights * factors[outside.labels], start, train)]
        callbacks = [
            lightgbm.early_stopping(config.patience, verbose=False),
            lightgbm.record_evaluation(told if told is not None else {}),
        ]
    booster = lightgbm.train(
        parameters(config, classes, seed) | {"num_threads": 1 if len(rows) < FEW else 0},
        train,
        num_boost_round=rounds,
        valid_sets=valid,
        valid_names=["outside"] * len(valid),
        callbacks=callbacks,
    )
    return booster, start


def parameters(config: TreesConfig, classes: int, seed: int) -> dict[str, Any]:
    """Return LightGBM's parameters."""
    return {
        "objective": "multiclass",
        "num_class": classes,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.leaf_rows,
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.row_fraction,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _dataset(
    rows: Table, weights: np.ndarray, start: Start | None, reference: lightgbm.Dataset | None = None
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        rows.values,
        rows.labels,
        weight=weights,
        init_score=start.scores(rows) if start else None,
        feature_name=[f"c{number}" for number in range(len(rows.columns))],
        reference=reference,
    )


def class_factors(rows: Table, classes: int, balance: float) -> np.ndarray:
    """Return the factor of every class's weight, (classes,) float64: (1 / share)^balance, leaving the sum as it is."""
    share = np.bincount(rows.labels, rows.weights, classes) / rows.weights.sum()
    factor = np.zeros(classes)
    factor[share > 0] = share[share > 0] ** -balance
    return factor / (factor * share).sum()


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return scores as probabilities, row by row."""
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return exponents / exponents.sum(axis=1, keepdims=True)
