"""When do many thresholds pay? On real data and in a world with known truth: docs/explanation/evidence/uncertainty.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_uncertainty.py [--rows FILE] [--only real|map|promise] [--most N]

Rows that FILE already holds are not made again, nor predictions in `runs/evidence_uncertainty`, so a stopped benchmark
goes on; --most makes N pieces and stops without writing the page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.metrics import average_precision_score

from prodmatch_core.components.calibrator import match_score
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus, Examples, match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.member import fit_member
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.guarantee import guaranteed
from prodmatch_uncertainty.methods import METHODS, Settings
from prodmatch_uncertainty.sample import Goal, Outcome, Sample, outcome

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/evidence/uncertainty.md"
PREDICTIONS = ROOT / "runs" / "evidence_uncertainty"
SAMPLED = ("score", "uncertainty", "positive", "groups")
"What is kept of a row."
SEEDS = (0, 1, 2, 3, 4)
RATES = (1, 3, 5)
TARGETS = (0.7, 0.8, 0.9, 0.95)
SETTINGS = Settings(levels=5, bins=100)
SWEEP = [(3, 50), (5, 100), (5, 500), (10, 100)]
CONFIDENCE = 0.95
PLACEBOS = 5
"How often levels are drawn at random for the placebo, whose figures are averaged."
PLANES = ("dp", "mist")
PROMISED = ("threshold", "mist", "dp")
DATA = {
    "homedepot": ("Home Depot, match = a mean rating of 2.67 and above", "core.homedepot", "perfect"),
    "crowdflower": ("CrowdFlower, match = a median rating of 4", "core.crowdflower", "excellent"),
}
TRAIN_ROWS = 12_000
"Training rows that are used, drawn anew for each seed: more change little and take long."
NGRAM = {"use": "core.ngram", "width": 16, "buckets": 2**14, "max_n": 4}
TRAINING = {"epochs": 3, "learning_rate": 0.004, "batch_size": 128, "measure": "average_precision"}
ESTIMATORS = {
    "posterior": "posterior network",
    "dropout": "Monte-Carlo dropout",
    "ensemble": "deep ensemble of 3",
    "members": "n-grams and word overlap",
}
PROMISE_ROWS = (1000, 4000)
REPEATS = 200
SPREADS = {"none": (20, 20), "tenfold": (6, 60), "hundredfold": (2, 200)}
HELD = (1000, 5000, 25_000)


def main() -> None:
    """Make the rows that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "evidence_uncertainty.jsonl")
    parser.add_argument("--only", choices=list(PIECES))
    parser.add_argument("--most", type=int, default=10**9)
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error(
            "set PRODMATCH_DATA to the folder that holds crowdflower/train.csv and homedepot/train.csv"
        )
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    )
    made = 0
    for kind, (keys, make) in PIECES.items():
        for key in keys() if options.only in (None, kind) else ():
            if any({"kind": kind, **key}.items() <= row.items() for row in rows):
                continue
            if made == options.most:
                return
            found = [{"kind": kind, **key, **row} for row in make(**key)]
            rows += found
            with options.rows.open("a") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in found)
            made += 1
            print(kind, *key.values(), flush=True)
    if options.only is None:
        from evidence_uncertainty_page import page

        PAGE.write_text(page(rows), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


# -- real data -----------------------------------------------------------------------------------------------


def real_keys() -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        for data in DATA:
            for rate in RATES:
                yield {"data": data, "rate": rate, "seed": seed}


def real(data: str, rate: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each estimator, with every method's figures."""
    for estimator, held, unseen in predicted(data, rate, seed):
        row: dict[str, Any] = {"estimator": estimator, **condition(held, unseen)}
        row["average_precision"] = float(average_precision_score(unseen.positive, unseen.score))
        row["methods"] = {
            f"{name}@{target}": one(name, held, unseen, SETTINGS, target, seed)
            for name in METHODS
            for target in TARGETS
        }
        row["equal"] = equal_precision(held, unseen, SETTINGS, TARGETS, seed)
        row["sweep"] = {
            f"{levels}x{bins}": equal_precision(
                held, unseen, Settings(levels, bins), (0.8,), seed, ("dp",), 2
            )
            for levels, bins in SWEEP
        }
        yield row


def predicted(data: str, rate: int, seed: int) -> Iterator[tuple[str, Sample, Sample]]:
    """Yield each estimator with what it says of hold-out and test, fitted once and kept beside the rows."""
    path = PREDICTIONS / f"{data}-{rate}-{seed}.safetensors"
    if not path.exists():
        fit, corpus, test = read(data, rate, seed)
        table = {}
        for estimator, judge in estimators(fit, seed).items():
            for where, examples in (("held", fit.valid), ("test", test)):
                for name, values in sample_of(fit, corpus, examples, judge).items():
                    table[f"{estimator}/{where}/{name}"] = values
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(table, path)
    table = load_file(path)
    for estimator in ESTIMATORS:
        samples = [
            Sample.of(*(table[f"{estimator}/{where}/{name}"] for name in SAMPLED))
            for where in ("held", "test")
        ]
        yield estimator, samples[0], samples[1]


def read(data: str, rate: int, seed: int) -> tuple[FitData, Corpus, Examples]:
    """Return what estimators may learn from, negatives of training rows kept at one in `rate`, and the test rows."""
    _, part, positive = DATA[data]
    pipeline = load_pipeline(
        {
            "pipeline": {"name": "uncertainty"},
            "data": {"use": part, "scheme": "graded", "split": {"seed": seed, "valid": 0.2, "test": 0.3}},
            "member": [{"encoder": NGRAM}],
        }
    )
    section = pipeline.data
    context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), split=section.split)
    dataset = section.part.spec.load()(section.part.config, context)
    dataset = attrs.evolve(dataset, scheme=attrs.evolve(dataset.scheme, positive=(positive,)))
    corpus, examples, _ = match_examples(dataset)
    rng = np.random.default_rng([seed, rate])
    train = examples["train"].take(np.sort(rng.permutation(len(examples["train"]))[:TRAIN_ROWS]))
    positives = train.label == dataset.scheme.index(positive)
    train = train.take(positives | (rng.random(len(train)) < 1 / rate))
    return FitData(corpus, train, examples["valid"], dataset.scheme, dataset), corpus, examples["test"]


