"""From the files of event logs, in their exact formats, to streams that know nothing too early."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.streams import NEVER, EventLog
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import ConvertSection
from prodmatch_core.tasks.base import load_task
from prodmatch_core.testing.worlds import task_pipeline
from prodmatch_delayed.configs import METHODS
from prodmatch_delayed.streams import stream_of


def log_of(name: str, folder: Path, **fields: object) -> EventLog:
    spec = default_registry().get("dataset", name)
    config = spec.config(**{**spec.example, **fields})
    dataset = spec.load()(config, ReadContext(root=folder, base=folder))
    pipeline = task_pipeline("convert", convert=ConvertSection(window=30, hourly=True, step=24))
    log = load_task("convert").examples(dataset, pipeline).log
    assert log is not None
    return log


def streams_are_honest(log: EventLog) -> None:
    for method in METHODS:
        stream = stream_of(log, method, 1.0)
        stream.check(log)
        assert set(stream.event) == set(range(len(log))), method


def test_criteos_conversion_log_becomes_streams(tmp_path: Path) -> None:
    # Tab-separated, no header: click, conversion (or blank), 8 integers, 9 hashed categories.
    rng = np.random.default_rng(0)
    lines = []
    for click in np.sort(rng.integers(0, 40 * 86_400, 300)):
        sale = str(click + int(rng.exponential(86_400))) if rng.random() < 0.3 else ""
        numbers = [str(n) if rng.random() < 0.8 else "" for n in rng.integers(0, 50, 8)]
        kinds = [f"{k:032x}" for k in rng.integers(0, 9, 9)]
        lines.append("\t".join([str(click), sale, *numbers, *kinds]))
    (tmp_path / "criteo").mkdir()
    (tmp_path / "criteo/data.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    log = log_of("core.criteo", tmp_path)
    assert len(log) == 300
    assert (log.converted < NEVER).sum() == sum(line.split("\t")[1] != "" for line in lines)
    streams_are_honest(log)


@pytest.mark.parametrize("name", ["core.talkingdata", "core.criteo_display"])
def test_real_files_become_streams(name: str) -> None:
    if "PRODMATCH_DATA" not in os.environ:
        pytest.skip(f"needs the data folder named by PRODMATCH_DATA for {name}")
    streams_are_honest(log_of(name, Path(os.environ["PRODMATCH_DATA"])))
