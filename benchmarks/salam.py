"""Speed of salam.fusion, and what the full ESCI data cost: docs/explanation/benchmarks-salam.md.

    python benchmarks/salam.py [--only steps pairs esci] [--out DIR]

Each part writes its figures to a JSON file under `--out`; the page is written from those there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
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
from prodmatch_core.data.dataset import Dataset
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
    "links": 0,
}
SAMPLER = {"use": "core.uniform_sampler", "fanouts": [10, 5]}
SHOP = {"use": "shop.synthetic", "size": 3000}
STEPS, BATCH, ROUNDS = 16, 64, 7
PAIRS = 60
QUERIES = (20, 40, 80)
LEAST = 10_000
"Pairs of the largest size from which a line is drawn on."
FULL = {"small, us": 601_000, "large, all locales": 2_622_000}
"Judgements of the official data, in round thousands (arXiv 2206.06588, table 2)."


def main() -> None:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts: dict[str, Callable[[Path], Any]] = {"steps": steps, "pairs": pairs, "esci": esci}
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
    member = {"name": "one", "encoder": encoder, "training": {"epochs": 1, "batch_size": BATCH}}
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
    cross_entropy = load_pipeline(
        {**tree(TEXT), "member": [{"encoder": TEXT, "loss": [{"use": "core.cross_entropy"}]}]}
    )
    loss = cross_entropy.member[0].loss[0].part
    return loop.Fitting(
        model=model,
        losses=[(1.0, loss.spec.load()(loss.config, data.scheme))],
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


# -- the official ESCI files --


def esci(out: Path) -> dict[str, Any]:
    """Return processor seconds and memory of `pipelines/esci.toml`, unchanged, on official files of growing size."""
    plain = {**tree(TEXT), "data": {"use": "shop.synthetic", "size": max(QUERIES) * 30}}
    shop = read_dataset(load_pipeline(plain), ReadContext())
    points = []
    for queries in QUERIES:  # from small to large, because what is read is the largest memory so far
        folder = out / f"esci-{queries}"
        pairs = write_official(shop, folder / "esci", queries)
        pipeline = load_pipeline(ROOT / "pipelines/esci.toml")
        started = time.process_time()
        run_pipeline(pipeline, out=folder / "run", context=ReadContext(root=folder), overwrite=True)
        spent = time.process_time() - started
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        points.append({"pairs": pairs, "seconds": spent, "megabytes": kilobytes / 1024})
        (out / "esci.json").write_text(json.dumps({"points": points, "machine": machine()}), encoding="utf-8")
    return {"points": points, "machine": machine()}


def write_official(dataset: Dataset, folder: Path, queries: int) -> int:
    """Write the two files of the Shopping Queries Data Set, filled from the embedded shop; return the pairs of `us`."""
    assert dataset.judgements is not None and dataset.queries is not None and dataset.products is not None
    english = dataset.queries.filter(pl.col("locale") == "en").head(queries)
    letters = {"exact": "E", "substitute": "S", "complement": "C", "irrelevant": "I"}
    judged = dataset.judgements.join(english, on="query_id", maintain_order="left")
    examples = judged.select(
        pl.int_range(pl.len()).alias("example_id"),
        pl.col("text").alias("query"),
        pl.col("query_id").str.extract(r"(\d+)").cast(pl.Int64),
        "product_id",
        pl.lit("us").alias("product_locale"),
        pl.col("label").replace_strict(letters).alias("esci_label"),
        pl.lit(1).alias("small_version"),
        pl.lit(1).alias("large_version"),
        pl.when(pl.col("split") == "test").then(pl.lit("test")).otherwise(pl.lit("train")).alias("split"),
    )
    names = {
        "title": "title",
        "description": "description",
        "bullets": "bullet_point",
        "brand": "brand",
        "color": "color",
    }
    sold = dataset.products.filter(pl.col("locale") == "en").join(judged, on="product_id", how="semi")
    products = sold.select(
        "product_id",
        *(pl.col(ours).alias(f"product_{theirs}") for ours, theirs in names.items()),
        pl.lit("us").alias("product_locale"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    examples.write_parquet(folder / "shopping_queries_dataset_examples.parquet")
    products.write_parquet(folder / "shopping_queries_dataset_products.parquet")
    return examples.height


# -- the page --


def page(made: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = ["# Speed of text and graph together", "", "    python benchmarks/salam.py", ""]
    if "steps" in made:
        lines += steps_section(made["steps"])
    if "pairs" in made:
        lines += pairs_section(made["pairs"])
    if "esci" in made:
        lines += esci_section(made["esci"])
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
        f"step; median of {len(text)} rounds in turn. {found['machine']}.",
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


def esci_section(found: dict[str, Any]) -> list[str]:
    """Return the scaling curve and what it says of the full data."""
    points = found["points"]
    count, seconds, memory = (
        np.array([point[name] for point in points]) for name in ("pairs", "seconds", "megabytes")
    )
    lines = [
        "## The official ESCI files",
        "",
        "`pipelines/esci.toml`, unchanged, on files in the official format, filled with the embedded shop's pairs.",
        f"Processor time and largest memory of the process. {found['machine']}.",
        "",
        "| pairs | processor s | MB |",
        "|---:|---:|---:|",
        *(f"| {a:,} | {b:.0f} | {c:.0f} |" for a, b, c in zip(count, seconds, memory, strict=True)),
    ]
    commands = [
        "",
        "    prodmatch run pipelines/esci.toml --data DIR",
        "    prodmatch run pipelines/esci.toml --data DIR --set data.version=large --set 'data.locales=[]'",
        "",
    ]
    if count[-1] < LEAST:
        return [
            *lines,
            "",
            "These sizes mostly show what a process needs to begin; no line is drawn from them to the full data. Give",
            f"`QUERIES` in the script larger sizes, up to {LEAST:,} pairs or more, and the page draws it.",
            *commands,
        ]
    slope, start = np.polyfit(count, seconds, 1)
    growth, base = np.polyfit(count, memory, 1)
    lines += [
        "",
        f"That is {start:.0f} s and {1e3 * slope:.1f} s a thousand pairs; {base:.0f} MB and {1e3 * growth:.1f} MB a "
        "thousand pairs. Straight on, which is far beyond what was measured:",
        "",
        "| official data | pairs | processor hours | GB |",
        "|---|---:|---:|---:|",
    ]
    for name, pairs in FULL.items():
        hours, gigabytes = (start + slope * pairs) / 3600, (base + growth * pairs) / 1024
        lines.append(f"| {name} | {pairs:,} | {hours:.1f} | {gigabytes:.1f} |")
    return [*lines, *commands]


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