Judge = Callable[[Corpus, Examples], tuple[np.ndarray, np.ndarray]]
"Rows to class probabilities and uncertainty."


def estimators(fit: FitData, seed: int) -> dict[str, Judge]:
    """Return the estimators, fitted."""
    ensemble = fitted(
        fit, seed, {"use": "uncertainty.ensemble", "encoder": NGRAM, "members": 3, "training": TRAINING}, {}
    )
    overlap = fitted(fit, seed, {"use": "core.overlap"}, {})
    first = ensemble.model.members[0]

    def members(corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        both = np.stack([model.predict(corpus, examples) for model in (first, overlap)], axis=1)
        score = np.stack([match_score(both[:, m], fit.scheme) for m in range(2)], axis=1)
        return both.mean(axis=1), score.var(axis=1)

    return {
        "posterior": fitted(
            fit,
            seed,
            {"use": "uncertainty.posterior", "encoder": NGRAM},
            {"training": TRAINING, "loss": [{"use": "uncertainty.uce"}]},
        ).predict_with_uncertainty,
        "dropout": fitted(
            fit,
            seed,
            {"use": "uncertainty.mc_dropout", "encoder": NGRAM, "samples": 10},
            {"training": TRAINING},
        ).predict_with_uncertainty,
        "ensemble": ensemble.predict_with_uncertainty,
        "members": members,
    }


def fitted(fit: FitData, seed: int, encoder: dict[str, Any], more: dict[str, Any]) -> Any:
    """Return a member fitted on the training rows, its best epoch chosen on the validation rows."""
    tree = {
        "pipeline": {"name": "uncertainty"},
        "data": {"use": "core.homedepot"},
        "member": [{"name": "m", "encoder": encoder, **more}],
    }
    return fit_member(load_pipeline(tree).member[0], fit, load_task("match"), default_registry(), seed)


def sample_of(fit: FitData, corpus: Corpus, examples: Examples, judge: Judge) -> dict[str, np.ndarray]:
    """Return rows with the score and uncertainty an estimator gives them; groups are queries."""
    probabilities, unsure = judge(corpus, examples)
    positive = np.isin(examples.label, [fit.scheme.index(label) for label in fit.scheme.positive])
    values = (match_score(probabilities, fit.scheme), unsure, positive, examples.query)
    return dict(zip(SAMPLED, values, strict=True))


def condition(held: Sample, unseen: Sample) -> dict[str, float]:
    """Return what the claim rests on: at the same score, how positivity differs between sure and unsure rows.

    Rows are binned by the score; in each bin the positivity of the surer half less that of the other, averaged.
    """
    edges = np.quantile(unseen.score, np.linspace(0, 1, 11)[1:-1])
    bins = np.searchsorted(edges, unseen.score)
    gaps = {"low": [], "high": []}
    for number in range(10):
        rows = np.flatnonzero(bins == number)
        if len(rows) < 20:
            continue
        sure = unseen.uncertainty[rows] <= np.median(unseen.uncertainty[rows])
        if sure.all():
            continue
        gap = unseen.positive[rows][sure].mean() - unseen.positive[rows][~sure].mean()
        gaps["low" if number < 5 else "high"].append(float(gap))
    return {
        "held_rows": len(held),
        "test_rows": len(unseen),
        "base": float(unseen.positive.mean()),
        **{f"gap_{name}": statistics.mean(found) if found else 0.0 for name, found in gaps.items()},
    }


# -- measuring boundaries ------------------------------------------------------------------------------------


def one(
    name: str, held: Sample, unseen: Sample, settings: Settings, target: float, seed: int
) -> dict[str, Any]:
    """Return what one boundary does on hold-out and test, with and without confidence."""
    goal = Goal("recall", target)
    plain = METHODS[name].best(held, settings, goal)
    found: dict[str, Boundary | None] = {"plain": plain}
    if name in PROMISED:
        rng = np.random.default_rng([seed, 7])
        found["sure"] = guaranteed(METHODS[name], held, settings, goal, CONFIDENCE, rng).boundary
    row: dict[str, Any] = {}
    for label, boundary in found.items():
        boundary = boundary or Boundary.nothing()
        for where, sample in (("held", held), ("test", unseen)):
            did = outcome(sample, boundary.accepts(sample.score, sample.uncertainty))
            row[f"{label}_{where}_recall"] = did.recall
            row[f"{label}_{where}_precision"] = did.precision if did.rows else None
    return row


def equal_precision(
    held: Sample,
    unseen: Sample,
    settings: Settings,
    targets: Sequence[float],
    seed: int,
    planes: Sequence[str] = PLANES,
    placebos: int = PLACEBOS,
) -> dict[str, float]:
    """Return recall at a precision *on test* of each method's whole frontier, and of its placebo.

    The boundaries, from strict to lenient, are fitted on the hold-out; where on their curve the precision on test is
    what is asked, recall counts, for every method alike.
    """
    found = {"threshold": recalls(held, unseen, "threshold", settings, targets)}
    for name in planes:
        found[name] = recalls(held, unseen, name, settings, targets)
        rng = np.random.default_rng([seed, 11])
        placebo = []
        for _ in range(placebos):
            shuffled = [attrs.evolve(s, uncertainty=rng.permutation(s.uncertainty)) for s in (held, unseen)]
            placebo.append(recalls(*shuffled, name, settings, targets))
        found[f"{name} placebo"] = np.mean(placebo, axis=0)
    return {
        f"{name}@{target}": float(value)
        for name, values in found.items()
        for target, value in zip(targets, values, strict=True)
    }


def recalls(
    held: Sample, unseen: Sample, name: str, settings: Settings, targets: Sequence[float]
) -> np.ndarray:
    """Return the most recall on test at each precision on test, over the frontier fitted on the hold-out.

    Between two neighbours of the frontier a coin may decide: else random levels would seem to help by dividing rows of
    one score.
    """
    points = [(0.0, 0.0)]
    for boundary in METHODS[name].frontier(held, settings):
        accepted = boundary.accepts(unseen.score, unseen.uncertainty)
        points.append((np.count_nonzero(accepted), np.count_nonzero(accepted & unseen.positive)))
    rows, positives = np.array(points, dtype=np.float64).T
    best = []
    for target in targets:
        slack = positives - target * rows
        here, after = slack[:-1], slack[1:]
        share = np.where((here >= 0) & (after < 0), here / np.where(here > after, here - after, 1), 0.0)
        between = np.where(here >= 0, positives[:-1] + share * np.diff(positives), 0.0)
        best.append(max(between.max(), float(np.where(slack >= 0, positives, 0.0).max())))
    return np.array(best) / unseen.positive.sum()


# -- a world with known truth --------------------------------------------------------------------------------


def beta_world(rows: int, rate: float, spread: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Return rows whose truth is drawn from a known probability, judged by trials with few negatives kept.

    A row's probability is a draw of Beta(0.3, 0.3). What is known of it are some trials, between the bounds of
    `spread`, evenly on a logarithmic scale; a negative trial is kept with probability 1 / rate. Score and uncertainty
    are mean and variance of the Beta distribution that the kept trials make of an even prior.
    """
    truth = rng.beta(0.3, 0.3, rows)
    low, high = np.log(spread)
    trials = np.round(np.exp(rng.uniform(low, high, rows))).astype(int)
    hits = rng.binomial(trials, truth)
    kept = rng.binomial(trials - hits, 1 / rate)
    alpha, beta = 1.0 + hits, 1.0 + kept
    score = alpha / (alpha + beta)
    return Sample.of(score, score * (1 - score) / (alpha + beta + 1), rng.random(rows) < truth)


def map_keys() -> Iterator[dict[str, Any]]:
    for rate in RATES:
        for spread in SPREADS:
            for held in HELD:
                yield {"rate": rate, "spread": spread, "held": held}


def map_cell(rate: int, spread: str, held: int) -> Iterator[dict[str, Any]]:
    """Yield one row a seed: recall at a precision of 0.9 on test."""
    for seed in SEEDS:
        rng = np.random.default_rng([seed, rate, held, len(spread)])
        some, unseen = (beta_world(n, rate, SPREADS[spread], rng) for n in (held, 60_000))
        yield {"seed": seed, **equal_precision(some, unseen, SETTINGS, (0.9,), seed)}


def promise_keys() -> Iterator[dict[str, Any]]:
    for held in PROMISE_ROWS:
        for name in PROMISED:
            yield {"held": held, "method": name}


def promise(held: int, method: str) -> Iterator[dict[str, Any]]:
    """Yield how often a precision of 0.9 was kept on a large test set, over fresh hold-outs."""
    unseen = beta_world(100_000, 5, SPREADS["hundredfold"], np.random.default_rng(99))
    goal = Goal("recall", 0.9)
    for confidence in (0.0, 0.8, CONFIDENCE):
        kept, reached = [], []
        for repeat in range(REPEATS):
            rng = np.random.default_rng([held, repeat])
            some = beta_world(held, 5, SPREADS["hundredfold"], rng)
            if confidence:
                boundary = guaranteed(METHODS[method], some, SETTINGS, goal, confidence, rng).boundary
            else:
                boundary = METHODS[method].best(some, SETTINGS, goal)
            found = (
                Outcome(0, 0, 1)
                if boundary is None
                else outcome(unseen, boundary.accepts(unseen.score, unseen.uncertainty))
            )
            kept.append(not found.rows or found.precision >= goal.target)
            reached.append(found.recall)
        yield {"confidence": confidence, "kept": float(np.mean(kept)), "recall": float(np.mean(reached))}


PIECES: dict[str, tuple[Callable[[], Iterable[dict[str, Any]]], Callable[..., Iterable[dict[str, Any]]]]] = {
    "real": (real_keys, real),
    "map": (map_keys, map_cell),
    "promise": (promise_keys, promise),
}


if __name__ == "__main__":
    main()
