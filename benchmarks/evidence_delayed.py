"""Delayed feedback: every method beside vanilla and oracle on a stream with known truth, and on TalkingData's clicks.

    PRODMATCH_DATA=DIR python benchmarks/evidence_delayed.py [--runs DIR] [--seeds 5] [--only NAME] [--wait HOURS]

Every arm is one file of predictions under `--runs`; one that is there is not made again, so a stopped benchmark goes
on. The page, docs/explanation/evidence/delayed.md, is written from the files that there are. `--only forms` makes the
arms of the table on the forms of `signals` at one waiting window, and writes this table alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from evidence_delayed_page import PAGE, page, page_with_forms

from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.registry import default_registry
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.training.member import fit_member

ROOT = Path(__file__).resolve().parents[1]
STRENGTHS = {"medium": 0.5, "weak": 0.2, "strong": 0.9}
AT_ONCE = ("oracle", "fnw", "fnc")
FORMS = ("direct", "factored", "settled")
FORMS_WAIT = 6.0
"Hours, of the table on forms alone: where signals help."
WAITING = ("vanilla", "fsiw", "es_dfm", "defer", "defuse", "dfm", "exact")
SHOP = {
    "use": "shop.synthetic",
    "size": 4000,
    "events_per_judgement": 8.0,
    "attribution_days": 3.0,
    "split": {"valid": 0.02, "test": 0.16},
}
TALKINGDATA = {"use": "core.talkingdata", "split": {"valid": 0.02, "test": 0.48}}
ENCODER = {"use": "delayed.events", "hidden": [64, 32], "buckets": 8192, "dropout": 0.0}
TRAINING = {
    "batch_size": 256,
    "epochs": 3,
    "learning_rate": 0.002,
    "stream_rate": 0.0003,
    "head_dropout": 0.0,
}


@attrs.frozen
class Arm:
    """One run: where, which seed, which method and how long it waits; `strength` and `form` where signals are read."""

    world: str
    seed: int
    method: str
    wait: float = 0.0
    strength: str = ""
    form: str = "direct"

    @property
    def file(self) -> str:
        words = (
            self.world,
            str(self.seed),
            f"{self.wait:g}h" if self.wait else "",
            self.strength,
            self.method,
            self.form if self.form != "direct" else "",
        )
        return "-".join(word for word in words if word) + ".npz"


def main() -> None:
    """Make the arms that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/evidence/delayed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed to begin with, for processes side by side")
    parser.add_argument("--only", choices=("shop", "talkingdata", "forms", "page"))
    parser.add_argument("--wait", type=float, help="hours; only arms of this waiting window")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    if options.only == "forms":
        for seed in range(options.first, options.seeds):
            make(list(by_form(seed)), options.runs)
        PAGE.write_text(page_with_forms(options.runs), encoding="utf-8")
        return
    for world, wait in (("shop", 1.0), ("talkingdata", 0.25), ("shop", 6.0), ("shop", 0.25)):
        for seed in range(options.first, options.seeds):
            if options.only in (None, world) and options.wait in (None, wait):
                make(list(arms(world, seed, wait)), options.runs)
    PAGE.write_text(page(options.runs), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def make(wanted: list[Arm], runs: Path) -> None:
    """Run those of the arms of one seed that are missing."""
    made: dict[str, World] = {}
    for arm in wanted:
        if (runs / arm.file).exists():
            continue
        strength = arm.strength or "medium"
        if strength not in made:
            made = {strength: World.read(arm.world, arm.seed, strength)}
        started = time.process_time()
        made[strength].run(arm, runs)
        print(f"{arm.file}: {time.process_time() - started:.1f} s", flush=True)


def by_form(seed: int) -> Iterator[Arm]:
    """Yield the arms of one seed that the table on forms of `signals` needs."""
    yield from (Arm("shop", seed, method, FORMS_WAIT) for method in ("vanilla", "es_dfm"))
    yield from (
        Arm("shop", seed, "signals", FORMS_WAIT, strength, form) for strength in STRENGTHS for form in FORMS
    )


def arms(world: str, seed: int, wait: float) -> Iterator[Arm]:
    """Yield the arms of one seed and waiting window, `medium` first: its world serves all methods without signals."""
    yield from (Arm(world, seed, method) for method in AT_ONCE)
    yield from (Arm(world, seed, method, wait) for method in WAITING)
    if world == "shop":
        yield from (
            Arm(world, seed, "signals", wait, strength, form) for strength in STRENGTHS for form in FORMS
        )


@attrs.frozen(eq=False)
class World:
    """One data set, made ready once for all arms that read it."""

    dataset: Dataset
    data: TaskData
    truth: np.ndarray
    "P(conversion) of each test event where it is known, else NaN."

    @classmethod
    def read(cls, world: str, seed: int, strength: str) -> World:
        pipeline = pipeline_of(Arm(world, seed, "vanilla", 1.0), strength)
        context = ReadContext(
            root=Path(os.environ.get("PRODMATCH_DATA", ".")), base=ROOT, split=pipeline.data.split
        )
        part = pipeline.data.part
        dataset = part.spec.load()(part.config, context)
        data = load_task("convert").examples(dataset, pipeline)
        rows, truth = data.rows["test"], np.full(len(data.rows["test"]), np.nan)
        if "events" in dataset.truth:
            known = rows.join(dataset.truth["events"], on="event_id", how="left", maintain_order="left")
            truth = known["p"].to_numpy()
        return cls(dataset, data, truth)

    def run(self, arm: Arm, runs: Path) -> None:
        """Train and predict one arm, and write what it said of every test event."""
        data, task = self.data, load_task("convert")
        fit = FitData(
            data.corpus,
            data.examples["train"],
            data.examples["valid"],
            data.scheme,
            self.dataset,
            log=data.log,
        )
        member = pipeline_of(arm, arm.strength or "medium").member[0]
        fitted = fit_member(member, fit, task, default_registry(), arm.seed)
        _, hour = np.unique(data.rows["test"]["hour"].to_numpy(), return_inverse=True)
        temporary = runs / f".{os.getpid()}-{arm.file}"
        np.savez_compressed(
            temporary,
            said=fitted.ahead["test"][:, 0],
            converted=data.examples["test"].label == 0,
            truth=self.truth,
            hour=hour,
        )
        os.replace(temporary, runs / arm.file)


def pipeline_of(arm: Arm, strength: str) -> Any:
    """Return the checked pipeline of one arm."""
    shop = arm.world == "shop"
    data = {**SHOP, "seed": arm.seed, "signal_strength": STRENGTHS[strength]} if shop else {**TALKINGDATA}
    return load_pipeline(
        {
            "pipeline": {"name": "evidence", "task": "convert", "seed": arm.seed},
            "data": data,
            "convert": {"hourly": True, "window": 3.0 if shop else 1.0},
            "member": [
                {
                    "name": "events",
                    "encoder": ENCODER,
                    "loss": [
                        {
                            "use": "delayed.importance",
                            "method": arm.method,
                            "wait": arm.wait,
                            "form": arm.form,
                        }
                    ],
                    "training": TRAINING,
                }
            ],
        }
    )


if __name__ == "__main__":
    main()
