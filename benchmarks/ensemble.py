"""Speed of ensembles, of the label cache and of cascades: docs/explanation/benchmarks-ensemble.md.

    PRODMATCH_DATA=DIR python benchmarks/ensemble.py [--rows 500000] [--rounds 40] [--only PART]

Processor time of one thread, because other work on a machine changes it least. The cascade and the cache read the run
of CrowdFlower that `evidence_ensemble.py` leaves in `runs/evidence_ensemble`; where it is missing it is made, in
minutes. What was measured before is read from runs/benchmark_ensemble.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import lightgbm
import numpy as np

from prodmatch_core.components.aggregator import MemberPredictions
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.serving.label_store import LabelStore
from prodmatch_core.training import seeds
from prodmatch_ensemble.aggregators import table_of
from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.importance import importance_of
from prodmatch_ensemble.side import Side
from prodmatch_ensemble.trees import Trees, grown, parameters, softmax, trainable

if TYPE_CHECKING:
    import polars as pl

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "benchmarks-ensemble.md"
RUNS = ROOT / "runs" / "evidence_ensemble"
MEMBERS = 6
TURNS = 3
EXPLAINED = 500_000
SCORED = 100_000
LOST = 0.005

Line = tuple[str, str, str]
"What was measured, the figure, and what is wanted."


def main() -> None:
    """Measure what is missing, print the page, and write it where nothing is missing and sizes are the defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--kept", type=Path, default=ROOT / "runs" / "benchmark_ensemble.json")
    parser.add_argument("--only", choices=("aggregation", "look_ups", "cache", "cascade"))
    options = parser.parse_args()
    run = options.runs / "crowdflower-0"
    there = "PRODMATCH_DATA" in os.environ
    parts: dict[str, Callable[[], Iterator[Line]]] = {
        "aggregation": lambda: aggregation(options.rows, options.rounds),
        "look_ups": look_ups,
        **({"cache": lambda: cache(made(run)), "cascade": lambda: cascade(run)} if there else {}),
    }
    kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    for name, measured in parts.items():
        if options.only in (None, name) and name not in kept:
            kept[name] = list(measured())
            options.kept.parent.mkdir(parents=True, exist_ok=True)
            now = json.loads(options.kept.read_text()) if options.kept.exists() else {}
            options.kept.write_text(json.dumps(now | {name: kept[name]}, indent=1))
    written = page([line for name in parts for line in kept.get(name, [])], options.rows, options.rounds)
    print(written)
    if set(kept) < {*parts, "cache", "cascade"}:
        print("not written: parts are missing; `cache` and `cascade` need PRODMATCH_DATA")
    elif (options.rows, options.rounds) == (parser.get_default("rows"), parser.get_default("rounds")):
        PAGE.write_text(written, encoding="utf-8")


def made(run: Path) -> Path:
    """Return the run of the evidence's first world, made where it is missing; that takes minutes."""
    from evidence_ensemble import world

    world("crowdflower", 0, run)
    return run


