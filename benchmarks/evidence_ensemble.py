"""Do trees over members beat every member? On CrowdFlower and the shop: docs/explanation/evidence/ensemble.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_ensemble.py [--runs DIR] [--only crowdflower|shop]

Members are fitted once a seed, by runs under `--runs`, and every aggregator reads the same out-of-fold probabilities.
Runs and answers that are there are read, not made again, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import load_file, save_file

from prodmatch_core.builtin.configs import LogisticConfig, MeanConfig
from prodmatch_core.builtin.logistic import LogisticAggregator
from prodmatch_core.builtin.mean import MeanAggregator
from prodmatch_core.components.aggregator import MemberPredictions, Pairs
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.predictions import stack
from prodmatch_core.progress import Plain
from prodmatch_core.registry import default_registry
from prodmatch_core.rundata import read_dataset
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_ensemble.aggregators import TreesAggregator, table_of
from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.figures import confusion, measured, quality
from prodmatch_ensemble.side import Side
from prodmatch_ensemble.trees import folds_of, held_out

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/evidence/ensemble.md"
PIPELINES = ROOT / "plugins/prodmatch-ensemble/pipelines"
SEEDS = (0, 1, 2)
DATA = ("crowdflower", "shop")
FEW_FOLDS = 2
"Folds beside those of the pipeline file, at the first seed: what it costs to fit members on half of the pairs."
FEW = 500
"Training pairs explained where nobody reads the Shapley values."
PAPER = TreesConfig(
    start="zero",
    rounds=300,
    patience=0,
    learning_rate=0.025,
    leaves=25,
    leaf_rows=25,
    balance=1.0,
    explained=FEW,
)
"The settings of the paper's released code, with a fifth of its rounds at five times its rate."
BALANCES = (TreesConfig().balance, 0.25, 0.5)
"Class weights that validation chooses from, those of *trees* first."
FACTORS = np.exp(np.linspace(-1.2, 1.2, 13))
"Factors of a class's probability that tuning tries."
NAMES = ("noise", "duplicate", "oracle")


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "evidence_ensemble")
    parser.add_argument("--only", choices=DATA)
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error("set PRODMATCH_DATA to the folder that holds crowdflower/train.csv")
    for seed in SEEDS:
        for data in DATA if options.only is None else (options.only,):
            answers(data, seed, options.runs)
            print(data, seed, flush=True)
    for data in DATA if options.only is None else (options.only,):
        answers(data, 0, options.runs, FEW_FOLDS)
        print(data, f"{FEW_FOLDS} folds", flush=True)
    if options.only is None:
        from evidence_ensemble_page import page

        PAGE.write_text(page(options.runs), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


# -- one data set, one seed --------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class World:
    """A run's data, and what its members say of each split; `inside`: of training pairs they were fitted to."""

    run: Run
    data: FitData
    groups: Mapping[str, np.ndarray]
    locales: np.ndarray
    said: Mapping[str, MemberPredictions]
    inside: MemberPredictions
    folds: int


def answers(data: str, seed: int, runs: Path, folds: int = 0) -> None:
    """Write what every arm decides on the test pairs of one data set and seed, and notes on how it came about."""
    out = runs / (f"folds{folds}-{data}-{seed}" if folds else f"{data}-{seed}")
    if out.with_suffix(".safetensors").exists():
        return
    made = world(data, seed, out, folds)
    arms, notes = decided(made, seed)
    test = made.said["test"]
    codes, locale = np.unique(made.locales.astype(str), return_inverse=True)
    arrays = {f"arm:{name}": decisions for name, decisions in arms.items()}
    train = made.said["train"]
    for name, probabilities in held_arms(train, made.data.scheme, seed, notes["balance"]).items():
        arrays[f"held:{name}"] = probabilities.argmax(axis=1)
    arrays |= {"held_labels": train.labels, "held_groups": train.groups, "held_weights": train.weights}
    arrays |= {"labels": test.labels, "groups": test.groups, "locale": locale, "weights": test.weights}
    notes |= {"locales": codes.tolist(), "members": list(test.names), "arms": list(arms)}
    out.with_suffix(".json").write_text(json.dumps(notes, indent=1))
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, out.with_suffix(".safetensors"))


