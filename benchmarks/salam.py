"""Speed of salam.fusion beside its text view alone, in training and pair by pair: docs/explanation/benchmarks-salam.md.

    python benchmarks/salam.py [--only steps pairs] [--out DIR]

Each part writes its figures to a JSON file under `--out`; the page is written from those there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import torch

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.records import Part
from prodmatch_core.rundata import read_dataset
from prodmatch_core.runner import run_pipeline
from prodmatch_core.sections import Training
from prodmatch_core.tasks.match import MatchTask
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.model import MemberModel
from prodmatch_salam.serving import PairScorer

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/explanation/benchmarks-salam.md"
TEXT = {"use": "core.transformer", "fields": ["title", "bullets"], "max_length": 64}
FUSED = {
    "use": "salam.fusion",
    "text": TEXT,
    "graph": {"use": "core.mean_nodes", "width": 64, "layers": 2},
}
SAMPLER = {"use": "core.uniform_sampler", "fanouts": [10, 5]}
SHOP = {"use": "shop.synthetic", "size": 3000}
STEPS, BATCH, ROUNDS = 16, 64, 7
PAIRS = 200


def main() -> None:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts: dict[str, Callable[[Path], Any]] = {"steps": steps, "pairs": pairs}
    parser.add_argument("--only", choices=list(parts), nargs="+")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "salam-bench")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only or parts:
        found = parts[name](options.out)
        (options.out / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    made = {
        name: json.loads((options.out / f"{name}.json").read_text(encoding="utf-8"))
        for name in parts
        if (options.out / f"{name}.json").is_file()
    }
    PAGE.write_text(page(made), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def tree(encoder: dict[str, Any]) -> dict[str, Any]:
    """Return a pipeline of one member, trained for one epoch."""
    fused = encoder["use"] == "salam.fusion"
    loss = [{"use": "core.cross_entropy"}, *[{"use": "salam.link", "weight": 0.3}] * fused]
    member = {
        "name": "one",
        "encoder": encoder,
        "loss": loss,
        "training": {"epochs": 1, "batch_size": BATCH},
    }
    return {
        "pipeline": {"name": "bench"},
        "data": SHOP,
        "member": [{**member, "sampler": SAMPLER} if fused else member],
        "evaluation": {"replicates": 100, "baselines": []},
    }


# -- a training step --


def steps(out: Path) -> dict[str, Any]:
    """Return seconds a training step of the text view alone and of the fused model, round by round, in turn."""
    data = fit_data()
    jobs = {"text": job(TEXT, data), "fused": job(FUSED, data)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for number in range(ROUNDS + 1):
        for name, made in jobs.items():
            wall, processor = time.perf_counter(), time.process_time()
            loop.fit(attrs.evolve(made, seed=number))
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            if number:  # the first round warms up
                found[name].append((spent[0] / STEPS, spent[1] / STEPS))
    return {"rounds": found, "batch": BATCH, "machine": machine()}


def fit_data() -> FitData:
    """Return the shop's pairs, as many of training as the steps of a round take."""
    dataset = read_dataset(load_pipeline(tree(TEXT)), ReadContext())
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    (member,) = load_pipeline(tree(FUSED)).member
    train = examples["train"].take(slice(0, STEPS * BATCH))
    return FitData(corpus, train, examples["valid"], dataset.scheme, dataset, sampler=member.sampler)


def job(encoder: dict[str, Any], data: FitData) -> loop.Fitting:
    """Return the fitting of one member that validates nothing."""
    part: Part = load_pipeline(tree(encoder)).member[0].encoder
    with seeds.torch_seed(0, "weights"):
        made = part.spec.load().build(part.config, data, seeds.rng(0, "build"))
        task = MatchTask()
        model = MemberModel(made, task.head(made.width, part.gives, data.scheme), task)
    terms = load_pipeline(tree(encoder)).member[0].loss
    return loop.Fitting(
        model=model,
        losses=[(term.weight, term.part.spec.load()(term.part.config, data.scheme)) for term in terms],
        data=data,
        prepared=made.prepare(data.corpus),
        settings=Training(batch_size=BATCH, epochs=1),
        validate=lambda model: {"none": 0.0},
        measure="none",
        higher=True,
        seed=0,
        name="bench",
    )


# -- one pair at a time --


