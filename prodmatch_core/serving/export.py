"""Export a run's members to ONNX with int8 linear layers, and measure what that costs.

Weights of linear layers are rounded to 8 bits a channel when exported, their inputs batch by batch (dynamic
quantisation, arXiv 2004.09602, sections 3 and 4); everything else stays in 32 bits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prodmatch_core.components.aggregator import Pairs
from prodmatch_core.components.calibrator import Decisions
from prodmatch_core.components.encoder import Batch
from prodmatch_core.data.corpus import Corpus, Examples, frame_examples
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import RunError
from prodmatch_core.explaining.trace import Traced
from prodmatch_core.onnx_members import BACKEND, WEIGHTS, digest, exportable, exported, require
from prodmatch_core.predictions import frame_of
from prodmatch_core.registry import Registry
from prodmatch_core.rundata import pairs_of
from prodmatch_core.rundir import Run
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel
from prodmatch_core.writing import saving, write_json

QUALITY = "quality.json"
"File beside the exported members with what the export cost."
OPSET = 17


class _Logits(nn.Module):
    """A member as a function of its batch's tensors, in a fixed order."""

    def __init__(self, model: MemberModel, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.head, self.names = model.encoder, model.head, names

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.head(self.encoder(dict(zip(self.names, tensors, strict=True))))


def export_run(
    run: Run,
    dataset: Dataset,
    folder: Path,
    registry: Registry,
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Export every member of a run that can be, measure the loss on its validation pairs, and write both.

    Args:
        run: a finished run of the match task.
        dataset: the run's data set.
        folder: what to make, all of it or nothing; an earlier export there is replaced.
        registry: where measures are found.
        told: hears what is being done.

    Returns:
        What quality.json holds.

    Raises:
        RunError: the extra is not installed, no member can be exported, or the folder cannot be written.
    """
    require("onnx", "onnxruntime")
    traced = Traced.load(run.path)
    chosen = [member for member in traced.pipeline.members if exportable(member)]
    if not chosen:
        parts = ", ".join(f"{member.name} ({member.encoder.name})" for member in traced.pipeline.members)
        raise RunError(
            f"{run.path}: has no member that can be exported: {parts}. Those of core.transformer can be, and of "
            "plugins' encoders that say so; the others are scored as they are."
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / QUALITY).is_file()):
        raise RunError(f"{folder}: exists and is no export. Choose another --out.")
    rows = run.decisions.filter(pl.col("split") == "valid")
    pairs = pairs_of(rows.select("query_id", "product_id", "locale"), dataset)
    draft = folder.with_name(f".{folder.name}.partial")
    with saving(folder):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    try:
        for member in chosen:
            told(f"export {member.name}")
            with saving(draft):
                write_member(member, pairs, _weights(run, member), draft / f"{member.name}.onnx")
        told(f"measure on {rows.height} validation pairs")
        figures = measure(run, traced, chosen, pairs, rows, draft, registry)
        write_json(draft / QUALITY, figures)
        with saving(folder):
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return figures


def _weights(run: Run, member: FittedMember) -> Path:
    return run.path / "members" / member.name / "model.safetensors"


def write_member(member: FittedMember, pairs: pl.DataFrame, weights: Path, path: Path) -> None:
    """Write a member as an ONNX file with int8 linear layers.

    Args:
        member: the member; its encoder must be `exportable`.
        pairs: pairs as `Pipeline.predict` takes them; some of them are traced.
        weights: the file its weights were loaded from, whose digest the export carries.
        path: file to write.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    assert isinstance(member.model, MemberModel)
    whole = path.with_suffix(".fp32")
    batch = _traced_batch(member.model, pairs)
    names = list(batch)
    axes = {name: {0: "batch", 1: f"{name.rpartition('_')[0]}tokens"} for name in names}
    with torch.inference_mode(), _plain_attention(member.model), _quiet():
        torch.onnx.export(
            _Logits(member.model, names).eval(),
            tuple(batch.values()),
            str(whole),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={**axes, "logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,  # the other exporter needs a further package and gives the same graph here
        )
        quantize_dynamic(
            str(whole),
            str(path),
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    whole.unlink()
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {WEIGHTS: digest(weights)})
    onnx.save(model, path)


def _traced_batch(model: MemberModel, pairs: pl.DataFrame) -> Batch:
    """Return a batch of two pairs of different length: what is padded in one must be masked in the graph."""
    corpus, examples = frame_examples(pairs.head(256))
    prepared = model.encoder.prepare(corpus)
    order = np.argsort(prepared.lengths(examples.query, examples.product), kind="stable")
    ends = order[[0, -1]]
    device = next(model.parameters()).device
    batch = prepared.batch(examples.query[ends], examples.product[ends])
    return {name: tensor.to(device) for name, tensor in batch.items()}


@contextlib.contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Spell attention out in transformers' networks: the fused form is traced into many more operations."""
    networks = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    before = [network.config._attn_implementation for network in networks]
    for network in networks:
        network.set_attn_implementation("eager")
    try:
        yield
    finally:
        for network, name in zip(networks, before, strict=True):
            network.set_attn_implementation(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what exporter and quantiser say of graphs that the measurement afterwards judges."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def measure(
    run: Run,
    traced: Traced,
    chosen: Sequence[FittedMember],
    pairs: pl.DataFrame,
    rows: pl.DataFrame,
    folder: Path,
    registry: Registry,
) -> dict[str, Any]:
    """Return what the exported members change on the run's validation pairs: probabilities, measures, size, speed."""
    corpus, examples = frame_examples(pairs)
    before, after, members = [], [], {}
    for member in traced.pipeline.members:
        said, seconds = _timed(member, corpus, examples)
        before.append(said)
        if member not in chosen:
            after.append(said)
            continue
        weights, file = _weights(run, member), folder / f"{member.name}.onnx"
        light = exported(member, weights, folder)
        light_said, light_seconds = _timed(light, corpus, examples)
        after.append(light_said)
        members[member.name] = {
            "encoder": member.encoder.name,
            "difference": _difference(said[0], light_said[0]),
            "bytes": {"before": os.path.getsize(weights), "after": os.path.getsize(file)},
            "pairs_per_second": {"before": rows.height / seconds, "after": rows.height / light_seconds},
        }
    first, second = (_decided(traced, said, Pairs(corpus, examples)) for said in (before, after))
    return {
        "backend": BACKEND,
        "pairs": rows.height,
        "members": members,
        "left_as_they_are": [m.name for m in traced.pipeline.members if m not in chosen],
        "pipeline": {
            "difference": _difference(first.probabilities, second.probabilities),
            "decided_otherwise": float((first.labels != second.labels).mean()),
            "measures": _measures(run, rows, first, second, registry),
        },
    }


def _decided(traced: Traced, said: Sequence[tuple[np.ndarray, np.ndarray]], pairs: Pairs) -> Decisions:
    tables, uncertainty = zip(*said, strict=True)
    return traced.pipeline.decide(tables, uncertainty, pairs)[-1]


def _timed(
    member: FittedMember, corpus: Corpus, examples: Examples
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Return a member's probabilities and how unsure it is, and the seconds they took."""
    started = time.perf_counter()
    found = member.predict_with_uncertainty(corpus, examples)
    return found, time.perf_counter() - started


def _difference(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Return how far probabilities moved at the most, and on average over pairs and classes."""
    moved = np.abs(after - before)
    return {"max": float(moved.max()), "mean": float(moved.mean())}


def _measures(
    run: Run, rows: pl.DataFrame, first: Decisions, second: Decisions, registry: Registry
) -> Mapping[str, Any]:
    """Return the run's headline measure and nDCG with the members as they were, and as they are exported."""
    ids = rows.select("query_id", "product_id", "locale", "split", "label", "weight")
    figures = {}
    for name in dict.fromkeys([run.task.headline, "ndcg"]):
        measure = registry.measure(name).load()
        values = []
        for decisions in (first, second):
            evaluated = run.evaluated_of(frame_of(ids, decisions, run.scheme))
            values.append(float(measure(evaluated)(evaluated.example_weights)))
        figures[name] = {"before": values[0], "after": values[1], "change": values[1] - values[0]}
    return figures
