"""What is bought next on three directed graphs: docs/explanation/evidence/blade.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_blade.py [--rows FILE] [--only rows|page]

Every finished fit is a line of the rows file, so a stopped benchmark goes on. The test edges are read once a fit; the
best epoch is picked on the validation edges.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from evidence_blade_page import page

from prodmatch_blade.adaptive import neighbours
from prodmatch_blade.configs import AdaptiveConfig
from prodmatch_blade.dual import directed_graph
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext, SplitConfig
from prodmatch_core.evaluation.retrieved import Retrieved, Wanted, cosine_scorer, retrieve
from prodmatch_core.evaluation.search import Search
from prodmatch_core.evaluation.unlearnt import relate_baselines
from prodmatch_core.graph.nodes import Nodes
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.training.member import fit_member

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "runs" / "evidence-blade" / "rows.jsonl"
PAGE = ROOT / "docs" / "explanation" / "evidence" / "blade.md"
SEEDS = (0, 1, 2)
WORDS = {"use": "core.ngram", "mode": "two_tower", "width": 32, "buckets": 16384, "max_ngrams": 80}
DATA: dict[str, dict[str, Any]] = {
    "citeseer": {
        "data": {"use": "core.citeseer"},
        "relation": "cites",
        "text": {**WORDS, "fields": ["description"], "min_n": 3, "max_n": 3},
    },
    "magazine": {
        "data": {"use": "core.amazon_metadata"},
        "relation": "also_buy",
        "text": {**WORDS, "fields": ["brand", "bullets", "description"]},
    },
    "shop": {
        "data": {"use": "shop.synthetic", "size": 6000},
        "relation": "bought_next",
        "text": {**WORDS, "fields": ["title"], "max_ngrams": 40},
    },
}
LATER = (
    "dual, adaptive 0.5",
    "dual, walks",
    "dual, adaptive 0.25",
    "dual, adaptive 1",
    "dual, paper's loss alone",
    "dual, cold start",
    "dual, co-view",
)
"Arms that are fitted when the others have all their seeds."
FANOUT = 4
"Neighbours of the fixed sampler in each of two layers: its mean over places is everyone's budget."
UPTO = 8
"Neighbours that products of fewer are brought to by walks."
TRAINING = {"batch_size": 256, "epochs": 6, "learning_rate": 0.007, "patience": 3}
SHALLOW = {"batch_size": 256, "epochs": 25, "learning_rate": 0.05, "patience": 4}
LOSS = [{"use": "core.in_batch_softmax"}, {"use": "blade.asymmetric", "weight": 0.1}]
"Softmax over the batch, and the paper's logistic terms at a tenth: alone they find far fewer products."


def arms_of(name: str) -> dict[str, dict[str, Any]]:
    """Return the arms of a data set: fields of the encoder, of the negatives, and the sampler's law."""
    fixed: dict[str, Any] = {"alpha": 0.0}
    arms: dict[str, dict[str, Any]] = {
        "shallow": {},
        "single": {"encoder": {"vectors": "single"}, "sampler": fixed, "negatives": {"reverse": 0.0}},
        "dual": {"sampler": fixed},
        "shared": {"encoder": {"vectors": "shared"}, "sampler": fixed},
        "dual, no reverse term": {"sampler": fixed, "negatives": {"reverse": 0.0}},
    }
    for alpha in (0.25, 0.5, 1.0):
        arms[f"dual, adaptive {alpha:g}"] = {"sampler": {"alpha": alpha}}
    arms["dual, walks"] = {"encoder": {"upto": UPTO}, "sampler": fixed}
    arms["dual, adaptive 0.5, walks"] = {"encoder": {"upto": UPTO}, "sampler": {"alpha": 0.5}}
    if name == "citeseer":
        paper = {"loss": [{"use": "blade.asymmetric"}], "negatives": {"count": 8}}
        arms["dual, paper's loss alone"] = {"sampler": fixed, **paper}
        arms["dual, cold start"] = {"encoder": {"cold": 3}, "sampler": fixed}
    if name == "magazine":
        arms["dual, co-view"] = {"encoder": {"co_view": ["also_view"]}, "sampler": fixed}
    return arms