def pairs(out: Path) -> dict[str, Any]:
    """Return seconds a pair: of both models, for pairs the graph does not know, knows, and that were asked before."""
    scorers = {}
    for name, encoder in (("text", TEXT), ("fused", FUSED)):
        folder = out / name
        if not (folder / "provenance.json").is_file():
            run_pipeline(load_pipeline(tree(encoder)), out=folder, overwrite=True)
        scorers[name] = PairScorer.load(folder)
    asked = test_pairs()
    found: dict[str, list[tuple[float, float]]] = {
        f"{name} {kind}": [] for name in scorers for kind in ("cold", "warm", "cached")
    }
    for query, title, locale, query_id, product_id in asked:
        named = {"locale": locale, "query_id": query_id, "product_id": product_id}
        for name, scorer in scorers.items():
            # A space more makes another pair of the same words.
            for kind, words, fields in (
                ("cold", f"{query} ", {"locale": locale}),
                ("warm", query, named),
                ("cached", query, named),
            ):
                wall, processor = time.perf_counter(), time.process_time()
                scorer.score(words, title, **fields)
                found[f"{name} {kind}"].append((time.perf_counter() - wall, time.process_time() - processor))
    warm_up = 10
    return {"seconds": {name: values[warm_up:] for name, values in found.items()}, "machine": machine()}


def test_pairs() -> list[tuple[str, ...]]:
    """Return query, title, locale and identifiers of test pairs of the shop."""
    dataset = read_dataset(load_pipeline(tree(TEXT)), ReadContext())
    assert dataset.judgements is not None and dataset.queries is not None and dataset.products is not None
    rows = dataset.judgements.filter(pl.col("split") == "test").join(dataset.queries, on="query_id")
    rows = rows.join(dataset.products, on=["product_id", "locale"]).head(PAIRS + 10)
    return rows.select("text", "title", "locale", "query_id", "product_id").rows()


# -- the page --


def page(made: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = ["# Speed of text and graph together", "", "    python benchmarks/salam.py", ""]
    if "steps" in made:
        lines += steps_section(made["steps"])
    if "pairs" in made:
        lines += pairs_section(made["pairs"])
    lines.append("What the official ESCI files cost: [the ESCI pipeline at scale](esci-scale.md).")
    return "\n".join(lines).rstrip() + "\n"


def steps_section(found: dict[str, Any]) -> list[str]:
    """Return the table of training steps."""
    text, fused = (np.array(found["rounds"][name]) for name in ("text", "fused"))
    wall, processor = (np.median(fused[:, column] / text[:, column]) for column in (0, 1))
    rows = [
        f"| {name} | {1e3 * np.median(values[:, 0]):.1f} | {1e3 * np.median(values[:, 1]):.1f} |"
        for name, values in (("`core.transformer` alone", text), ("`salam.fusion` over it", fused))
    ]
    return [
        "## A training step",
        "",
        f"Batches of {found['batch']} pairs, features kept, neighbourhoods of 10 and 5 drawn by threads ahead of the",
        f"step, links learnt beside the labels; median of {len(text)} rounds in turn. {found['machine']}.",
        "",
        "| | ms a step | processor ms a step |",
        "|---|---:|---:|",
        *rows,
        f"| ratio (not to exceed 1.35) | {wall:.2f} | {processor:.2f} |",
        "",
    ]


def pairs_section(found: dict[str, Any]) -> list[str]:
    """Return the table of single pairs."""
    seconds = {name: np.array(values) for name, values in found["seconds"].items()}
    lines = [
        "## One pair at a time",
        "",
        "`PairScorer` on the embedded shop's test pairs. Cold: the graph knows neither side. Warm: it is asked with",
        "identifiers, and the vectors of the nodes it knows are there; a pair with an edge between its two nodes reads",
        f"its own neighbourhood instead. Cached: the pair was asked before. {found['machine']}.",
        "",
        "| | p50 | p95 | processor, p50 | processor, p95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in seconds.items():
        cells = [_time(np.quantile(column, share)) for column in values.T for share in (0.5, 0.95)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratio = np.median(seconds["fused warm"][:, 1] / seconds["text warm"][:, 1])
    floor = np.median(seconds["fused cold"][:, 1] / seconds["text cold"][:, 1])
    lines += [
        "",
        f"A warm pair takes {ratio:.2f} times what it takes the text view alone (not to exceed 1.2), a cold one "
        f"{floor:.2f} times; medians of pair-by-pair ratios of processor time.",
        "",
    ]
    return lines


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms" if seconds > 1e-3 else f"{1e6 * seconds:.1f} µs"


def machine() -> str:
    """Return what was measured on."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, torch {torch.__version__.split('+')[0]}), "
        f"load {load:.0f} when measured"
    )


if __name__ == "__main__":
    main()