def spent(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` gives and the processor seconds it took."""
    started = time.process_time()
    return work(), time.process_time() - started


def in_turn(theirs: Callable[[], Any], ours: Callable[[], Any]) -> tuple[Any, Any, float, float]:
    """Return what two give that take turns, and the median processor seconds of each."""
    made, seconds = [None, None], np.zeros((TURNS, 2))
    for turn in range(TURNS):
        for side, work in enumerate((theirs, ours)):
            made[side], seconds[turn, side] = spent(work)
    least, most = np.median(seconds, axis=0)
    return *made, float(least), float(most)


def predictions(rows: int) -> MemberPredictions:
    """Return six members over four classes, of queries with twenty pairs each."""
    rng = seeds.rng(0, "bench")
    labels = rng.choice(4, size=rows, p=[0.6, 0.22, 0.04, 0.14])
    truth = np.eye(4, dtype=np.float32)[labels]
    tables = [
        softmax(skill * truth + rng.normal(0, 1, (rows, 4)).astype(np.float32))
        for skill in np.linspace(0.6, 1.6, MEMBERS)
    ]
    names = tuple(f"m{number}" for number in range(MEMBERS))
    return MemberPredictions(names, np.stack(tables, axis=1), labels, np.arange(rows) // 20, np.ones(rows))


def aggregation(rows: int, rounds: int) -> Iterator[Line]:
    """Yield training, contributions and scoring beside LightGBM's own."""
    config = TreesConfig(start="zero", rounds=rounds, patience=0, row_fraction=1.0)
    table = table_of(predictions(rows), ESCI, Side())
    settings = {**parameters(config, 4, 0), "num_threads": 1}

    def plain() -> lightgbm.Booster:
        data = lightgbm.Dataset(table.values, table.labels, weight=table.weights)
        return lightgbm.train(settings, data, num_boost_round=rounds)

    def ours() -> Trees:
        return grown(trainable(table), config, 4, 0, rounds)

    theirs, made, least, most = in_turn(plain, ours)
    yield "training, LightGBM alone", f"{least:.1f} s", ""
    yield "training, `ensemble.lightgbm`", f"{most:.1f} s", ""
    yield "overhead of training", f"{most / least - 1:+.1%}", "at most 5%"
    some = table.take(slice(0, EXPLAINED))
    _, _, least, most = in_turn(
        lambda: theirs.predict(some.values, pred_contrib=True, num_threads=1),
        lambda: importance_of(made, some),
    )
    yield f"contributions of {len(some):,} pairs, LightGBM alone", f"{least:.1f} s", ""
    yield "the same, added up by member and class", f"{most:.1f} s", ""
    yield "overhead of contributions", f"{most / least - 1:+.1%}", "at most 5%"
    some = table.take(slice(0, SCORED))
    _, seconds = spent(lambda: made.predict(some))
    yield f"scoring {SCORED:,} pairs", f"{SCORED / seconds:,.0f} pairs a second", ""


def look_ups() -> Iterator[Line]:
    """Yield look-ups a second in a store of a million answers."""
    rng = seeds.rng(0, "store")
    with tempfile.TemporaryDirectory() as folder:
        store = LabelStore.open(Path(folder), 9, 2_000_000)
        keys = rng.integers(2**63, size=(1_000_000, 2)).astype(np.uint64)
        for begin in range(0, len(keys), 250_000):
            part = keys[begin : begin + 250_000]
            store.add(part, np.ones((len(part), 9)))
        store = LabelStore.open(Path(folder), 9, 2_000_000)
        asked = keys[rng.permutation(len(keys))[:400_000]]
        asked[::4, 1] ^= np.uint64(1)  # a quarter is not there

        def find() -> int:
            return sum(
                int(store.find(asked[at : at + 20_000])[0].sum()) for at in range(0, len(asked), 20_000)
            )

        found, seconds = spent(find)
        assert found == 300_000
    yield (
        "label cache, 1,000,000 answers: look-ups",
        f"{len(asked) / seconds:,.0f} a second",
        "at least 400,000",
    )


def cascade(path: Path) -> Iterator[Line]:
    """Yield throughput and macro F1 with and without a cascade, on the test pairs of a run."""
    from evidence_ensemble import world

    from prodmatch_core.config import load_pipeline
    from prodmatch_core.pipeline import Asked
    from prodmatch_core.rundata import pairs_of
    from prodmatch_core.serving.costs import BATCH, BATCHES, measured_costs
    from prodmatch_core.tasks.base import load_task
    from prodmatch_core.training.fitted import FittedMember
    from prodmatch_ensemble.aggregators import TreesAggregator
    from prodmatch_ensemble.figures import quality

    made = world("crowdflower", 0, path)
    file, scheme = load_pipeline(path / "resolved.toml"), made.data.scheme
    dataset = made.data.dataset
    assert dataset.judgements is not None and dataset.queries is not None
    rows = dataset.judgements.filter(split="valid").join(
        dataset.queries.select("query_id", "locale"), on="query_id"
    )
    costs = measured_costs(
        path, [m.name for m in file.member], pairs_of(rows.head(BATCH * (BATCHES + 1)), dataset)
    )
    members = [
        FittedMember.load(m, load_task("match"), scheme, path / "members" / m.name) for m in file.member
    ]
    test = made.said["test"]
    assert test.pairs is not None
    answered = {}
    for name, lost in (("every member asked", 0.0), ("cascade", LOST)):
        ensemble = TreesAggregator.build(TreesConfig(cascade=lost), scheme)
        ensemble.fit(attrs.evolve(made.said["train"], costs=costs), seeds.rng(0, "aggregator"))
        asked = Asked(members, test.pairs)
        ensemble.answer(asked, test.names)  # compiles and warms
        found, seconds = spent(lambda ensemble=ensemble, asked=asked: ensemble.answer(asked, test.names))
        macro = quality(found.probabilities, test.labels, test.weights)
        answered[name] = (len(test.labels) / seconds, macro)
        yield f"CrowdFlower, {name}: pairs a second", f"{answered[name][0]:,.0f}", ""
        yield f"CrowdFlower, {name}: macro F1 on test", f"{macro:.4f}", ""
        if lost:
            assert ensemble.learnt is not None
            first = ensemble.learnt.cascade
            told = (
                "none is cheaper" if first is None else f"{', '.join(first.members)} at {first.threshold:.3f}"
            )
            yield "who answers first, and from which probability", told, ""
    whole, first_ = answered["every member asked"], answered["cascade"]
    yield "cascade: throughput", f"{first_[0] / whole[0]:.2f}x", "at least 2x"
    yield "cascade: macro F1 lost on test", f"{whole[1] - first_[1]:+.4f}", "at most 0.005"


def cache(path: Path) -> Iterator[Line]:
    """Yield the time of `prodmatch score` on two files, and of the same commands again with a cache."""
    import polars as pl

    root = Path(os.environ["PRODMATCH_DATA"])
    few = pl.read_csv(root / "crowdflower" / "train.csv")
    yield from twice(path, few.select("query", title="product_title", description="product_description"))
    many = pl.read_csv(root / "homedepot" / "train.csv", encoding="iso-8859-1")
    yield from twice(path, many.select(query="search_term", title="product_title"), "at least 50x")


def twice(path: Path, pairs: pl.DataFrame, wanted: str = "") -> Iterator[Line]:
    """Yield the time of `prodmatch score` on pairs, and of the same command again with a cache."""
    import polars as pl

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.parquet"
        pairs.write_parquet(file)
        wall, busy = [], []
        for number in range(2):
            out, before = Path(folder) / f"{number}.parquet", _children()
            started = time.perf_counter()
            command = ["score", str(path), str(file), "-o", str(out), "--cache", f"{folder}/cache", "--quiet"]
            subprocess.run(
                [sys.executable, "-m", "prodmatch_core", *command], check=True, capture_output=True
            )
            wall.append(time.perf_counter() - started)
            busy.append(_children() - before)
        same = pl.read_parquet(Path(folder) / "0.parquet").equals(pl.read_parquet(Path(folder) / "1.parquet"))
    assert same
    yield (
        f"`prodmatch score --cache`, {pairs.height:,} pairs: first",
        f"{busy[0]:.1f} s ({wall[0]:.1f} s on the clock)",
        "",
    )
    yield f"the same {pairs.height:,} again", f"{busy[1]:.2f} s ({wall[1]:.1f} s on the clock)", ""
    yield (
        f"{pairs.height:,} pairs: second faster than the first",
        f"{busy[0] / busy[1]:.0f}x ({wall[0] / wall[1]:.0f}x)",
        wanted,
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def page(lines: list[Line], rows: int, rounds: int) -> str:
    """Return the page as Markdown."""
    head = [
        "# Speed of ensembles",
        "",
        f"{rows:,} pairs, {MEMBERS} members, 24 columns, 4 classes, {rounds} rounds of {TreesConfig().leaves} leaves; "
        f"processor time of one thread ({platform.machine()}, Python {platform.python_version()}, LightGBM "
        f"{lightgbm.__version__}).",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/ensemble.py",
        "",
        "| | | wanted |",
        "|---|---:|---:|",
    ]
    return "\n".join([*head, *(f"| {what} | {figure} | {wanted} |" for what, figure, wanted in lines)]) + "\n"


if __name__ == "__main__":
    main()
