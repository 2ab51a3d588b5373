"""A finished run with more members: what is fitted stays, what is new is fitted, and everyone's worth is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from prodmatch_core.components.aggregator import Pairs
from prodmatch_core.config import load_pipeline, read_toml
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import ConfigError, Problem, RunError
from prodmatch_core.predictions import stack
from prodmatch_core.registry import Registry
from prodmatch_core.rundir import Draft, Run
from prodmatch_core.sections import PipelineFile
from prodmatch_core.tasks.base import load_task
from prodmatch_ensemble.aggregators import STATE, table_of
from prodmatch_ensemble.configs import TreesConfig
from prodmatch_ensemble.side import Side
from prodmatch_ensemble.worth import shares, worth_of_each

SECTIONS = ("member", "aggregator")
"What a file of new members may hold."


def extended(run: Run, file: Path, settings: Sequence[str], registry: Registry) -> PipelineFile:
    """Return the run's pipeline with the members of `file` after its own.

    Raises:
        ConfigError: the file has no member or something else than members and an aggregator; or the pipeline that
            comes of it is not valid.
        RunError: the run has no aggregator and the file brings none.
    """
    tree, added = read_toml(run.path / "resolved.toml"), read_toml(file)
    problems = [
        Problem(
            name,
            "is no part of a member; a file that extends a run holds [[member]] and perhaps [aggregator]",
        )
        for name in added
        if name not in SECTIONS
    ]
    if not added.get("member"):
        problems.append(Problem("member", "missing; write at least one [[member]]"))
    if problems:
        raise ConfigError(problems, str(file))
    if "aggregator" not in tree and "aggregator" not in added:
        raise RunError(
            f"{run.path}: has no aggregator, so another member has nowhere to go. Add [aggregator] with use = "
            f'"ensemble.lightgbm" to {file}; members without out-of-fold predictions are then fitted again.'
        )
    more = added["member"] if isinstance(added["member"], list) else [added["member"]]
    tree["member"] = [*tree["member"], *more]
    if "aggregator" in added:
        tree["aggregator"] = added["aggregator"]
    return load_pipeline(tree, settings, registry)


def take_over(run: Run, out: Path) -> None:
    """Put the run's fitted members into the draft of `out`, where a run finds them as finished stages."""
    draft = Draft(out).path
    for folder in sorted((run.path / "members").iterdir()):
        target = draft / "members" / folder.name
        if not target.exists():
            made = target.with_name(f".{folder.name}.copying")
            shutil.rmtree(made, ignore_errors=True)
            shutil.copytree(folder, made)
            made.rename(target)
    log = run.path / "log.jsonl"
    if log.exists() and not (draft / "log.jsonl").exists():
        shutil.copyfile(log, draft / "log.jsonl")


def standing(run: Run, dataset: Dataset) -> list[dict[str, Any]]:
    """Return every member of a run with what it is worth, the most important first.

    Each has `name`, `share` of all Shapley values, `gain` (nats a pair that it saves on held-out queries), `error` and
    `verdict`. Empty where the aggregator is no ensemble of this plugin.
    """
    pipeline = load_pipeline(run.path / "resolved.toml")
    path = run.path / "aggregator" / STATE
    if pipeline.aggregator is None or not path.exists():
        return []
    config = pipeline.aggregator.part.config
    assert isinstance(config, TreesConfig)
    task = load_task(pipeline.pipeline.task)
    data = task.examples(dataset, pipeline)
    names = [member.name for member in pipeline.member]
    tables = [load_file(run.path / "members" / name / "predictions.safetensors")["train"] for name in names]
    pairs = Pairs(data.corpus, data.examples["train"], dataset)
    groups = data.groups("train", task.spec.group)
    said = stack(names, tables, [np.full(len(groups), np.nan)] * len(names), pairs, groups)
    table = table_of(said, data.scheme, Side.fit(config.side, pairs))
    table = table.take(np.flatnonzero((table.labels >= 0) & (table.weights > 0)))
    state: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["whole"]
    by_member = np.sum([values[: state["members"]] for values in state["by_class"].values()], axis=0)
    share = shares(state["sources"][: state["members"]], by_member.tolist())
    found = [
        {
            "name": one.name,
            "share": share[one.name],
            "gain": one.gain,
            "error": one.error,
            "verdict": one.verdict,
        }
        for one in worth_of_each(table, config, len(data.scheme.labels), pipeline.pipeline.seed)
    ]
    return sorted(found, key=lambda one: -one["share"])