@attrs.frozen(eq=False)
class World:
    """One seed's split of one data set."""

    name: str
    seed: int
    dataset: Dataset
    task_data: TaskData
    fit: FitData

    @classmethod
    def read(cls, name: str, seed: int) -> World:
        pipeline = pipeline_of(name, {}, seed)
        part = pipeline.data.part
        context = ReadContext(
            root=Path(os.environ["PRODMATCH_DATA"]), base=ROOT, split=SplitConfig(seed=seed)
        )
        return cls.of(name, seed, part.spec.load()(part.config, context))

    @classmethod
    def of(cls, name: str, seed: int, dataset: Dataset) -> World:
        pipeline = pipeline_of(name, {}, seed)
        task = load_task("relate")
        found = task.examples(dataset, pipeline)
        examples = found.examples
        data = FitData(
            found.corpus,
            examples["train"],
            examples["valid"],
            found.scheme,
            task.visible(dataset, found),
            found.relation,
        )
        return cls(name, seed, dataset, found, data)

    def fanout(self, alpha: float, upto: int) -> int:
        """Return the most neighbours of the law with which as many are read in the mean as with the fixed number."""
        nodes = Nodes.of(self.fit.dataset)
        graph = directed_graph(self.fit.dataset, nodes, self.fit.relation, (), two_sided=True)
        degree = graph.degree()
        there = np.where(degree > 0, np.maximum(degree, upto), 0)
        budget = np.minimum(there, FANOUT).mean()
        for most in range(FANOUT, 200):
            config = AdaptiveConfig(fanouts=(most, most), alpha=alpha)
            if np.minimum(there, neighbours(degree, most, config)).mean() >= budget:
                return most
        return 200


