"""Whole runs: the loss at work hour by hour, the section of the report, the encoder with texts."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open

from prodmatch_core.components.loss import Learnt, Output
from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import DataError
from prodmatch_core.runner import run_pipeline
from prodmatch_core.tasks.convert import CONVERSION
from prodmatch_delayed.configs import METHODS, ImportanceConfig
from prodmatch_delayed.importance import ImportanceLoss

ARMS = (*METHODS, "signals/factored", "signals/settled")
PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"


def pipeline(methods: tuple[str, ...], encoder: Mapping[str, Any] | None = None, **convert: Any) -> Any:
    small = {"use": "delayed.events", "hidden": [16, 8], "buckets": 512, "width": 4}
    return load_pipeline(
        {
            "pipeline": {"name": "tiny", "task": "convert"},
            "data": {
                "use": "shop.synthetic",
                "size": 300,
                "attribution_days": 2,
                "split": {"valid": 0.05, "test": 0.1},
            },
            "convert": {"hourly": True, "window": 2, "step": 12.0, **convert},
            "member": [
                {
                    "name": f"m{number}",
                    "encoder": encoder or small,
                    "loss": [{"use": "delayed.importance", "wait": 0.25, **_named(method)}],
                    "training": {"batch_size": 128, "epochs": 1},
                }
                for number, method in enumerate(methods)
            ],
            **({"aggregator": {"use": "core.mean"}} if len(methods) > 1 else {}),
        }
    )


def _named(arm: str) -> Mapping[str, str]:
    method, _, form = arm.partition("/")
    return {"method": method, **({"form": form} if form else {})}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("delayed") / "run"
    return run_pipeline(pipeline(ARMS), out=out)


def test_every_method_runs_from_log_to_report(run: Any) -> None:
    assert {event["member"] for event in run.log()} == {f"m{number}" for number in range(len(ARMS))}
    stated = run.predictions.filter(pl.col("split") == "test")
    assert stated.height == run.metrics["counts"]["test"]


def test_the_section_tells_figures_weights_and_delays(run: Any) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Conversions that come late" in page
    assert "How long conversions take" in page
    assert [
        t
        for t in ("Log loss by day", "ROC AUC by day", "PR AUC by day", "Calibration by day")
        if t not in page
    ] == []
    for number, method in enumerate(arm.partition("/")[0] for arm in ARMS):
        weighed = method not in ("vanilla", "oracle", "fnc", "dfm")
        assert (f"Weights of m{number} ({method})" in page) is weighed, method


def test_figures_by_hour_are_kept_for_every_member(run: Any) -> None:
    table = pl.read_parquet(run.path / "conversion_by_hour.parquet")
    assert table["member"].n_unique() == len(ARMS)
    assert table.filter(pl.col("member") == "m0")["events"].sum() == run.metrics["counts"]["test"]


def test_signals_reach_the_weights_and_never_the_served_model() -> None:
    config = ImportanceConfig(method="signals")
    loss = ImportanceLoss.build(config, Learnt(CONVERSION, 2, 8))
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(6, 8, generator=generator, requires_grad=True)
    facts = {
        "kind": torch.tensor([0, 0, 0, 0, 1, 1]),
        "elapsed": torch.ones(6),
        "delay": torch.zeros(6),
        "trains": torch.ones(6),
    }

    def value(signal: list[float]) -> torch.Tensor:
        logits = torch.stack([vectors.sum(1), -vectors.sum(1)], dim=1)
        output = Output(torch.tensor([0, 1, 1, 1, 0, 0]), torch.ones(6), logits, vectors=vectors)
        output.facts = {**facts, "signal": torch.tensor(signal)}
        return loss(output)

    without, given = value([-1.0] * 6), value([-1.0, 0.5, 0.2, -1.0, 0.1, -1.0])
    assert without != given
    # The weight models' own losses send nothing into the vectors that the served model reads.
    for parameter in loss.models.parameters():
        torch.nn.init.zeros_(parameter)
    (alone,) = torch.autograd.grad(value([-1.0] * 6), vectors)
    (signalled,) = torch.autograd.grad(value([0.5] * 6), vectors)
    assert torch.allclose(alone, signalled)


def test_rows_of_no_stream_are_taken_as_they_are() -> None:
    loss = ImportanceLoss.build(ImportanceConfig(method="es_dfm"), Learnt(CONVERSION, 2, 8))
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.2]])
    output = Output(torch.tensor([0, 1]), torch.ones(2), logits)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
    assert torch.allclose(loss(output), expected)


def test_an_encoder_of_texts_is_read_beside_the_features(tmp_path: Path) -> None:
    text = {"use": "core.ngram", "width": 8, "buckets": 2048, "mode": "two_tower"}
    encoder = {"use": "delayed.events", "hidden": [16, 8], "buckets": 512, "width": 4, "text": text}
    run = run_pipeline(pipeline(("exact",), encoder), out=tmp_path / "run")
    with safe_open(run.path / "members/m0/model.safetensors", framework="np") as file:
        assert any(name.startswith("encoder.text.") for name in file.keys())  # noqa: SIM118


def test_defer_without_a_window_of_attribution_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run_pipeline(pipeline(("defer",), window=0), out=tmp_path / "run")
    assert str(caught.value) == (
        "delayed.importance: defer tells every event once more when its label is final, and no conversion is ever too "
        "late. Set convert.window, in days."
    )


def test_shipped_pipelines_are_valid() -> None:
    for file in PIPELINES.glob("*.toml"):
        load_pipeline(tomllib.loads(file.read_text(encoding="utf-8")))


def test_weight_models_find_the_chances_they_are_told_in_part() -> None:
    """Rows of two kinds of events, drawn with known chances: `genuine` and `late` come out at these."""
    rng = np.random.default_rng(1)
    n, p, late = 20_000, np.array([0.3, 0.1]), np.array([0.2, 0.02])
    which = rng.integers(0, 2, n)
    fate = rng.random(n)
    slow = fate < late[which]
    quick = ~slow & (fate < p[which])
    rows = np.concatenate([np.arange(n), np.flatnonzero(slow)])
    label = np.concatenate([np.where(quick, 0, 1), np.zeros(slow.sum(), dtype=int)])
    kind = np.concatenate([np.zeros(n, dtype=int), np.ones(slow.sum(), dtype=int)])
    vectors = torch.nn.functional.one_hot(torch.from_numpy(which[rows]), 2).float()
    loss = ImportanceLoss.build(ImportanceConfig(method="es_dfm", hidden=8), Learnt(CONVERSION, 2, 2))
    generator = torch.Generator().manual_seed(0)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    zeros = torch.zeros(len(rows))
    output = Output(
        torch.from_numpy(label), torch.ones(len(rows)), torch.zeros(len(rows), 2), vectors=vectors
    )
    output.facts = {
        "kind": torch.from_numpy(kind),
        "elapsed": zeros + 1,
        "delay": zeros,
        "signal": zeros - 1,
        "trains": zeros + 1,
    }
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss(output).backward()
        optimiser.step()
    found = {name: model(torch.eye(2)).squeeze(1).sigmoid().tolist() for name, model in loss.models.items()}
    assert found["late"] == pytest.approx(late.tolist(), abs=0.01)
    assert found["genuine"] == pytest.approx(((1 - p) / (1 - p + late)).tolist(), abs=0.01)


def test_models_of_the_signal_find_the_chances_they_are_told_in_part() -> None:
    """Events drawn with known chances: `engages` and `redeems` come out at these, by events with and without signal."""
    rng = np.random.default_rng(2)
    n, early, engages, redeems, alone = 40_000, 0.3, 0.25, (0.4, 0.2), 0.1
    there = rng.random(n) < early
    later = ~there & (rng.random(n) < engages)
    # Some convert without a signal: the conversion is a sign of its own.
    unseen = ~there & ~later & (rng.random(n) < alone)
    converts = (there & (rng.random(n) < redeems[0])) | (later & (rng.random(n) < redeems[1])) | unseen
    signal = np.where(there, 0.5, np.where(later, 2.0, -1.0))
    first, came, late = np.arange(n), np.flatnonzero(later), np.flatnonzero(converts)
    rows = np.concatenate([first, came, late])
    label = np.concatenate([np.ones(n + len(came), dtype=int), np.zeros(len(late), dtype=int)])
    kind = np.repeat([0, 3, 1], [n, len(came), len(late)])
    known = np.concatenate([np.where(there, 0.5, -1.0), signal[came], signal[late]])
    loss = ImportanceLoss.build(
        ImportanceConfig(method="signals", form="factored", hidden=8), Learnt(CONVERSION, 2, 1)
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    output = Output(
        torch.from_numpy(label),
        torch.ones(len(rows)),
        torch.zeros(len(rows), 2),
        vectors=torch.ones(len(rows), 1),
    )
    output.facts = {
        "kind": torch.from_numpy(kind),
        "elapsed": torch.ones(len(rows)),
        "delay": torch.zeros(len(rows)),
        "signal": torch.from_numpy(known).float(),
        "trains": torch.from_numpy(kind != 3).float(),
    }
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss(output).backward()
        optimiser.step()
    half = math.log1p(0.5)
    reads = torch.tensor([[1.0, 1.0, half, half], [1.0, 0.0, 0.0, 0.0]])
    found = {name: model(reads).squeeze(1).sigmoid().tolist() for name, model in loss.models.items()}
    sign = (later | unseen).sum() / (~there).sum()
    bought = converts[~there].sum() / (later | unseen).sum()
    assert found["engages"][1] == pytest.approx(sign, abs=0.01)
    assert found["redeems"] == pytest.approx([converts[there].mean(), bought], abs=0.01)
    assert sign * bought == pytest.approx(converts[~there].mean())
