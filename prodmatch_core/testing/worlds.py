"""Tiny data sets, one for each task, that a test can hold in its head; and what a part is given of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.builtin.configs import UniformSamplerConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.records import DatasetSpec, EncoderSpec, GraphSamplerSpec, NoConfig, Part
from prodmatch_core.sections import DataSection, Member, PipelineFile, PipelineSection
from prodmatch_core.task_specs import TASKS
from prodmatch_core.tasks.base import Task, TaskData, load_task

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))
"Two labels, as most data sets of pairs have."
COLOURS = ("red", "blue", "green", "black")
THINGS = ("kettle", "lamp", "chair", "mug", "rug", "clock")
DEVICES = ("phone", "desk", "tablet")
SPLITS = ("train", "train", "train", "valid", "test")
START = datetime(2024, 5, 1)
SOURCE = "made for tests"


def judged_pairs() -> Dataset:
    """Return 60 queries `<colour> <thing>` with 6 products each: a match names both words, a mismatch one.

    Matches were clicked, and each query's products seen together.
    """
    rng = np.random.default_rng(7)
    wanted = [(c, t, n) for n in range(3) for c in COLOURS for t in THINGS][:60]
    products, judgements = [], []
    for number, (colour, thing, _) in enumerate(wanted):
        split = SPLITS[number % 5]
        for place in range(6):
            other = COLOURS[(COLOURS.index(colour) + 1 + place % 3) % 4]
            match = place < 3
            words = [colour if match else other, thing, f"no{rng.integers(1000)}"]
            products.append({"product_id": f"p{number}-{place}", "title": " ".join(rng.permutation(words))})
            label = "match" if match else "mismatch"
            judgements.append(
                {"query_id": f"q{number}", "product_id": f"p{number}-{place}", "label": label, "split": split}
            )
    queries = [
        {"query_id": f"q{n}", "locale": "en", "text": f"{c} {t} {k}"} for n, (c, t, k) in enumerate(wanted)
    ]
    clicks = [(row["query_id"], row["product_id"]) for row in judgements if row["label"] == "match"]
    seen = [(f"p{n}-{place}", f"p{n}-{(place + 1) % 6}") for n in range(len(wanted)) for place in range(6)]
    return Dataset(
        name="tiny",
        scheme=BINARY,
        products=pl.DataFrame(products).with_columns(locale=pl.lit("en")),
        queries=pl.DataFrame(queries),
        judgements=pl.DataFrame(judgements),
        engagements=pl.concat(
            [_engagements("query", "click", clicks), _engagements("product", "co_view", seen)]
        ),
        licence="made for tests",
        source=SOURCE,
    )


def item_groups() -> Dataset:
    """Return 80 groups of 4 titles: two words that name the group among words that do not."""
    rng = np.random.default_rng(0)
    names = [
        f"{a}{b}" for a in ("kor", "vel", "mis", "tra", "lun") for b in ("ba", "do", "gi", "pe", "su", "xo")
    ]
    chosen = [(names[i % 30], names[(7 * i + i // 30) % 30]) for i in range(80)]
    rows = []
    for number, words in enumerate(chosen):
        for copy in range(4):
            noise = rng.choice(["new", "sale", "best", "2024", "original", "promo"], 2, replace=False)
            title = " ".join(rng.permutation([*words, *noise]))
            rows.append(
                {
                    "id": f"i{number}-{copy}",
                    "group": f"g{number}",
                    "split": SPLITS[number % 5],
                    "title": title,
                }
            )
    frame = pl.DataFrame(rows)
    return Dataset(
        "groups",
        products=frame.select(product_id="id", locale=pl.lit("en"), title="title"),
        groups=frame.select(item_id="id", group="group", split="split"),
        source=SOURCE,
    )


def product_graph() -> Dataset:
    """Return 48 products with 4 directed edges each, to the products that a ring and a multiplication lead to."""
    count = 48
    titles = [f"{COLOURS[n % 4]} {THINGS[n % 6]} no{n}" for n in range(count)]
    ends = [
        (n, (n + step) % count if step < 3 else (5 * n + 1) % count)
        for n in range(count)
        for step in (1, 2, 3, 7)
    ]
    edges = sorted({pair for pair in ends if pair[0] != pair[1]})
    return Dataset(
        "graph",
        products=pl.DataFrame(
            {"product_id": [f"p{n}" for n in range(count)], "locale": ["en"] * count, "title": titles}
        ),
        engagements=_engagements("product", "bought_next", [(f"p{a}", f"p{b}") for a, b in edges]),
        source=SOURCE,
    )


def _engagements(kind: str, relation: str, ends: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Return engagements of queries or products with products; the counts run from 1 to 5."""
    return pl.DataFrame(
        {
            "src_kind": [kind] * len(ends),
            "src": [source for source, _ in ends],
            "relation": [relation] * len(ends),
            "dst_kind": ["product"] * len(ends),
            "dst": [target for _, target in ends],
            "count": [1.0 + number % 5 for number in range(len(ends))],
        }
    )


