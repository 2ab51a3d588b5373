"""Mining negatives for 100,000 queries among 100,000 products: docs/explanation/benchmarks-negatives.md.

    python benchmarks/mined_negatives.py [--rows FILE] [--count N] [--repeats N]

Needs sentence-transformers, datasets and faiss-cpu, which are no dependencies. All sides get the same vectors (an
untrained two-tower `core.ngram` on made-up texts), the same depth, margin and number of negatives, and make the same
`datasets.Dataset` of texts; each mines in a process of its own, whose seconds and peak memory are told. Rows that FILE
already holds are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/benchmarks-negatives.md"
DEPTH, MARGIN, NEGATIVES, WIDTH = 50, 0.05, 5, 96
SIDES = {
    "core.mined_negatives, exact": "ours",
    "core.mined_negatives, exact, 16 MB": "ours_small",
    "core.mined_negatives, lexical": "lexical",
    "sentence-transformers, exact": "theirs",
    "sentence-transformers, faiss": "theirs_faiss",
    "sentence-transformers, exact, blocks of 512": "theirs_small",
}


def main() -> None:
    """Measure what is missing and write the page, or be one of the processes measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "mined_negatives.jsonl")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.rows.parent / f"mined_negatives-{options.count}"
    if options.side:
        print(json.dumps(measure(options.side, folder)))
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "world.npz").exists():
        subprocess.run([*command(options), "--side", "world"], check=True)
    rows = (
        [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    )
    for repeat in range(options.repeats):
        for side in [
            "floor",
            *SIDES.values(),
        ]:  # in turn, so that a busy minute of the machine hits all alike
            key = {"count": options.count, "repeat": repeat, "side": side}
            if any(key.items() <= row.items() for row in rows):
                continue
            done = subprocess.run(
                [*command(options), "--side", side], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append({**key, **json.loads(done.stdout.splitlines()[-1])})
            print(rows[-1], file=sys.stderr, flush=True)
            with options.rows.open("a") as stream:
                stream.write(json.dumps(rows[-1]) + "\n")
    text = page([row for row in rows if row["count"] == options.count], options.count, agreement(folder))
    if options.count == parser.get_default("count"):
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def command(options: argparse.Namespace) -> list[str]:
    return [sys.executable, __file__, "--rows", str(options.rows), "--count", str(options.count)]


# -- the processes ----------------------------------------------------------------------------------------------------


def measure(side: str, folder: Path) -> dict[str, Any]:
    if side == "world":
        return make_world(folder)
    world = dict(np.load(folder / "world.npz"))
    texts = json.loads((folder / "texts.json").read_text())
    if side == "floor":
        return floor(world)
    work = {
        "ours": lambda: ours(world, texts, "self", 256),
        "ours_small": lambda: ours(world, texts, "self", 16),
        "lexical": lambda: ours(world, texts, "lexical", 256),
        "theirs": lambda: theirs(world, texts),
        "theirs_faiss": lambda: theirs(world, texts, use_faiss=True),
        "theirs_small": lambda: theirs(world, texts, faiss_batch_size=512),
    }[side]
    prepare(side, world, texts)
    before = resident()
    with Peak() as peak:
        started, cpu = time.perf_counter(), time.process_time()
        found = work()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    np.savez(folder / f"{side}.npz", **found)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "before_mb": before / 2**20,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "added_mb": (peak.value - before) / 2**20,
        "negatives": len(found["query"]),
    }


def make_world(folder: Path) -> dict[str, Any]:
    """Write texts and vectors: that many different queries and titles, each query with a match."""
    import torch

    from prodmatch_core.builtin.configs import NgramConfig
    from prodmatch_core.builtin.ngram import NgramEncoder
    from prodmatch_core.components.encoder import FitData
    from prodmatch_core.data.corpus import Examples
    from prodmatch_core.data.dataset import ESCI, Dataset
    from prodmatch_core.training.embedding import Embedder

    count = int(folder.name.rpartition("-")[2])
    rng = np.random.default_rng(0)
    words = np.array([f"{a}{b}{c}" for a in CONSONANTS for b in "aeiou" for c in ENDINGS])
    shares = 1 / (np.arange(len(words)) + 10)  # words as rare as in a catalogue: Zipf's law
    shares /= shares.sum()
    titles: dict[str, None] = {}
    while len(titles) < count:
        titles[" ".join(rng.choice(words, size=rng.integers(5, 13), p=shares))] = None
    products = list(titles)
    queries: dict[str, int] = {}
    while len(queries) < count:  # some words of the title that matches, and sometimes one it has not
        match = len(queries)
        asked = rng.permutation(products[match].split())[: rng.integers(2, 5)].tolist()
        if rng.random() < 0.3:
            asked.append(str(rng.choice(words, p=shares)))
        queries.setdefault(" ".join(asked), match)
    corpus = corpus_of(list(queries), products)
    examples = Examples(np.arange(count), np.array(list(queries.values())), np.zeros(count), np.ones(count))
    torch.manual_seed(0)
    data = FitData(corpus, examples, Examples.empty(), ESCI, Dataset("none"))
    encoder = NgramEncoder.build(NgramConfig(mode="two_tower", width=WIDTH), data, rng)
    embed = Embedder(encoder, encoder.prepare(corpus))
    rows = np.arange(count)
    np.savez(
        folder / "world.partial.npz",
        query=embed.queries(rows),
        product=embed.products(rows),
        match=examples.product,
    )
    (folder / "texts.json").write_text(json.dumps({"queries": list(queries), "products": products}))
    (folder / "world.partial.npz").rename(folder / "world.npz")
    return {}


CONSONANTS = (
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "st",
    "tr",
    "ch",
    "pl",
)
ENDINGS = tuple(f"{a}{b}{c}" for a in "lmnrst" for b in "aeiou" for c in ("", "n", "r", "x", "ck"))


def corpus_of(queries: list[str], products: list[str]) -> Any:
    import polars as pl

    from prodmatch_core.data.corpus import Corpus

    return Corpus(
        pl.DataFrame({"query_id": [f"q{n}" for n in range(len(queries))], "locale": "en", "text": queries}),
        pl.DataFrame(
            {"product_id": [f"p{n}" for n in range(len(products))], "locale": "en", "title": products}
        ),
    )


def prepare(side: str, world: Any, texts: dict[str, list[str]]) -> None:
    """Import what the side needs and let it mine a few pairs, so that neither imports nor compiling are measured."""
    few = {name: world[name][:64] for name in ("query", "product")} | {"match": np.arange(64)}
    words = {name: values[:64] for name, values in texts.items()}
    if side.startswith("theirs"):
        theirs(few, words, use_faiss=side == "theirs_faiss")
    else:
        ours(few, words, "lexical" if side == "lexical" else "self", 1)


def ours(world: Any, texts: dict[str, list[str]], miner: str, memory_mb: int) -> dict[str, np.ndarray]:
    """Return what `core.mined_negatives` mines, by the generator's own code."""
    import torch
    from datasets import Dataset

    from prodmatch_core.builtin.mined_config import MinedConfig
    from prodmatch_core.builtin.mined_negatives import lexical_miner, rules_of
    from prodmatch_core.data.corpus import Examples
    from prodmatch_core.mining.miners import VectorMiner
    from prodmatch_core.mining.rules import Catalogue, Counts

    config = MinedConfig(
        miner=miner, last=DEPTH, relative_margin=MARGIN, max_likeness=1.0, memory_mb=memory_mb
    )
    corpus = corpus_of(texts["queries"], texts["products"])
    match = world["match"]
    count = len(match)
    examples = Examples(np.arange(count), match, np.zeros(count), np.ones(count))
    if miner == "lexical":
        kind: Any = lexical_miner(corpus, config)
    else:
        kind = VectorMiner(Given(world["query"], world["product"]))
    catalogue = Catalogue.of(corpus, examples, examples)
    blocks = catalogue.mine(kind, rules_of(config), Counts(), memory_mb << 20, torch.get_num_threads())
    names = ("query", "positive", "product", "positive_score", "score")
    parts = []
    for block in blocks:
        kept = np.arange(len(block.query)) - np.searchsorted(block.query, block.query) < NEGATIVES
        parts.append({name: getattr(block, name)[kept] for name in names})
    found = {name: np.concatenate([part[name] for part in parts]) for name in names}
    queries, products = texts["queries"], texts["products"]
    Dataset.from_dict(
        {
            "query": [queries[row] for row in found["query"].tolist()],
            "positive": [products[row] for row in found["positive"].tolist()],
            "negative": [products[row] for row in found["product"].tolist()],
            "scores": np.stack([found["positive_score"], found["score"]], axis=1).tolist(),
        }
    )
    return {name: found[name] for name in ("query", "product", "score")}


class Given:
    """An encoder whose vectors are there already."""

    def __init__(self, query: np.ndarray, product: np.ndarray) -> None:
        self.query, self.product = query, product

    def queries(self, rows: np.ndarray) -> np.ndarray:
        return self.query if len(rows) == len(self.query) else self.query[rows]

    def products(self, rows: np.ndarray) -> np.ndarray:
        return self.product[rows]


def theirs(world: Any, texts: dict[str, list[str]], **options: Any) -> dict[str, np.ndarray]:
    """Return what `mine_hard_negatives` mines when its model looks vectors up."""
    import torch
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives, pairwise_cos_sim

    queries, products = texts["queries"], texts["products"]
    vectors = {"query": world["query"], "product": world["product"]}
    rows = {text: row for row, text in enumerate(products)}

    class Model:
        device = torch.device("cpu")

        def encode_document(self, corpus: list[str], **_: Any) -> np.ndarray:
            return vectors["product"][[rows[text] for text in corpus]]

        def encode_query(self, asked: list[str], **_: Any) -> np.ndarray:
            assert len(asked) == len(queries)
            return vectors["query"]

        def get_embedding_dimension(self) -> int:
            return WIDTH

        def similarity(self, left: Any, right: Any) -> torch.Tensor:
            return torch.as_tensor(left) @ torch.as_tensor(right).T  # of length 1 already

        def similarity_pairwise(self, left: Any, right: Any) -> torch.Tensor:
            return pairwise_cos_sim(torch.as_tensor(left), torch.as_tensor(right))

    pairs = Dataset.from_dict({"query": queries, "positive": [products[row] for row in world["match"]]})
    mined = mine_hard_negatives(
        pairs,
        Model(),
        corpus=products,
        range_max=min(DEPTH, len(products) - 2),
        relative_margin=MARGIN,
        num_negatives=NEGATIVES,
        output_format="triplet",
        output_scores=True,
        verbose=False,
        **options,
    )
    numbers = {text: row for row, text in enumerate(queries)}
    columns = mined.to_dict()
    return {
        "query": np.array([numbers[text] for text in columns["query"]]),
        "product": np.array([rows[text] for text in columns["negative"]]),
        "score": np.array([score for _, score in columns["scores"]], dtype=np.float32),
    }


def floor(world: Any) -> dict[str, Any]:
    """Return how fast this machine multiplies matrices of these shapes and does nothing else."""
    from threadpoolctl import threadpool_limits

    query, product = world["query"], world["product"].T
    rows, columns = (min(len(query), 20_480) // size * size for size in (512, 2048))
    tile = np.empty((512, 2048), dtype=np.float32)

    def speeds(clock: Callable[[], float]) -> list[float]:
        found = []
        for start in range(0, rows, 512):
            before = clock()
            for column in range(0, columns, 2048):
                np.matmul(query[start : start + 512], product[:, column : column + 2048], out=tile)
            found.append(2 * 512 * columns * WIDTH / (clock() - before) / 1e9)
        return found

    together = max(speeds(time.perf_counter))
    with threadpool_limits(1):
        return {"gflops": together, "gflops_per_core": statistics.median(speeds(time.process_time))}


class Peak:
    """The highest resident memory while it is entered, looked at a hundred times a second."""

    def __enter__(self) -> Peak:
        self.value, self._stop = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.value = max(self.value, resident())


def resident() -> int:
    """Return the process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- the page ---------------------------------------------------------------------------------------------------------


def agreement(folder: Path) -> str:
    """Return in words how far both sides mined the same."""
    mine, other = (np.load(folder / f"{side}.npz") for side in ("ours", "theirs"))
    count = len(np.load(folder / "world.npz")["match"])
    (codes, scores), (their_codes, their_scores) = (
        (found["query"] * count + found["product"], found["score"]) for found in (mine, other)
    )
    both, at, their_at = np.intersect1d(codes, their_codes, return_indices=True)
    gap = np.abs(scores[at] - their_scores[their_at]).max(initial=0)
    return (
        f"sentence-transformers mined {len(their_codes):,} negatives, `core.mined_negatives` {len(codes):,}; "
        f"{len(both):,} are the same ({len(both) / len(their_codes):.3%} of theirs), and their scores differ by "
        f"{gap:.0e} at the most."
    )


def page(rows: list[dict[str, Any]], count: int, agreed: str) -> str:
    def middle(side: str, name: str) -> float:
        return statistics.median(row[name] for row in rows if row["side"] == side)

    def times(name: str, *sides: str) -> str:
        return f"{min(middle(side, name) for side in sides) / middle('ours', name):.1f}"

    flops = 2 * count * count * WIDTH
    speed = max(row["gflops"] for row in rows if row["side"] == "floor")
    core = statistics.median(row["gflops_per_core"] for row in rows if row["side"] == "floor")
    least, least_cpu = flops / speed / 1e9, flops / core / 1e9
    others = [side for side in SIDES.values() if side.startswith("theirs")]
    lines = [
        "# Benchmark: mining negatives",
        "",
        f"{count:,} queries, each with one match, among {count:,} products with titles of 5 to 12 words; vectors of "
        f"{WIDTH} numbers;",
        f"ranks 1 to {DEPTH}, a negative at least {MARGIN:.0%} below the match, the best {NEGATIVES} kept as a data "
        "set of texts. Each side",
        "mines in a process of its own from the same vectors, which a model wrapper hands to sentence-transformers;",
        f"imports and compiling are done before. Median of {len({row['repeat'] for row in rows})} rounds, in which the "
        f"sides take turns, on {os.cpu_count()} cores",
        "that other work shared: CPU seconds are the steadier figure.",
        "",
        "    python benchmarks/mined_negatives.py",
        "",
        "| | seconds | CPU seconds | memory added, MB | peak of the process, MB | negatives |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, side in SIDES.items():
        cells = [f"{middle(side, column):,.1f}" for column in ("seconds", "cpu_seconds")]
        cells += [f"{middle(side, column):,.0f}" for column in ("added_mb", "peak_mb", "negatives")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"**Faster:** {times('seconds', 'theirs')} times as fast as its exact search, "
        f"{times('seconds', 'theirs_faiss')} times as fast as with faiss,",
        f"{times('seconds', *others)} times as fast as its best; in CPU time {times('cpu_seconds', 'theirs')}, "
        f"{times('cpu_seconds', 'theirs_faiss')} and {times('cpu_seconds', *others)} times.",
        f"**Smaller:** its exact search adds {times('added_mb', 'theirs')} times as much memory, with faiss "
        f"{times('added_mb', 'theirs_faiss')} times, at its best {times('added_mb', *others)} times.",
        "",
        f"**The floor.** All scores take 2 x {count:,} x {count:,} x {WIDTH} = {flops / 1e12:.2f} TFLOP. Multiplying "
        "matrices of the miner's shapes",
        f"and nothing else, this machine reached {speed:.0f} GFLOPS at its fastest and {core:.0f} a core: "
        f"{least:.1f} seconds, or",
        f"{least_cpu:.1f} CPU seconds. The exact miner, with titles, exclusions, ranking and the data set, takes "
        f"{middle('ours', 'seconds') / least:.1f} and {middle('ours', 'cpu_seconds') / least_cpu:.1f} times these.",
        f"In bytes: the vectors are {2 * count * WIDTH * 4 / 2**20:.0f} MB, and {NEGATIVES} negatives of each query "
        f"with their scores {count * NEGATIVES * 12 / 2**20:.0f} MB.",
        "",
        f"**The same negatives?** {agreed}",
        "What differs: scores within rounding of a margin or of each other, and the depth. `core.mined_negatives` "
        f"counts {DEPTH} ranks without the",
        f"match; sentence-transformers looks at {DEPTH + 1}, takes out the match where it is one of them and whatever "
        f"the margin refuses, and goes on to",
        f"the last of the {DEPTH + 1}. The lexical miner ranks by other scores, so its negatives are others, too.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