def world(data: str, seed: int, out: Path, folds: int = 0) -> World:
    """Return the run of one data set and seed, made where it is missing; `folds`: 0 for those of the file."""
    file = PIPELINES / f"{data}.toml"
    again = ["data.split.seed"] if data == "crowdflower" else ["data.seed"]
    settings = [f"{name}={seed}" for name in ("pipeline.seed", *again)]
    pipeline = load_pipeline(file, [*settings, f"aggregator.folds={folds}"] if folds else settings)
    context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), base=file.parent)
    if not (out / "provenance.json").is_file():
        run_pipeline(pipeline, out=out, context=context, reporter=Plain(sys.stderr))
    run = Run.open(out)
    dataset = read_dataset(pipeline, context)
    corpus, examples, rows = match_examples(dataset)
    groups = {s: r["query_id"].rank("dense").to_numpy().astype(np.int64) - 1 for s, r in rows.items()}
    names = [member.name for member in pipeline.member]
    tables = {name: load_file(out / "members" / name / "predictions.safetensors") for name in names}
    nothing = attrs.evolve(dataset, truth={})
    said = {}
    for split, found in examples.items():
        silent = [np.full(len(found), np.nan)] * len(names)
        pairs = Pairs(corpus, found, nothing)
        said[split] = stack(names, [tables[name][split] for name in names], silent, pairs, groups[split])
    task = load_task("match")
    fitted = [FittedMember.load(m, task, run.scheme, out / "members" / m.name) for m in pipeline.member]
    inside = [member.predict(corpus, examples["train"]) for member in fitted]
    train = said["train"]
    assert dataset.scheme is not None and pipeline.aggregator is not None
    return World(
        run,
        FitData(corpus, examples["train"], examples["valid"], dataset.scheme, nothing),
        groups,
        np.array(rows["test"]["locale"].to_list(), dtype=object),
        said,
        attrs.evolve(train, probabilities=np.stack(inside, axis=1)),
        pipeline.aggregator.part.config.folds,
    )