def event_log() -> Dataset:
    """Return an event an hour for five days; those on a phone convert within two hours, two in three of them."""
    count = 120
    shown = [START + timedelta(hours=n) for n in range(count)]
    device = [DEVICES[n % 3] for n in range(count)]
    converted = [
        moment + timedelta(hours=1 + n % 2) if device[n] == "phone" and n % 9 else None
        for n, moment in enumerate(shown)
    ]
    things = [(COLOURS[n % 4], THINGS[n % 6]) for n in range(12)]
    return Dataset(
        "events",
        queries=pl.DataFrame(
            {
                "query_id": [f"q{n}" for n in range(12)],
                "locale": ["en"] * 12,
                "text": [f"{c} {t}" for c, t in things],
            }
        ),
        products=pl.DataFrame(
            {
                "product_id": [f"p{n}" for n in range(12)],
                "locale": ["en"] * 12,
                "title": [f"{t} in {c} no{n}" for n, (c, t) in enumerate(things)],
            }
        ),
        events=pl.DataFrame(
            {
                "event_id": [f"e{n:03}" for n in range(count)],
                "query_id": [f"q{n % 12}" for n in range(count)],
                "product_id": [f"p{5 * n % 12}" for n in range(count)],
                "shown_at": shown,
                "converted_at": pl.Series(converted, dtype=pl.Datetime("us")),
                "device": device,
                "price": [float(1 + n % 20) for n in range(count)],
            }
        ),
        source=SOURCE,
    )


SAMPLER = Part(
    GraphSamplerSpec(
        name="core.uniform_sampler",
        summary="Some neighbours.",
        factory="prodmatch_core.builtin.neighbour_samplers:UniformSampler",
    ),
    UniformSamplerConfig((5, 5)),
)
"What picks neighbourhoods for encoders over graphs."
MAKERS = {"match": judged_pairs, "embed": item_groups, "relate": product_graph, "convert": event_log}
"Task -> the function that makes its tiny data set."


def task_pipeline(task: str, data: dict[str, Any] | None = None, **sections: Any) -> PipelineFile:
    """Return a pipeline of `task` whose parts are never loaded; only the task's own sections matter.

    Args:
        task: name of a task.
        data: fields of its data section.
        sections: further sections.
    """
    source = Part(DatasetSpec(name="tiny.data", summary="Data.", factory="a:b"), NoConfig())
    encoder = Part(EncoderSpec(name="tiny.text", summary="Texts.", factory="a:b"), NoConfig())
    return PipelineFile(
        PipelineSection("tiny", task), DataSection(source, **(data or {})), (Member(encoder),), **sections
    )


@attrs.frozen(eq=False)
class World:
    """A tiny data set as its task sees it, and what of it a part may look at while it is fitted."""

    task: Task
    dataset: Dataset
    data: TaskData
    fit: FitData

    @property
    def gives(self) -> frozenset[str]:
        """Return the capabilities that parts find here: of tables, of the task's examples and of a sampler."""
        return self.dataset.gives | self.task.spec.gives(self.dataset.gives) | {"blocks"}


@functools.cache
def world(task: str) -> World:
    """Return the tiny world of a task, made once; nobody may write to it."""
    dataset, made = MAKERS[task](), load_task(task)
    data = made.examples(dataset, task_pipeline(task))
    examples = data.examples
    fit = FitData(
        data.corpus,
        examples["train"],
        examples["valid"],
        data.scheme,
        made.visible(dataset, data) if task == "relate" else dataset,
        data.relation,
        SAMPLER,
    )
    return World(made, dataset, data, fit)


def worlds() -> list[World]:
    """Return the tiny worlds of all tasks, match first."""
    return [world(task) for task in TASKS]
