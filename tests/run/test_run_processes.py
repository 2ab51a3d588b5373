from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

# Dropout draws other masks for other batch shapes, so only a model without it can be compared number by number.
SCRIPT = """
import os, sys
from pathlib import Path
from accelerate import PartialState
from safetensors.torch import save_file
from torch import nn
from prodmatch_core.builtin.configs import CrossEntropyConfig, NgramConfig
from prodmatch_core.builtin.cross_entropy import CrossEntropyLoss
from prodmatch_core.builtin.ngram import NgramEncoder
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.folder import read_folder
from prodmatch_core.sections import Training
from prodmatch_core.tasks.match import MatchTask
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.prediction import predict

dataset = read_folder(Path(sys.argv[1]))
corpus, examples, _ = match_examples(dataset)
data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
with seeds.torch_seed(0, "weights"):
    encoder = NgramEncoder.build(NgramConfig(buckets=256, width=8, dropout=0.0), data, seeds.rng(0, "build"))
    task = MatchTask()
    model = MemberModel(encoder, task.head(encoder.width, frozenset({"pairs"}), dataset.scheme), task)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    prepared = encoder.prepare(corpus)
    def validate(model):
        return {"accuracy": float((predict(model, prepared, data.valid).argmax(1) == data.valid.label).mean())}
    loop.fit(loop.Fitting(
        model=model, losses=[(1.0, CrossEntropyLoss(CrossEntropyConfig(), dataset.scheme))], data=data,
        prepared=prepared, settings=Training(batch_size=16, epochs=2, learning_rate=0.01, patience=0),
        validate=validate,
        measure="accuracy", higher=True, seed=0, name="ngram",
    ))
assert PartialState().num_processes == int(os.environ.get("WORLD_SIZE", 1)), "the processes did not join"
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{sys.argv[2]}-{os.environ.get('RANK', 'one')}")
"""


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one(shop_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    arguments = [str(script), str(shop_folder), str(tmp_path / "weights")]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for command in ([sys.executable, *arguments], [sys.executable, *launch, *arguments]):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
    one, first, second = (load_file(tmp_path / f"weights-{name}") for name in ("one", "0", "1"))
    for name, weights in one.items():
        assert (first[name] - weights).abs().max() < 1e-4, name
        assert (first[name] - second[name]).abs().max() == 0, name


FILE = """
[pipeline]
name = "events"
task = "convert"
[data]
use = "shop.synthetic"
size = 2000
[[member]]
encoder = { use = "core.event_features", dropout = 0.0, buckets = 4096 }
training = { epochs = 2, batch_size = 64, head_dropout = 0.0 }
[aggregator]
use = "core.logistic"
folds = 2
[evaluation]
replicates = 100
"""


@pytest.mark.slow
def test_a_whole_run_of_two_processes_gives_the_figures_of_one(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(FILE)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    figures = {}
    for out, prefix in (("one", []), ("two", launch)):
        words = ["-m", "prodmatch_core", "run", str(tmp_path / "events.toml"), "--out", str(tmp_path / out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *prefix, *words], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("report:") == 1, "every process spoke"
        lines = json.loads((tmp_path / out / "metrics.json").read_text())["lines"]
        figures[out] = {
            (line["name"], name): estimate["value"]
            for line in lines
            for name, estimate in line["measures"].items()
        }
    assert figures["one"] == pytest.approx(figures["two"], abs=1e-3)
    weights = [
        load_file(tmp_path / out / "members" / "event_features" / "model.safetensors") for out in figures
    ]
    for name, tensor in weights[0].items():
        assert (tensor - weights[1][name]).abs().max() < 1e-4, name
