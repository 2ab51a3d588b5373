"""Two run directories written by hand: a four-class one with everything in it, and a small binary one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest

from prodmatch_core.config import load_pipeline, resolved, to_toml
from prodmatch_core.data.dataset import ESCI, LabelScheme
from prodmatch_core.fields import part
from prodmatch_core.plugins import PluginState, new_manager
from prodmatch_core.records import (
    AggregatorSpec,
    CalibratorSpec,
    DatasetSpec,
    EncoderSpec,
    LossSpec,
    MeasureSpec,
    NegativeGeneratorSpec,
    Part,
)
from prodmatch_core.registry import Registry
from prodmatch_core.rundir import Run
from prodmatch_core.writing import write_json, write_parquet, write_text

HOSTILE = "<script>alert('title')</script> & \"quotes\" \x00 <b>bold"
BINARY = LabelScheme("binary", ("match", "mismatch"), (1.0, 0.0), ("match",))


@attrs.frozen
class ShopConfig:
    size: int = 1000
    "Pairs."


@attrs.frozen
class NgramConfig:
    mode: str = "pair"
    "How the two sides meet."
    dim: int = 128
    "Width of the vectors."


@attrs.frozen
class StackConfig:
    text: Part = part("encoder")
    "Reads the texts."


@attrs.frozen
class MarginConfig:
    margin: float = 0.5
    "Cosine similarity above which a negative pair counts as hard."


@pytest.fixture(scope="session")
def report_registry() -> Registry:
    """A registry of parts that are only ever named."""
    where = "prodmatch_core.records:NoConfig"
    records = [
        DatasetSpec(
            name="shop.synthetic",
            summary="A shop.",
            factory=where,
            config=ShopConfig,
            gives={"judgements", "products", "queries"},
        ),
        EncoderSpec(
            name="core.ngram", summary="N-grams.", factory=where, config=NgramConfig, gives={"pairs"}
        ),
        EncoderSpec(
            name="blade.stack", summary="A stack.", factory=where, config=StackConfig, gives={"pairs"}
        ),
        EncoderSpec(name="core.overlap", summary="Overlap.", factory=where, gives={"probabilities"}),
        EncoderSpec(name="baselines.gbdt", summary="Trees.", factory=where, gives={"probabilities"}),
        LossSpec(name="core.cross_entropy", summary="Cross-entropy.", factory=where, needs={"logits"}),
        LossSpec(
            name="tcm.margin", summary="A margin.", factory=where, config=MarginConfig, needs={"logits"}
        ),
        NegativeGeneratorSpec(name="quarts.generated", summary="Rewrites.", factory=where),
        AggregatorSpec(name="ensemble.stacked", summary="Stacking.", factory=where),
        CalibratorSpec(name="core.temperature", summary="One number.", factory=where),
        CalibratorSpec(name="core.threshold", summary="A threshold.", factory=where),
        *(
            MeasureSpec(name=name, summary=name, factory=where, direction="higher")
            for name in ("macro_f1", "accuracy")
        ),
    ]
    return Registry(new_manager(), [PluginState("core", "prodmatch-core", "0.1.0", "here", records=records)])


ESCI_PIPELINE: Mapping[str, Any] = {
    "pipeline": {"name": "demo-shop", "seed": 7},
    "data": {"use": "shop.synthetic", "size": 20000},
    "member": [
        {
            "name": "ngram",
            "encoder": {"use": "core.ngram", "dim": 256},
            "loss": [
                {"use": "core.cross_entropy"},
                {"use": "tcm.margin", "weight": 0.25, "margin": 0.4},
            ],
            "negatives": {"use": "quarts.generated"},
        },
        {
            "name": "stack",
            "encoder": {"use": "blade.stack", "text": {"use": "core.ngram", "mode": "siamese"}},
            "training": {"phase": [{"name": "warm", "epochs": 2, "freeze": ["encoder"]}, {"name": "main"}]},
        },
        {"name": "gbdt", "encoder": {"use": "baselines.gbdt"}},
    ],
    "aggregator": {"use": "ensemble.stacked"},
    "calibrator": [{"use": "core.temperature"}, {"use": "core.threshold"}],
}

BINARY_PIPELINE: Mapping[str, Any] = {
    "pipeline": {"name": "homedepot"},
    "data": {"use": "shop.synthetic"},
    "member": [{"name": "ngram", "encoder": {"use": "core.ngram"}}],
    "calibrator": [{"use": "core.threshold"}],
}


def estimate(value: float | None, width: float = 0.012) -> dict[str, float | None]:
    """An interval around a value, all null where the value is."""
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - width, "high": value + width}


def decisions(scheme: LabelScheme, rows: int, seed: int) -> pl.DataFrame:
    """Decisions of a model that is right more often than not and a little too sure."""
    generator = np.random.default_rng(seed)
    classes = len(scheme.labels)
    shares = np.array([0.44, 0.34, 0.05, 0.17]) if classes == 4 else np.array([0.7, 0.3])
    labels = generator.choice(classes, size=rows, p=shares)
    logits = generator.normal(0, 1.4, (rows, classes)) + np.log(shares)
    logits[np.arange(rows), labels] += 1.6
    probabilities = np.exp(logits * 1.3)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    decided = probabilities.argmax(axis=1)
    names = np.array(scheme.labels, dtype=object)
    return pl.DataFrame(
        {
            "query_id": [f"q{row // 12}" for row in range(rows)],
            "product_id": [f"p{row}" for row in range(rows)],
            "locale": [("us", "es", "jp")[row // 12 % 3] for row in range(rows)],
            "split": ["test"] * rows,
            "weight": [1.0] * rows,
            "label": names[labels].tolist(),
            "decided": names[decided].tolist(),
            "accepted": [True] * rows,
            "score": probabilities[:, 0],
            "uncertainty": [float("nan")] * rows,
            **{f"p_{label}": probabilities[:, index] for index, label in enumerate(scheme.labels)},
        }
    )


def write_run(
    folder: Path,
    registry: Registry,
    pipeline: Mapping[str, Any],
    scheme: LabelScheme,
    rows: int,
    **changes: Any,
) -> Run:
    """Write a run directory; `changes` replace top-level keys of metrics.json."""
    folder.mkdir()
    frame = decisions(scheme, rows, seed=3)
    write_text(folder / "resolved.toml", to_toml(resolved(load_pipeline(pipeline, registry=registry))))
    write_parquet(folder / "decisions.parquet", frame)
    write_json(folder / "metrics.json", {**metrics(frame, scheme, pipeline), **changes})
    write_json(folder / "mistakes.json", mistakes(scheme))
    write_json(folder / "data.json", data_card(scheme))
    write_json(folder / "provenance.json", provenance(scheme))
    write_text(folder / "log.jsonl", log(pipeline))
    return Run(folder)


def metrics(frame: pl.DataFrame, scheme: LabelScheme, pipeline: Mapping[str, Any]) -> dict[str, Any]:
    labels = list(scheme.labels)
    confusion = [
        [frame.filter((pl.col("label") == true) & (pl.col("decided") == said)).height for said in labels]
        for true in labels
    ]
    names = [("majority class", "baseline", 0.2), ("word overlap", "baseline", 0.391)]
    names += [(member["name"], "member", 0.48 + 0.02 * n) for n, member in enumerate(pipeline["member"])]
    names.append(("pipeline", "pipeline", 0.548))
    lines = [
        {
            "name": name,
            "kind": kind,
            "measures": {
                "macro_f1": estimate(value),
                "accuracy": estimate(value + 0.14),
                "weighted_f1": estimate(value + 0.11),
                "match_f1": estimate(value + 0.2),
                "average_precision": estimate(value + 0.25),
                "ndcg@10": estimate(min(value + 0.38, 0.93)),
                "quadratic_kappa": estimate(None if name == "majority class" else value - 0.1),
                "nll": estimate(1.6 - value, 0.02),
                "ece": estimate(0.11 - value / 10, 0.004),
            },
        }
        for name, kind, value in names
    ]
    return {
        "name": pipeline["pipeline"]["name"],
        "task": "match",
        "headline": "macro_f1",
        "level": 0.95,
        "lines": lines,
        "differences": [
            {
                "against": name,
                "measure": "macro_f1",
                "value": 0.548 - value,
                "low": 0.548 - value - (0.03 if value < 0.5 else 0.06),
                "high": 0.548 - value + (0.03 if value < 0.5 else 0.06),
                "p": 0.0009 if value < 0.5 else 0.11,
            }
            for name, _, value in names[:-1]
        ],
        "directions": {
            measure: "lower" if measure in ("nll", "ece") else "higher" for measure in lines[0]["measures"]
        },
        "per_class": [
            {
                "label": label,
                "precision": None if label == "complement" else 0.5 + 0.05 * index,
                "recall": 0.42 + 0.03 * index,
                "f1": 0.46 + 0.04 * index,
                "support": float(sum(confusion[index])),
            }
            for index, label in enumerate(labels)
        ],
        "confusion": confusion,
        "slices": [
            {
                "by": by,
                "name": name,
                "examples": queries * 12,
                "queries": queries,
                "measures": {"macro_f1": estimate(value, width), "accuracy": estimate(0.66, width)},
            }
            for by, name, queries, value, width in [
                ("locale", "es", 20, 0.51, 0.06),
                ("locale", "jp", 83, 0.487, 0.04),
                ("locale", "us", 84, 0.571, 0.03),
                ("frequency", "head", 61, 0.59, 0.03),
                ("frequency", "torso", 62, 0.55, 0.03),
                ("frequency", "tail", 64, None, 0.03),
            ]
        ],
        "counts": {
            "train": 14000,
            "valid": 3000,
            "test": frame.height,
            "test_queries": frame["query_id"].n_unique(),
        },
        "tie_share": 0.0123,
        "seconds": {
            "load": 1.24,
            "members": {member["name"]: 64.2 * (n + 1) for n, member in enumerate(pipeline["member"])},
            "evaluate": 4.4,
            "total": 401.0,
        },
    }


def mistakes(scheme: LabelScheme) -> list[dict[str, Any]]:
    texts = [
        ("usb c charger 65w", HOSTILE, "us", "typo in the query"),
        (
            "ワイヤレス イヤホン ノイズキャンセリング",
            "完全ワイヤレスイヤホン Bluetooth 5.3 高音質 防水 IPX7 自動ペアリング 左右分離型",
            "jp",
            None,
        ),
        ("zapatillas running mujer", "Zapatillas de correr para hombre, talla 43, azul y blanco", "es", None),
        ("iphone 13 case", "Superlongwordwithoutanyspaces" * 8, "us", "accessory for the product"),
        ("حذاء رياضي", "حذاء رياضي للرجال", "ae", None),
    ]
    return [
        {
            "query_id": f"q{number}",
            "query": query,
            "product_id": f"p{number * 11}",
            "title": title,
            "locale": locale,
            "label": scheme.labels[-1],
            "decided": scheme.labels[0],
            "probability": 0.99 - number / 50,
            "cause": cause,
        }
        for number, (query, title, locale, cause) in enumerate(texts)
    ]


def data_card(scheme: LabelScheme) -> dict[str, Any]:
    shares = [0.44, 0.34, 0.05, 0.17] if len(scheme.labels) == 4 else [0.7, 0.3]
    return {
        "name": "shop.synthetic",
        "source": "generated from seed 7",
        "licence": "CC0-1.0",
        "fingerprint": "3b5d" * 16,
        "notes": ["12 rows skipped: no title", "3 queries occur in train and test: kept in train"],
        "tables": {"products": {"rows": 11834}, "queries": {"rows": 1523}, "judgements": {"rows": 20000}},
        "splits": {
            split: {
                "judgements": size,
                "queries": size // 12,
                "labels": dict(zip(scheme.labels, shares, strict=True)),
            }
            for split, size in (("test", 3000), ("train", 14000), ("valid", 3000))
        },
        "locales": {"es": {"products": 1203}, "jp": {"products": 2100}, "us": {"products": 8531}},
        "lengths": {"queries.text": {"median": 21.0}, "products.title": {"median": None}},
    }


def provenance(scheme: LabelScheme) -> dict[str, Any]:
    return {
        "format": 1,
        "created": "2026-11-21T07:10:00+00:00",
        "seed": 7,
        "fingerprint": "3b5d" * 16,
        "scheme": attrs.asdict(scheme),
        "distributions": {
            "prodmatch-core": "0.1.0",
            "prodmatch-ensemble": "0.1.0",
            "torch": "2.13.0",
            "polars": "1.35",
        },
        "machine": {
            "system": "Linux-6.1-x86_64",
            "processor": "x86_64",
            "cores": 2,
            "python": "3.11.9",
            "device": "cpu",
        },
        "tie_rule": "Ties are averaged over.",
        "seconds": {"load": 1.24},
        "warnings": ["plugin acme 0.1 (acme.plugin) failed to import: No module named 'acme'"],
    }


def log(pipeline: Mapping[str, Any]) -> str:
    lines: list[dict[str, Any]] = [{"event": "started"}]
    for number, member in enumerate(pipeline["member"]):
        epochs = 0 if member["name"] == "gbdt" else 7
        lines += [epoch_event(member["name"], number, epoch) for epoch in range(1, epochs + 1)]
    return "".join(json.dumps(line) + "\n" for line in lines)


def epoch_event(member: str, number: int, epoch: int) -> dict[str, Any]:
    return {
        "event": "epoch",
        "member": member,
        "phase": "warm" if number and epoch < 3 else "main",
        "epoch": epoch,
        "loss": 1.3 / epoch**0.5 + 0.05 * number,
        "learning_rate": 0.001,
        "seconds": 8.1,
        "valid": {"macro_f1": 0.54 - 0.2 / epoch - 0.004 * max(epoch - 5, 0), "nll": 1.1},
    }


@pytest.fixture(scope="session")
def esci_run(tmp_path_factory: pytest.TempPathFactory, report_registry: Registry) -> Run:
    """A four-class run with three members, an aggregator and two calibrators."""
    folder = tmp_path_factory.mktemp("esci") / "demo-shop"
    return write_run(folder, report_registry, ESCI_PIPELINE, ESCI, rows=2244)


@pytest.fixture(scope="session")
def binary_run(tmp_path_factory: pytest.TempPathFactory, report_registry: Registry) -> Run:
    """A two-class run with one member and no aggregator, whose optional figures are absent."""
    folder = tmp_path_factory.mktemp("binary") / "homedepot"
    return write_run(
        folder, report_registry, BINARY_PIPELINE, BINARY, rows=360, slices=[], tie_share=None, differences=[]
    )