def pipeline_of(name: str, arm: dict[str, Any], seed: int, fanout: int = FANOUT) -> Any:
    """Return the checked pipeline of one arm."""
    settings = DATA[name]
    training = {**(TRAINING if "sampler" in arm else SHALLOW), **arm.get("training", {})}
    if "sampler" not in arm:
        member: dict[str, Any] = {"encoder": {"use": "core.node_vectors", "width": 64}}
    else:
        encoder = {"use": "blade.dual", "width": 64, **arm.get("encoder", {})}
        if settings["text"] is not None:
            encoder["text"] = settings["text"]
        member = {
            "encoder": encoder,
            "sampler": {"use": "blade.adaptive", "fanouts": [fanout, fanout], **arm["sampler"]},
            "negatives": {"use": "blade.negatives", "count": 2, **arm.get("negatives", {})},
            "loss": arm.get("loss", LOSS),
        }
    return load_pipeline(
        {
            "pipeline": {"name": "evidence", "task": "relate", "seed": seed},
            "data": {**settings["data"], "split": {"seed": seed}},
            "relate": {"relation": settings["relation"]},
            "member": {**member, "name": "arm", "training": training},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--only", choices=("rows", "page"))
    parser.add_argument("--data", nargs="*", default=list(DATA))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    chosen = parser.parse_args()
    if chosen.only != "page":
        chosen.rows.parent.mkdir(parents=True, exist_ok=True)
        for later in (False, True):
            for seed in chosen.seeds:
                for name in chosen.data:
                    fill(chosen.rows, name, seed, later)
    if chosen.only != "rows":
        PAGE.write_text(page(rows_of(chosen.rows)), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows that are there, each fit once."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return list({(row["data"], row["seed"], row["arm"]): row for row in map(json.loads, lines)}.values())


def fill(path: Path, name: str, seed: int, later: bool) -> None:
    """Add the rows of one split that are missing, of the arms that come first or of the others."""
    done = {(row["data"], row["seed"], row["arm"]) for row in rows_of(path)}
    missing = {
        arm: how
        for arm, how in arms_of(name).items()
        if (name, seed, arm) not in done and (arm in LATER) == later
    }
    lines = (name, seed, "popularity") not in done
    if not missing and not lines:
        return
    world = World.read(name, seed)
    asked = Asked.of(world)
    if lines:
        for line, scorer in relate_baselines(asked.search, world.task_data.corpus, asked.known):
            write(path, world, line, asked.ranks(scorer), None, 0.0, {})
    for arm, how in missing.items():
        fit_arm(path, world, asked, arm, how)


def fit_arm(
    path: Path, world: World, asked: Asked, arm: str, how: dict[str, Any], data: str | None = None
) -> None:
    """Fit one arm and append its row, under the name of its data set or another."""
    sampler = how.get("sampler", {})
    fanout = FANOUT
    if sampler.get("alpha"):
        fanout = world.fanout(sampler["alpha"], how.get("encoder", {}).get("upto", 0))
    member = pipeline_of(world.name, how, world.seed, fanout).member[0]
    started = time.perf_counter()
    fitted = fit_member(member, world.fit, load_task("relate"), default_registry(), world.seed)
    seconds = time.perf_counter() - started
    corpus, count = world.task_data.corpus, world.task_data.corpus.products.height
    every = np.arange(count)
    source, target = fitted.vectors(corpus, [("query", every), ("product", every)])
    source, target = unit(source), unit(target)
    ranks = asked.ranks(cosine_scorer(source[asked.sources], target))
    write(path, world, arm, ranks, asked.directions(source, target), seconds, {"fanout": fanout}, data)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@attrs.frozen(eq=False)
class Asked:
    """What is asked of every arm of a split: ranks of hidden edges, and which way one-way edges go."""

    search: Search
    known: Any
    sources: np.ndarray
    "(queries,) products with a hidden edge."
    degree: np.ndarray
    "(queries,) their known out-edges."
    one_way: np.ndarray
    "(hidden edges,) whether no edge, known or hidden, goes back."
    query: np.ndarray
    "(hidden edges,) query of each."

    @classmethod
    def of(cls, world: World) -> Asked:
        examples, count = world.task_data.examples, world.task_data.corpus.products.height
        test = examples["test"]
        known = examples["train"].concat(examples["valid"])
        search = Search.of(load_task("relate").spec, test, known, count)
        sources = search.reads[0][1]
        every = known.concat(test)
        there = set((every.query * count + every.product).tolist())
        one_way = np.array([code not in there for code in (test.product * count + test.query).tolist()])
        degree = np.bincount(known.query, minlength=count)[sources]
        return cls(search, known, sources, degree, one_way, np.searchsorted(sources, test.query))

    def ranks(self, scorer: Any) -> dict[str, list[int]]:
        """Return the rank of each query's best hidden edge, 0 below 20: of all, and of one-way edges alone."""
        wanted = self.search.wanted
        result = {"all": best(self._found(scorer, wanted))}
        # Other hidden edges of a query are neither right nor wrong when one-way edges are asked for.
        two_way = ~self.one_way
        alone = Wanted(
            wanted.query[self.one_way],
            wanted.candidate[self.one_way],
            np.concatenate([wanted.barred_query, wanted.query[two_way]]),
            np.concatenate([wanted.barred, wanted.candidate[two_way]]),
        )
        result["one-way"] = best(self._found(scorer, alone), np.unique(alone.query))
        return result

    def _found(self, scorer: Any, wanted: Wanted) -> Retrieved:
        queries, candidates = len(self.sources), len(self.search.reads[1][1])
        asking = np.unique(wanted.query)
        if len(asking) == queries:
            return retrieve(scorer, queries, candidates, wanted, np.arange(queries), 20)
        number = np.full(queries, -1)
        number[asking] = np.arange(len(asking))
        bars = number[wanted.barred_query] >= 0
        return retrieve(
            lambda rows: scorer(asking[rows]),
            len(asking),
            candidates,
            Wanted(
                number[wanted.query], wanted.candidate, number[wanted.barred_query[bars]], wanted.barred[bars]
            ),
            np.arange(len(asking)),
            20,
        )

    def directions(self, source: np.ndarray, target: np.ndarray) -> dict[str, list[float]]:
        """Return the scores of hidden one-way edges and of the same edges turned round."""
        edges = self.search.wanted
        u, v = self.sources[edges.query[self.one_way]], edges.candidate[self.one_way]
        there, back = (source[u] * target[v]).sum(1), (source[v] * target[u]).sum(1)
        return {"there": np.round(there, 5).tolist(), "back": np.round(back, 5).tolist()}


def best(found: Retrieved, asking: np.ndarray | None = None) -> Any:
    """Return the best rank of every query from 1, 0 where nothing was found; with the queries, where only some ask."""
    rank = np.where(found.hits.any(axis=1), found.hits.argmax(axis=1) + 1, 0)
    return rank.tolist() if asking is None else {"query": asking.tolist(), "rank": rank.tolist()}


def write(
    path: Path,
    world: World,
    arm: str,
    ranks: dict[str, Any],
    directions: dict[str, Any] | None,
    seconds: float,
    more: dict[str, Any],
    data: str | None = None,
) -> None:
    """Append one row."""
    asked = Asked.of(world)
    row = {
        "data": data or world.name,
        "seed": world.seed,
        "arm": arm,
        "seconds": round(seconds, 1),
        **more,
        "edges": {split: len(part) for split, part in world.task_data.examples.items()},
        "products": world.task_data.corpus.products.height,
        "degree": asked.degree.tolist(),
        "one_way_query": asked.query[asked.one_way].tolist(),
        "ranks": ranks,
        "directions": directions,
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    rank = np.array(ranks["all"])
    hit = ((rank > 0) & (rank <= 10)).mean()
    print(f"{world.name} {world.seed} {arm}: hit rate@10 {hit:.3f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
