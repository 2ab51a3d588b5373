"""The phases and the graph with several processes of `torchrun`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prodmatch_core.config import load_pipeline
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

FILE = """
[pipeline]
name = "two"
[data]
use = "shop.synthetic"
size = 1000
[[member]]
name = "salam"
[member.encoder]
use = "salam.fusion"
text = { use = "core.ngram", width = 8, buckets = 4096 }
graph = { use = "core.mean_nodes", width = 16 }
features = { use = "core.ngram", mode = "two_tower", width = 8, buckets = 4096 }
width = 16
node_width = 16
[member.sampler]
use = "core.uniform_sampler"
fanouts = [10, 10]
[[member.loss]]
use = "core.cross_entropy"
[[member.loss]]
use = "salam.link"
weight = 0.3
phases = ["everywhere"]
[member.training]
batch_size = 32
learning_rate = 0.01
[[member.training.phase]]
name = "everywhere"
epochs = 2
[[member.training.phase]]
name = "region"
epochs = 1
per_locale = true
freeze = ["encoder.text"]
[evaluation]
replicates = 100
baselines = []
"""


@pytest.mark.slow
def test_two_processes_train_the_phases_to_one_run(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(FILE)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["-m", "prodmatch_core", "run", str(tmp_path / "two.toml"), "--out", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1, "every process spoke"
    alone = run_pipeline(load_pipeline(tmp_path / "two.toml"), out=tmp_path / "one")
    runs = {"one": alone, "two": Run.open(tmp_path / "two")}
    one, two = ([(e["phase"], e.get("locale"), e["loss"]) for e in run.log()] for run in runs.values())
    assert [event[:2] for event in two] == [event[:2] for event in one]
    assert [event[0] for event in two[:3]] == ["everywhere", "everywhere", "region"]
    # Each process draws neighbours and links of its own, so the losses are near and not the same.
    assert [event[2] for event in two] == pytest.approx([event[2] for event in one], rel=0.15)
    assert two[1][2] < two[0][2]
    told = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert told["counts"]["test"] == runs["one"].metrics["counts"]["test"] > 0
