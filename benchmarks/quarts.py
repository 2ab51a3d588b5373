"""QUARTS' classifier beside a plain PyTorch BiLSTM classifier of equal size: training and scoring, pairs a second.

    OMP_NUM_THREADS=1 python benchmarks/quarts.py [--pairs 4096] [--rounds 7]

Both read the same batches of the embedded shop, sorted by length, from memory, in one process with one torch thread; a
training step is forward, backward and AdamW. The two take turns in every round and the median of the rounds is told,
in processor time, which other work on the machine disturbs less.
Lexical features of 100,000 pairs are timed as well. At these
sizes the tables go into docs/explanation/benchmarks-quarts.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_baselines.features import LexicalFeatures
from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.components.encoder import Batch, FitData
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import seeds
from prodmatch_core.training.batches import epoch_batches
from prodmatch_core.training.model import MemberModel
from prodmatch_quarts.attention import AttentionEncoder
from prodmatch_quarts.configs import AttentionConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-quarts.md"
BATCH = 128
TARGET = 0.5
"Training speed that is asked for, as a share of the plain classifier's."
SIZES = ((64, 64), (300, 128))
"Width of a token's vector, units of the LSTMs."
LEXICAL = 100_000


class Plain(nn.Module):
    """What one would write: a BiLSTM a side, last states of both directions, a layer, logits."""

    def __init__(self, vocabulary: int, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        half = hidden // 2
        self.query = nn.LSTM(width, half, batch_first=True, bidirectional=True)
        self.product = nn.LSTM(width, half, batch_first=True, bidirectional=True)
        self.layers = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, batch: Batch) -> Tensor:
        found = []
        for side, lstm in (("query", self.query), ("product", self.product)):
            ids, mask = batch[f"{side}_ids"], batch[f"{side}_mask"]
            packed = nn.utils.rnn.pack_padded_sequence(
                self.embedding(ids), mask.sum(dim=1), batch_first=True, enforce_sorted=False
            )
            found.append(lstm(packed)[1][0].transpose(0, 1).flatten(1))
        return self.layers(torch.cat(found, dim=1))


def shop() -> FitData:
    dataset = make_shop(ShopConfig(size=20_000, events_per_judgement=0.0))
    corpus, examples, _ = match_examples(dataset)
    return FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)


def measured(data: FitData, width: int, hidden: int, pairs: int, rounds: int) -> dict[str, float]:
    """Return pairs a second of both classifiers, training and scoring, and their weights."""
    with seeds.torch_seed(0, "benchmark"):
        config = AttentionConfig(width=width, hidden=hidden)
        encoder = AttentionEncoder.build(config, data, seeds.rng(0, "tokens"))
        task = load_task("match")
        head = task.head(encoder.width, frozenset({"pairs"}), data.scheme)
        ours = MemberModel(encoder, head, task)
        vocabulary, classes = encoder.tokens.embedding.num_embeddings, len(data.scheme.labels)
        theirs = Plain(vocabulary, width, hidden, classes)
    prepared = encoder.prepare(data.corpus)
    some = data.train.take(seeds.rng(0, "pairs").permutation(len(data.train))[:pairs])
    lengths = prepared.lengths(some.query, some.product)
    batches = []
    for rows in epoch_batches(lengths, BATCH, seeds.rng(0, "order")):
        part = some.take(rows)
        batches.append((prepared.batch(part.query, part.product), torch.from_numpy(part.label)))
    weights = torch.ones(BATCH)

    def logits_of_ours(batch: Batch, labels: Tensor) -> Tensor:
        found = ours(batch, labels, weights[: len(labels)])[0].logits
        assert found is not None
        return found

    arms: dict[str, tuple[nn.Module, Callable[[Batch, Tensor], Tensor]]] = {
        "ours": (ours, logits_of_ours),
        "plain": (theirs, lambda batch, labels: theirs(batch)),
    }
    optimizers = {
        name: torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True) for name, (model, _) in arms.items()
    }
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (model, logits) in arms.items():
            model.train()
            started = time.process_time()
            for batch, labels in batches:
                functional.cross_entropy(logits(batch, labels), labels).backward()
                optimizers[name].step()
                optimizers[name].zero_grad(set_to_none=True)
            seconds.setdefault(f"{name} training", []).append(time.process_time() - started)
            model.eval()
            started = time.process_time()
            with torch.inference_mode():
                for batch, labels in batches:
                    logits(batch, labels)
            seconds.setdefault(f"{name} scoring", []).append(time.process_time() - started)
    found = {name: len(some) / statistics.median(values) for name, values in seconds.items()}
    for name, (model, _) in arms.items():
        found[f"{name} weights"] = sum(p.numel() for p in model.parameters())
    return found


def lexical(data: FitData) -> float:
    """Return the seconds that the lexical features of LEXICAL pairs take, texts read anew."""
    features = LexicalFeatures.of(LexicalGBDTConfig(), data.corpus)
    rows = data.train.take(np.resize(np.arange(len(data.train)), LEXICAL))
    started = time.process_time()
    features.columns(data.corpus, rows)
    return time.process_time() - started


def page(data: FitData, pairs: int, rounds: int) -> str:
    lines = [
        "# QUARTS beside a BiLSTM classifier",
        "",
        *textwrap.wrap(
            "`quarts.attention` with the task's head against a plain PyTorch classifier of as many units: a BiLSTM a "
            f"side, the last states of both directions, two layers. The same batches of {BATCH} pairs of the embedded "
            "shop in memory, one process, one torch thread, the two in turn, the median of "
            f"{rounds} rounds over {pairs:,} pairs, in seconds of processor time.",
            118,
        ),
        "",
        f"    OMP_NUM_THREADS=1 python benchmarks/quarts.py --pairs {pairs} --rounds {rounds}",
        "",
        "| token width, units | weights, ours and plain | training, pairs/s | plain | ratio "
        "| scoring, pairs/s | plain | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for width, hidden in SIZES:
        found = measured(data, width, hidden, pairs, rounds)
        cells = [f"{found['ours weights']:,}, {found['plain weights']:,}"]
        for what in ("training", "scoring"):
            ours, plain = found[f"ours {what}"], found[f"plain {what}"]
            cells += [f"{ours:,.0f}", f"{plain:,.0f}", f"**{ours / plain:.2f}**"]
        lines.append(f"| {width}, {hidden} | {' | '.join(cells)} |")
    lines += [
        "",
        *textwrap.wrap(
            f"Asked for is a ratio of at least {TARGET:g} in training. The LSTMs read from left to right, so padding "
            "after a text needs no packing; the one loop over time is the attention's, over the few tokens of a query, "
            "whose products with the states are taken before it.",
            118,
        ),
        "",
        f"Lexical features of {LEXICAL:,} pairs, title and all texts (`baselines.lexical_gbdt`): "
        f"{lexical(data):.1f} s of processor time.",
        "",
        f"Measured with Python {platform.python_version()}, torch {torch.__version__}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the page where sizes are the defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = page(shop(), options.pairs, options.rounds)
    print(text)
    if options == parser.parse_args([]):
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