def decided(made: World, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return every arm's decisions on the test pairs, and notes."""
    scheme = made.data.scheme
    train, valid, test = (made.said[split] for split in ("train", "valid", "test"))
    labels, weights = train.labels, train.weights
    arms: dict[str, np.ndarray] = {}
    notes: dict[str, Any] = {}

    def tuned(name: str, held: np.ndarray, on_test: np.ndarray) -> None:
        factors = class_factors(held, labels, weights)
        arms[f"{name}, tuned"] = (on_test * factors).argmax(axis=1)

    for place, name in enumerate(test.names):
        arms[name] = test.probabilities[:, place].argmax(axis=1)
        tuned(name, train.probabilities[:, place], test.probabilities[:, place])
    mean = MeanAggregator.build(MeanConfig(), scheme)
    arms["mean"] = mean.combine(test).probabilities.argmax(axis=1)
    tuned("mean", mean.combine(train).probabilities, mean.combine(test).probabilities)
    logistic = LogisticAggregator.build(LogisticConfig(folds=3), scheme)
    logistic.fit(train, seeds.rng(seed, "logistic"))
    arms["logistic"] = logistic.combine(test).probabilities.argmax(axis=1)
    tuned("logistic", logistic.combine(train).probabilities, logistic.combine(test).probabilities)

    paper = trees(PAPER, train, scheme, seed)
    arms["trees, paper's settings"] = paper.combine(test).probabilities.argmax(axis=1)
    begun = trees(TreesConfig(start="logistic", explained=FEW), train, scheme, seed)
    arms["trees on a regression"] = begun.combine(test).probabilities.argmax(axis=1)

    plain = trees(TreesConfig(), train, scheme, seed)
    assert plain.learnt is not None
    rounds = plain.learnt.trees.booster.current_iteration()
    fixed = TreesConfig(rounds=rounds, patience=0, explained=FEW)
    weighted = {b: trees(attrs.evolve(fixed, balance=b), train, scheme, seed) for b in BALANCES[1:]}
    weighted[BALANCES[0]] = plain
    worth = {
        b: sum(all_measures(one.combine(valid).probabilities, valid).values()) for b, one in weighted.items()
    }
    chosen = max(worth, key=worth.__getitem__)
    arms["trees"] = plain.combine(test).probabilities.argmax(axis=1)
    arms["trees, weights by validation"] = weighted[chosen].combine(test).probabilities.argmax(axis=1)
    held = held_trees(fixed, scheme, train, seed)
    tuned("trees", held, plain.combine(test).probabilities)
    side = trees(attrs.evolve(fixed, side=("locale", "lengths")), train, scheme, seed)
    arms["trees, side features"] = side.combine(test).probabilities.argmax(axis=1)

    inside = trees(fixed, made.inside, scheme, seed)
    arms["trees, in-sample"] = inside.combine(test).probabilities.argmax(axis=1)
    notes["in_sample"] = {
        "told in-sample": all_measures(inside.combine(made.inside).probabilities, train),
        "told out of fold": all_measures(held, train),
    }
    arms["one GBDT on raw features"] = raw(made, seed).argmax(axis=1)

    importance = plain.learnt.importance
    ranking = importance.ranking()
    for count in range(len(ranking), 0, -1):
        kept = [name for name in train.names if name in ranking[:count]]
        fitted = trees(fixed, train.of(kept), scheme, seed)
        arms[f"K = {count}"] = fitted.combine(test.of(kept)).probabilities.argmax(axis=1)
    notes |= {
        "folds": made.folds,
        "ranking": ranking,
        "importance": dict(zip(importance.sources, importance.total.tolist(), strict=True)),
        "by_locale": {k: v.tolist() for k, v in importance.by_locale.items()},
        "balance": chosen,
        "rounds": rounds,
        "placed": placed(train, scheme, seed, ranking[0], rounds),
        "counts": {split: len(said.labels) for split, said in made.said.items()},
        "queries": int(test.groups.max()) + 1,
        "seconds": made.run.provenance["seconds"]["members"],
    }
    return arms, notes


def trees(config: TreesConfig, said: MemberPredictions, scheme: Any, seed: int) -> TreesAggregator:
    """Return the ensemble fitted to what the members say of training pairs."""
    made = TreesAggregator.build(config, scheme)
    made.fit(said, seeds.rng(seed, "aggregator"))
    return made


def held_trees(config: TreesConfig, scheme: Any, said: MemberPredictions, seed: int) -> np.ndarray:
    """Return what trees say of training pairs whose queries they have not seen."""
    return held_out(table_of(said, scheme, Side()), config, len(scheme.labels), seed)


def held_arms(said: MemberPredictions, scheme: Any, seed: int, balance: float) -> dict[str, np.ndarray]:
    """Return what members and aggregators say of training pairs whose queries neither of them has seen."""
    found = {name: said.probabilities[:, place] for place, name in enumerate(said.names)}
    found["mean"] = said.probabilities.mean(axis=1)
    fold, logistic = folds_of(said.groups, seed), np.empty(found["mean"].shape)
    for number in np.unique(fold):
        made = LogisticAggregator.build(LogisticConfig(folds=3), scheme)
        made.fit(said.take(np.flatnonzero(fold != number)), seeds.rng(seed, "logistic"))
        out = np.flatnonzero(fold == number)
        logistic[out] = made.combine(said.take(out)).probabilities
    found["logistic"] = logistic
    for name, config in (
        ("trees on a regression", TreesConfig(start="logistic")),
        ("trees", TreesConfig()),
        ("trees, weights by validation", TreesConfig(balance=balance)),
    ):
        found[name] = held_trees(config, scheme, said, seed)
    return found


def all_measures(probabilities: np.ndarray, said: MemberPredictions) -> dict[str, float]:
    """Return accuracy, macro F1 and weighted F1 of the likeliest classes."""
    classes = probabilities.shape[1]
    return measured(confusion(said.labels, probabilities.argmax(axis=1), said.weights, classes))


def class_factors(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the factors of the classes' probabilities with the best macro F1, found one class at a time."""
    factors = np.ones(probabilities.shape[1])
    best = quality(probabilities, labels, weights)
    for _ in range(3):
        for place in range(len(factors)):
            for factor in FACTORS:
                tried = factors.copy()
                tried[place] = factor
                found = quality(probabilities * tried, labels, weights)
                if found > best:
                    best, factors = found, tried
    return factors


def raw(made: World, seed: int) -> np.ndarray:
    """Return test probabilities of one LightGBM on all the features that the members' own trees read."""
    import lightgbm

    from prodmatch_baselines.features import LexicalFeatures
    from prodmatch_baselines.plugin import LexicalGBDTConfig
    from prodmatch_ensemble import sgc

    data = made.data
    words = LexicalFeatures.of(LexicalGBDTConfig(), data.corpus)
    file = load_pipeline(made.run.path / "resolved.toml", registry=default_registry())
    graphs = [
        (
            m.encoder.config,
            sgc.SmoothedGraph.load(m.encoder.config, made.run.path / "members" / m.name / "assets"),
        )
        for m in file.member
        if m.encoder.name == "ensemble.sgc"
    ]

    def features(said: MemberPredictions) -> np.ndarray:
        assert said.pairs is not None
        examples = said.pairs.examples
        columns = [words.columns(data.corpus, examples)]
        columns += [sgc.features(graph, part.nodes, data.corpus, examples) for graph, part in graphs]
        return np.hstack(columns)

    train, valid = (
        lightgbm.Dataset(features(made.said[s]), made.said[s].labels, weight=made.said[s].weights)
        for s in ("train", "valid")
    )
    parameters = {
        "objective": "multiclass",
        "num_class": len(data.scheme.labels),
        "learning_rate": 0.1,
        "num_leaves": 15,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "num_threads": 1,
    }
    booster = lightgbm.train(
        parameters, train, 300, valid_sets=[valid], callbacks=[lightgbm.early_stopping(20, verbose=False)]
    )
    return np.asarray(booster.predict(features(made.said["test"])))


def placed(said: MemberPredictions, scheme: Any, seed: int, first: str, rounds: int) -> dict[str, Any]:
    """Return the members' importance with one more member: noise, a copy of the most important, one that knows."""
    rng = seeds.rng(seed, "placed")
    count, _, classes = said.probabilities.shape
    more: dict[str, Callable[[], np.ndarray]] = {
        "noise": lambda: rng.dirichlet(np.ones(classes), size=count),
        "duplicate": lambda: said.probabilities[:, said.names.index(first)],
        "oracle": lambda: 0.9 * np.eye(classes)[said.labels] + 0.1 / classes,
    }
    found = {}
    for name in NAMES:
        wider = attrs.evolve(
            said,
            names=(*said.names, name),
            probabilities=np.concatenate([said.probabilities, more[name]()[:, None]], axis=1),
            uncertainty=np.full((count, len(said.names) + 1), np.nan),
        )
        row = {}
        for start in ("zero", "logistic"):
            made = trees(
                TreesConfig(start=start, rounds=rounds, patience=0, explained=4 * FEW), wider, scheme, seed
            )
            assert made.learnt is not None
            importance = made.learnt.importance
            row[start] = dict(zip(importance.sources, importance.total.tolist(), strict=True))
        found[name] = row
    return found


if __name__ == "__main__":
    main()
