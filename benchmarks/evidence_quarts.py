"""QUARTS and the baselines on real and embedded data: docs/explanation/evidence/quarts.md and its picture.

    PRODMATCH_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/evidence_quarts.py [--rows FOLDER] [--only grid|page]

Every finished cell (data, arm, seed, share of mismatches kept, training rows) is a file of the rows folder: a stopped
benchmark goes on. Cells come in the order of their worth: the comparison first, then the scarcity curves, then sizes.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus, Examples, match_examples
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext, SplitConfig
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_quarts.augment import augmented
from prodmatch_quarts.configs import VariationalConfig
from prodmatch_quarts.variational import VariationalGenerator
from prodmatch_quarts.writing import written

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "runs" / "evidence-quarts"
PAGE = ROOT / "docs" / "explanation" / "evidence" / "quarts.md"
PICTURE = ROOT / "docs" / "images" / "quarts-scarcity.svg"
SEEDS = (0, 1, 2)
TRAIN, VALID, TEST = 10_000, 1500, 4000
"Judged pairs, drawn; of fewer all are taken."
SHARES = (100, 10, 3, 0)
"Per cent of the training mismatches that are kept."
SIZES = (10_000, 30_000, 100_000, 300_000)
BETA = 5.0
RATE = 0.25
TOKENS = {"vocabulary": 8000, "width": 48, "max_length": 24}
ATTENTION = {"use": "quarts.attention", **TOKENS, "hidden": 48, "dropout": 0.3}
LEARNING_RATE = {"homedepot": 0.0003, "crowdflower": 0.0003, "shop": 0.002}
"Of the classifier, in all its arms; chosen by the validation APR of the classifier alone, seed 0."
BASELINES_RATE = 0.003
"Of DSSM and MatchPyramid."
FEW_EPOCHS = 30_000
"Training pairs above which networks have two epochs, so that a cell is done in minutes."
TRAINING = {
    "epochs": 4,
    "batch_size": 64,
    "patience": 0,
    "measure": "mismatch_average_precision",
}
GENERATOR = {
    "rate": RATE,
    "after": 1,
    "latent": 32,
    "hidden": 48,
    "tuples": 6000,
    "epochs": 10,
    "learning_rate": 0.006,
    "kl": 0.01,
    "novel": True,
    "written": 1,
}
ENCODERS: dict[str, dict[str, Any]] = {
    "GBDT": {"use": "baselines.lexical_gbdt", "fields": ["title"], "rounds": 200},
    "DSSM": {"use": "baselines.dssm", "buckets": 8192, "hidden": 64, "width": 64},
    "MatchPyramid": {"use": "baselines.match_pyramid", **TOKENS, "dropout": 0.3},
}
NEGATIVES: dict[str, dict[str, Any] | None] = {
    "classifier": None,
    "+ augmentation": None,
    "+ random": {"use": "core.random_negatives", "per_positive": RATE},
    "+ mined": {"use": "core.mined_negatives", "per_positive": RATE, "first": 5, "last": 50},
    "+ noise": {"use": "quarts.noise", "rate": RATE},
    "frozen": {"use": "quarts.variational", **GENERATOR},
    "joint": {"use": "quarts.variational", **GENERATOR, "learns": "joint"},
    "adversarial": {"use": "quarts.variational", **GENERATOR, "learns": "adversarial"},
    "reread": {"use": "quarts.variational", **GENERATOR, "states": "reread", "learns": "tuples"},
}
ARMS = (*ENCODERS, *NEGATIVES)
SWEPT = {f"joint, rate {rate:g}": {**NEGATIVES["joint"], "rate": rate} for rate in (0.1, 0.5)}
"The arm of the paper at other rates of the switch than RATE."
TANH = "classifier, tanh"
"The classifier with scores made weights by tanh, as the paper writes it, where all others take a softmax."
GROWN = ("GBDT", "MatchPyramid", "classifier", "+ random", "reread", "joint")
DATA: dict[str, dict[str, Any]] = {
    "homedepot": {"use": "core.homedepot", "scheme": "binary"},
    "crowdflower": {"use": "core.crowdflower", "scheme": "binary"},
    "shop": {"use": "shop.synthetic", "size": 500_000, "events_per_judgement": 0.0},
}


@attrs.frozen
class Cell:
    """One trained arm."""

    data: str
    arm: str
    seed: int
    share: int = 100
    size: int = TRAIN

    @property
    def name(self) -> str:
        arm = "".join(letter if letter.isalnum() else "-" for letter in self.arm)
        return f"{self.data}_{arm}_seed{self.seed}_share{self.share}_rows{self.size}"


def cells() -> Iterator[Cell]:
    """Yield every cell once, the ones the question needs most first."""
    found: dict[Cell, None] = {}
    for seed in SEEDS:
        found |= {Cell(data, arm, seed): None for data in DATA for arm in ARMS}
    for seed in SEEDS:
        for share in SHARES[1:]:
            found |= {Cell(data, arm, seed, share): None for data in ("homedepot", "shop") for arm in ARMS}
        if not seed:
            found |= {Cell("shop", arm, 0, 100, size): None for size in SIZES for arm in GROWN}
            found |= {Cell(data, TANH, each): None for each in SEEDS for data in DATA}
            found |= {Cell(data, arm, each): None for each in SEEDS for data in DATA for arm in SWEPT}
    return iter(found)


# -- data ----------------------------------------------------------------------------------------------------


def pipeline_of(data: str, member: Mapping[str, Any]) -> Any:
    """Return the checked pipeline of one arm."""
    return load_pipeline(
        {"pipeline": {"name": "evidence"}, "data": DATA[data], "member": [{"name": "arm", **member}]}
    )


@functools.cache
def whole(data: str) -> Dataset:
    """Return a data set with its labels as match and mismatch; the split is the same for all seeds."""
    part = pipeline_of(data, {"encoder": {"use": "core.ngram"}}).data.part
    context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), base=ROOT, split=SplitConfig(seed=0))
    dataset: Dataset = part.spec.load()(part.config, context)
    scheme = dataset.scheme
    assert scheme is not None and dataset.judgements is not None
    matching = pl.col("label").is_in(list(scheme.positive))
    binary = attrs.evolve(
        scheme, name="binary", labels=("match", "mismatch"), gains=(1, 0), positive=("match",)
    )
    label = pl.when(matching).then(pl.lit("match")).otherwise(pl.lit("mismatch"))
    return attrs.evolve(
        dataset, scheme=binary, judgements=dataset.judgements.with_columns(label.alias("label"))
    )


def thinned(cell: Cell) -> Dataset:
    """Return the judged pairs of a cell: validation and test by data alone, training by seed, size and share."""
    dataset = whole(cell.data)
    judged = dataset.judgements
    assert judged is not None
    kept = []
    for split, most, seed in (("train", cell.size, cell.seed), ("valid", VALID, 0), ("test", TEST, 0)):
        rows = judged.filter(pl.col("split") == split)
        rng = seeds.rng(seed, cell.data, split)
        rows = rows[np.sort(rng.permutation(rows.height)[:most])]
        if split == "train" and cell.share < 100:
            mismatch = (rows["label"] == "mismatch").to_numpy()
            drawn = rng.permutation(np.flatnonzero(mismatch))[: round(mismatch.sum() * cell.share / 100)]
            rows = rows[np.sort(np.concatenate([np.flatnonzero(~mismatch), drawn]))]
        kept.append(rows)
    return attrs.evolve(dataset, judgements=pl.concat(kept))


def read(dataset: Dataset) -> tuple[FitData, Corpus, Examples, pl.DataFrame]:
    corpus, examples, rows = match_examples(dataset)
    assert dataset.scheme is not None
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    return data, corpus, examples["test"], rows["test"]


def training(cell: Cell) -> dict[str, Any]:
    """Return how the networks of a cell are trained."""
    rate = BASELINES_RATE if cell.arm in ENCODERS else LEARNING_RATE[cell.data]
    epochs = TRAINING["epochs"] if cell.size <= FEW_EPOCHS else 2
    return {**TRAINING, "learning_rate": rate, "epochs": epochs}


# -- one cell ------------------------------------------------------------------------------------------------


def fit(cell: Cell, data: FitData, encoder: Mapping[str, Any], **more: Any) -> tuple[FittedMember, list]:
    log: list[Mapping[str, Any]] = []
    arm: dict[str, Any] = {"encoder": encoder, **more}
    if encoder["use"] != "baselines.lexical_gbdt":
        arm = {
            "loss": [{"use": "core.cross_entropy", "class_weights": [1, BETA]}],
            "training": training(cell),
            **arm,
        }
    member = pipeline_of(cell.data, arm).member[0]
    found = fit_member(member, data, load_task("match"), default_registry(), cell.seed, on_epoch=log.append)
    return found, log


def pregenerated(cell: Cell, data: FitData) -> pl.DataFrame:
    """Return as many generated queries as the switch overwrites in an epoch, written by a generator trained once.

    Queries without a new word are left out, as the switch leaves them alone.
    """
    classifier, _ = fit(cell, data, ATTENTION, training={**training(cell), "epochs": 2})
    matches = int((data.train.label == 0).sum())
    fields = {**GENERATOR, "after": 0, "written": max(round(RATE * matches), 1)}
    encoder = classifier.model.encoder
    generator = VariationalGenerator.build(
        VariationalConfig(**fields), data, encoder, seeds.rng(cell.seed, "augmentation")
    )
    generator.refresh(0, seeds.rng(cell.seed, "refresh"), classifier.model.judge)
    return written(generator, classifier.model.judge).filter("novel")


def measure(cell: Cell, folder: Path) -> None:
    """Train the arm of a cell, and keep what it says of validation and test."""
    started = time.process_time()
    dataset = thinned(cell)
    data, corpus, test, rows = read(dataset)
    if cell.arm == "+ augmentation":
        # The generated queries are further rows of another corpus; validation and test pairs stay what they are.
        data, corpus, test, rows = read(augmented(dataset, pregenerated(cell, data), cell.name))
    if cell.arm in ENCODERS:
        fitted, log = fit(cell, data, ENCODERS[cell.arm])
    elif cell.arm == TANH:
        fitted, log = fit(cell, data, {**ATTENTION, "attention": "tanh"})
    else:
        negatives = {**NEGATIVES, **SWEPT}[cell.arm]
        fitted, log = fit(cell, data, ATTENTION, **({"negatives": negatives} if negatives else {}))
    tables = {}
    for split, examples in (("valid", data.valid), ("test", test)):
        probabilities = fitted.predict(corpus, examples)
        # safetensors writes memory as it lies: a column of a table is copied first.
        tables[f"{split}/score"] = np.ascontiguousarray(probabilities[:, 1])
        tables[f"{split}/label"] = examples.label
        tables[f"{split}/query"] = np.unique(examples.query, return_inverse=True)[1].astype(np.int64)
    figures = [epoch["valid"][TRAINING["measure"]] for epoch in log]
    notes = {
        "cpu_seconds": time.process_time() - started,
        "train": len(data.train),
        "mismatches": int(data.train.label.sum()),
        "best_epoch": int(np.argmax(figures)) + 1 if figures else 0,
        "negatives": log[-1].get("negatives", {}) if log else {},
    }
    if cell.data == "shop":
        notes["cause"] = causes(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cell.name}.json").write_text(json.dumps(notes), encoding="utf-8")
    save_file(tables, folder / f"{cell.name}.safetensors")


def causes(rows: pl.DataFrame) -> list[str]:
    """Return the planted cause of each test pair."""
    truth = whole("shop").truth["judgements"]
    return (
        rows.join(truth, on=["query_id", "product_id"], how="left", maintain_order="left")["cause"]
        .fill_null("")
        .to_list()
    )


@attrs.frozen(eq=False)
class Found:
    """What an arm said of the test pairs, decided at the validation split's best threshold for the mismatch's F1."""

    evaluated: Evaluated
    notes: Mapping[str, Any]

    @classmethod
    def read(cls, cell: Cell, folder: Path) -> Found:
        tables = load_file(folder / f"{cell.name}.safetensors")
        notes = json.loads((folder / f"{cell.name}.json").read_text(encoding="utf-8"))
        threshold = best_threshold(tables["valid/score"], tables["valid/label"])
        scheme = whole(cell.data).scheme
        score = tables["test/score"].astype(np.float64)
        evaluated = Evaluated(
            tables["test/label"],
            np.stack([1 - score, score], axis=1),
            (score >= threshold).astype(np.int64),
            tables["test/query"],
            scheme,
        )
        return cls(evaluated, notes)


def best_threshold(score: np.ndarray, label: np.ndarray) -> float:
    """Return the score from which pairs are called mismatches, by the best F1 of the mismatch."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + label.sum())
    last = np.r_[score[order][1:] != score[order][:-1], True]  # equal scores fall on one side
    return float(score[order][int(np.argmax(np.where(last, f1, -1.0)))])


def main() -> None:
    """Make the cells that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--only", choices=("grid", "page"))
    parser.add_argument("--match", default="", help="a pattern of the names of the cells to make")
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error(
            "set PRODMATCH_DATA to the folder that holds homedepot/train.csv and crowdflower/train.csv"
        )
    if options.only != "page":
        for cell in cells():
            if (
                re.search(options.match, cell.name)
                and not (options.rows / f"{cell.name}.safetensors").exists()
            ):
                started = time.perf_counter()
                measure(cell, options.rows)
                print(cell.name, f"{time.perf_counter() - started:.0f} s", flush=True)
    if options.only != "grid":
        from evidence_quarts_page import write

        write(options.rows)


if __name__ == "__main__":
    main()
