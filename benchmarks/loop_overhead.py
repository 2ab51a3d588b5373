"""What the training loop costs over a bare PyTorch loop: same model, same batches, same optimiser, in one process.

    python benchmarks/loop_overhead.py

Both train a core.ngram member and a small core.transformer member on the embedded shop. The bare loop is what one would
write by hand: gather, forward, backward, clip, step. Turn by turn, so that the machine's moods meet both. Writes
docs/explanation/benchmarks-loop.md.
"""

from __future__ import annotations

import copy
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prodmatch_core.builtin.configs import CrossEntropyConfig
from prodmatch_core.builtin.cross_entropy import CrossEntropyLoss
from prodmatch_core.components.encoder import Encoder, FitData, Prepared
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import Phase, Training
from prodmatch_core.tasks.match import MatchTask
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.batches import epoch_batches
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.optimizing import make_optimizer, step_size

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "benchmarks-loop.md"
TURNS = 7
SETTINGS = Training(batch_size=64, epochs=1, patience=0)
ENCODERS: dict[str, dict[str, Any]] = {
    "core.ngram": {},
    "core.transformer": {"hidden": 64, "max_length": 64},
}


def bare(model: MemberModel, prepared: Prepared, data: FitData) -> float:
    """Train one epoch by hand and return the seconds of its steps."""
    model.train()
    loss_of = CrossEntropyLoss(CrossEntropyConfig(), data.scheme)
    optimizer = make_optimizer(model, Phase(), SETTINGS)
    lengths = prepared.lengths(data.train.query, data.train.product)
    steps = -(-len(data.train) // SETTINGS.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, step_size(SETTINGS, steps))
    started = time.perf_counter()
    draw = seeds.rng(0, "m", "epoch", 0, 0)
    torch.manual_seed(int(draw.integers(2**63)))
    for rows in epoch_batches(lengths, SETTINGS.batch_size, draw):
        examples = data.train.take(rows)
        batch = prepared.batch(examples.query, examples.product)
        output, _ = model(batch, torch.from_numpy(examples.label), torch.from_numpy(examples.weight))
        loss = loss_of(output)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def ours(model: MemberModel, prepared: Prepared, data: FitData) -> float:
    """Train one epoch with the loop and return its seconds, from the start to the last step."""
    seconds: list[float] = []

    def validate(_: MemberModel) -> dict[str, float]:
        seconds.append(time.perf_counter() - started)  # what follows, validation, the bare loop does not do
        return {"macro_f1": 0.0}

    job = loop.Fitting(
        model=model,
        losses=[(1.0, CrossEntropyLoss(CrossEntropyConfig(), data.scheme))],
        data=data,
        prepared=prepared,
        settings=SETTINGS,
        validate=validate,
        measure="macro_f1",
        higher=True,
        seed=0,
        name="m",
    )
    started = time.perf_counter()
    loop.fit(job)
    return seconds[0]


def main() -> None:
    """Time both loops turn by turn and write the page."""
    dataset = make_shop(ShopConfig(size=20_000))
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    rows = []
    for name, fields in ENCODERS.items():
        spec = default_registry().get("encoder", name)
        with seeds.torch_seed(0, "weights"):
            encoder: Encoder = spec.load().build(spec.config(**fields), data, np.random.default_rng(0))
            task = MatchTask()
            head = task.head(encoder.width, frozenset({"pairs"}), dataset.scheme)
            model = MemberModel(encoder, head, task)
        prepared = encoder.prepare(corpus)
        turns: dict[str, list[float]] = {"bare": [], "ours": []}
        same = []
        for turn in range(TURNS + 1):
            for kind, train in (("bare", bare), ("ours", ours)):
                trained = copy.deepcopy(model)
                seconds = train(trained, prepared, data)
                if turn:  # the first turn warms caches
                    turns[kind].append(seconds)
                same.append(trained.head.state_dict())
        equal = all(torch.equal(same[0][key], same[1][key]) for key in same[0])
        ratios = [b / a for a, b in zip(turns["bare"], turns["ours"], strict=True)]
        rows.append(
            f"| `{name}` | {len(data.train):,} | {statistics.median(turns['bare']):.2f} | "
            f"{statistics.median(turns['ours']):.2f} | {statistics.median(ratios):.3f} | "
            f"{min(ratios):.3f} to {max(ratios):.3f} | {'yes' if equal else 'no'} |"
        )
        print(rows[-1], flush=True)
    PAGE.write_text(
        "\n".join(
            [
                "# What the training loop costs",
                "",
                "One epoch on the embedded shop (20,000 judgements), batches of 64: the loop of `prodmatch run`",
                "against a bare PyTorch loop with the same model, batches, optimiser and schedule, turn by turn",
                f"in one process ({TURNS} turns after a warm-up, medians).",
                "Made by `python benchmarks/loop_overhead.py`.",
                "",
                "| encoder | examples | bare, s | ours, s | ours / bare | over the turns | same weights |",
                "|---|---:|---:|---:|---:|---|---|",
                *rows,
                "",
            ]
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
