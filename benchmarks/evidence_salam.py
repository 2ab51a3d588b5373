"""What the graph and the phases of salam.fusion are worth, three seeds each: docs/explanation/evidence/salam.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_salam.py [--runs DIR] [--only shop|crowdflower] [--page]

Each run is a directory under `--runs`; one that is finished is read, not made again, so a stopped benchmark goes on.
`--page` makes no run and writes the page of those there are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
from evidence_graph_signal import FILE, section
from evidence_salam_page import page
from safetensors.numpy import load_file, save_file

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.progress import Plain
from prodmatch_core.rundata import read_dataset
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember
from prodmatch_salam.edges import proxy

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/evidence/salam.md"
SEEDS = (0, 1, 2)
DATA: Mapping[str, dict[str, Any]] = {
    "shop": {"use": "shop.synthetic", "size": 8_000},
    "crowdflower": {"use": "core.crowdflower"},
}
SPLIT = {"valid": 0.15, "test": 0.3}
"Of the queries of a data set without splits: much for the test, which is what intervals are made of."
TEXT = {"use": "core.ngram", "width": 32, "min_n": 2, "max_n": 3, "buckets": 16_384}
"""The text view: n-grams of characters, which are learnt in seconds. A language model of a useful size would take hours
for all arms and seeds."""
FEATURES = {"use": "core.ngram", "mode": "two_tower", "width": 64, "buckets": 16_384}
EVERYWHERE = {"name": "everywhere", "epochs": 4}
REGION = {"name": "region", "epochs": 2, "learning_rate": 0.0015, "per_locale": True}
BOTH = (EVERYWHERE, REGION)
ARMS: Mapping[str, tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = {
    "text only": ({"views": ["text"]}, BOTH),
    "text + graph": ({}, BOTH),
    "text + graph, three views": ({"compare": False, "strengths": False}, BOTH),
    "text + random graph": ({"edges": "engagements"}, BOTH),
    "phase 2 only": ({}, ({**REGION, "epochs": 6, "learning_rate": 0.004},)),
    "graph only": ({"views": ["graph"]}, BOTH),
    "inductive": ({"setting": "inductive"}, BOTH),
}
"""Arm -> what it changes of the encoder, and its phases. Text + graph is what the paper calls both phases; phase 1 only
is its shared model, which is what a run of that phase alone leaves: the same seed, the same steps. Three views are the
published ones: texts, and a vector of each node. The arms that the others need come first."""


def main() -> None:
    """Make the runs that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "salam")
    parser.add_argument("--only", choices=list(DATA), help="Make the runs of one data set.")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="Make the runs of one seed.")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error("set PRODMATCH_DATA to the folder that holds crowdflower/train.csv")
    if not options.page:
        # Arm by arm: one whose seeds are not all there when it stops is left out of the page.
        for name in [options.only] if options.only else DATA:
            for arm in arms_of(name):
                for seed in SEEDS if options.seed is None else (options.seed,):
                    make_run(name, arm, seed, options.runs)
    if (options.only or options.seed is not None) and not options.page:
        return
    found = {name: {arm: made(name, arm, options.runs) for arm in arms_of(name)} for name in DATA}
    whole = {
        name: {arm: runs for arm, runs in arms.items() if len(runs) == len(SEEDS)}
        for name, arms in found.items()
    }
    signal = options.runs / FILE
    kept = json.loads(signal.read_text(encoding="utf-8")) if signal.is_file() else {}
    PAGE.write_text(page(whole, shared_answers, section(kept) if kept else []), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def shared_answers(run: Run) -> np.ndarray:
    """Return the class probabilities of a run's test rows by its shared model; kept beside the run."""
    kept = run.path / "shared.safetensors"
    if not kept.is_file():
        pipeline = load_pipeline(run.path / "resolved.toml")
        corpus, examples, rows = match_examples(read_dataset(pipeline, context()))
        test = run.decisions.filter(pl.col("split") == "test")
        assert test.select("query_id", "product_id").equals(rows["test"].select("query_id", "product_id"))
        (member,) = pipeline.member
        fitted = FittedMember.load(member, load_task("match"), run.scheme, run.path / "members" / member.name)
        save_file({"test": attrs.evolve(fitted, regions={}).predict(corpus, examples["test"])}, kept)
    return load_file(kept)["test"]


def arms_of(name: str) -> list[str]:
    """Return the arms of a data set: the proxy knows no query outside the training split, nor much of other nodes."""
    return [arm for arm in ARMS if name == "shop" or arm not in ("inductive", "text + graph, three views")]


def folder_of(name: str, arm: str, seed: int, runs: Path) -> Path:
    """Return the run directory of one arm and seed."""
    return runs / f"{name}-{arm.replace(' ', '_').replace('+', 'and')}-{seed}"


def made(name: str, arm: str, runs: Path) -> list[Run]:
    """Return the finished runs of one arm."""
    folders = [folder_of(name, arm, seed, runs) for seed in SEEDS]
    return [Run.open(folder) for folder in folders if (folder / "provenance.json").is_file()]


def make_run(name: str, arm: str, seed: int, runs: Path) -> None:
    """Make one run, if it is not there."""
    out = folder_of(name, arm, seed, runs)
    if (out / "provenance.json").is_file():
        return
    encoder, phases = ARMS[arm]
    data = {**DATA[name], **({"seed": seed} if name == "shop" else {"split": {**SPLIT, "seed": seed}})}
    if arm == "text + random graph":
        folder = runs / "data" / f"{name}-{seed}"
        if not folder.is_dir():
            write_folder(with_random_edges(read(tree(data, {}, BOTH, seed)), seed), folder)
        data = {"use": "core.folder", "path": str(folder.absolute())}
    pipeline = load_pipeline(tree(data, encoder, phases, seed))
    run_pipeline(pipeline, out=out, context=context(), reporter=Plain(sys.stderr))


def tree(
    data: dict[str, Any], encoder: dict[str, Any], phases: tuple[dict[str, Any], ...], seed: int
) -> dict[str, Any]:
    """Return the pipeline of one arm."""
    links = any(not phase.get("per_locale") for phase in phases)
    losses: list[dict[str, Any]] = [{"use": "core.cross_entropy"}]
    if links:
        losses.append({"use": "salam.link", "weight": 0.3, "phases": ["everywhere"]})
    fusion = {
        "use": "salam.fusion",
        "text": TEXT,
        "graph": {"use": "core.mean_nodes", "width": 64, "layers": 2},
        "features": FEATURES,
        **encoder,
    }
    member = {
        "name": "salam",
        "encoder": fusion,
        "sampler": {"use": "core.uniform_sampler", "fanouts": [10, 5]},
        "loss": losses,
        "training": {
            "batch_size": 48,
            "learning_rate": 0.004,
            "patience": 0,
            "locale_share": 0.7,
            "phase": list(phases),
        },
    }
    return {
        "pipeline": {"name": "salam", "seed": seed},
        "data": data,
        "member": [member],
        "evaluation": {"measures": ["micro_f1"], "replicates": 100, "baselines": []},
    }


def context() -> ReadContext:
    """Return where the data is."""
    return ReadContext(root=Path(os.environ["PRODMATCH_DATA"]))


def read(plain: dict[str, Any]) -> Dataset:
    """Return the data set of a pipeline, split as its runs see it."""
    return read_dataset(load_pipeline(plain), context())


def with_random_edges(dataset: Dataset, seed: int) -> Dataset:
    """Return the data set with every edge led to the end of another edge of its relation: degrees stay as they are."""
    edges = dataset.engagements
    if edges is None:
        corpus, examples, _ = match_examples(dataset)
        assert dataset.scheme is not None
        edges = proxy(FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset))
    rng = np.random.default_rng([seed, 7])
    order = edges.with_row_index("row").group_by("relation", maintain_order=True).agg("row")
    target = np.empty(edges.height, dtype=np.int64)
    for rows in order["row"]:
        target[rows.to_numpy()] = rng.permutation(rows.to_numpy())
    mixed = edges.with_columns(edges["dst"].gather(target).alias("dst"))
    keys = ["src_kind", "src", "relation", "dst_kind", "dst"]
    mixed = mixed.filter(pl.col("src") != pl.col("dst")).unique(keys, maintain_order=True, keep="first")
    return attrs.evolve(dataset, engagements=mixed, events=None, groups=None, truth={})


if __name__ == "__main__":
    main()
