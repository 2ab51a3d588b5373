"""The margin term on real listings, product groups never seen in training: docs/explanation/evidence/tcm.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_tcm.py [--rows FILE] [--only tune|compare|page]

Every finished piece is a line of the rows file, so a stopped benchmark goes on. `tune` tries margins on the validation
split of one seed; `compare` trains every arm of a cell (encoder, base loss, seed) with the margins chosen there and
reads the test split once; `page` writes the page from the rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline, to_toml
from prodmatch_core.data.reading import ReadContext, SplitConfig
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.evaluation.search import Search
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.training.member import fit_member

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "runs" / "evidence-tcm" / "rows.jsonl"
PAGE = ROOT / "docs" / "explanation" / "evidence" / "tcm.md"
SEEDS = (0, 1, 2)
TUNED_ON = 0
ENCODERS: dict[str, dict[str, Any]] = {
    "n-grams": {"use": "core.ngram", "mode": "two_tower", "width": 128, "buckets": 65536},
    "transformer": {
        "use": "core.transformer",
        "mode": "two_tower",
        "hidden": 96,
        "layers": 1,
        "max_length": 24,
    },
}
TRAINING: dict[str, dict[str, Any]] = {
    "n-grams": {"epochs": 4, "learning_rate": 0.003},
    "transformer": {"epochs": 6, "learning_rate": 0.002},
}
BATCH = {"batch_size": 256, "per_class": 4, "patience": 0}
BASES: dict[str, dict[str, Any]] = {
    "contrastive": {"use": "tcm.contrastive", "positive_margin": 1.0, "negative_margin": 0.3},
    "multi-similarity": {"use": "tcm.multi_similarity"},
    "Smooth-AP": {"use": "tcm.smooth_ap", "temperature": 0.03},
}
MEASURES = ("hit_rate@1", "opis", "opis@10%", "opis_strict", "opis_strict@10%")
NAMES = {
    "hit_rate@1": "R@1",
    "opis": "OPIS",
    "opis@10%": "10%-OPIS",
    "opis_strict": "OPIS strict",
    "opis_strict@10%": "10%-OPIS strict",
}
FIXED = {"margins": "fixed"}
SWEEP: tuple[tuple[float, float, float], ...] = (
    (0.1, 0.1, 1.0),
    (0.5, 0.1, 1.0),
    (0.1, 0.01, 1.0),
    (0.5, 0.01, 1.0),
    (0.1, 0.001, 1.0),
    (0.5, 0.01, 3.0),
)
"False-reject rate, false-accept rate and weight of the term."
SLACK = 0.005
"R@1 on validation that a setting may cost against the base loss alone."


@attrs.frozen(eq=False)
class World:
    """One seed's split: what members learn from, and the searches of validation and test."""

    data: FitData
    task_data: TaskData
    seed: int

    @classmethod
    def read(cls, seed: int) -> World:
        pipeline = pipeline_of("n-grams", [BASES["contrastive"]], seed)
        part = pipeline.data.part
        context = ReadContext(
            root=Path(os.environ["PRODMATCH_DATA"]), base=ROOT, split=SplitConfig(seed=seed)
        )
        dataset = part.spec.load()(part.config, context)
        found = load_task("embed").examples(dataset, pipeline)
        examples = found.examples
        data = FitData(found.corpus, examples["train"], examples["valid"], found.scheme, dataset)
        return cls(data, found, seed)

    def search(self, split: str) -> Search:
        examples = self.task_data.examples
        return Search.of(load_task("embed").spec, examples[split], examples["train"], 0)

    def found(self, encoder: str, losses: Sequence[Mapping[str, Any]], split: str) -> tuple[Retrieved, float]:
        """Train a member and return what it finds, and the seconds of training."""
        member = pipeline_of(encoder, losses, self.seed).member[0]
        started = time.perf_counter()
        fitted = fit_member(member, self.data, load_task("embed"), default_registry(), self.seed)
        seconds = time.perf_counter() - started
        search = self.search(split)
        return search.run(*fitted.vectors(self.task_data.corpus, search.reads)), seconds


def pipeline_of(encoder: str, losses: Sequence[Mapping[str, Any]], seed: int) -> Any:
    """Return the checked pipeline of one arm."""
    tree = {
        "pipeline": {"name": "evidence", "task": "embed", "seed": seed},
        "data": {"use": "core.shopee"},
        "member": [
            {
                "name": encoder,
                "encoder": ENCODERS[encoder],
                "loss": [dict(loss) for loss in losses],
                "training": {**BATCH, **TRAINING[encoder]},
            }
        ],
    }
    with TemporaryDirectory() as folder:
        file = Path(folder, "arm.toml")
        file.write_text(to_toml(tree), encoding="utf-8")
        return load_pipeline(file)


def figures(found: Retrieved) -> dict[str, float]:
    measures = {name: default_registry().measure(name).load()(found) for name in MEASURES}
    return {name: float(statistic(found.example_weights)) for name, statistic in measures.items()}


def term(false_reject: float, false_accept: float, weight: float, **more: float) -> dict[str, Any]:
    """Return the term with margins at two error rates."""
    rates = {"false_reject": false_reject, "false_accept": false_accept}
    return {"use": "tcm.margin", "margins": "quantile", "weight": weight, **rates, **more}
