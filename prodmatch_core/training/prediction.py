"""Predicting with a trained model: no optimiser, no processes, nothing that training alone needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Drawn, Encoder, Encoding, Prepared, Rows
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import Examples
from prodmatch_core.training.batches import budget_batches
from prodmatch_core.training.model import FACT, MemberModel

GPU_TOKENS = 16_384
"Padded tokens a batch when only predicting on a GPU."


def to_tensors(
    prepared: Prepared,
    examples: Examples,
    device: torch.device,
    sides: Sequence[str],
    rng: np.random.Generator | None = None,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return the batch with its facts, labels and weights of `examples` on `device`; of the batch, only `sides`.

    Where `rng` is given, a step learns from the batch, and what is drawn anew for each comes from there.
    """
    rows = rows_of(examples, sides)
    drawn = rng is not None and isinstance(prepared, Drawn)
    gathered = {**(prepared.draw(*rows, rng) if drawn else prepared.batch(*rows))}  # type: ignore[attr-defined]
    gathered |= {FACT + name: torch.from_numpy(array) for name, array in examples.facts.items()}
    batch = {name: tensor.to(device, non_blocking=True) for name, tensor in gathered.items()}
    labels = torch.from_numpy(np.ascontiguousarray(examples.label)).to(device)
    weights = torch.from_numpy(np.ascontiguousarray(examples.weight)).to(device)
    return batch, labels, weights


def rows_of(examples: Examples, sides: Sequence[str]) -> tuple[Rows, Rows]:
    """Return the query rows and the product rows of `examples`, None for a side that is not among `sides`."""
    return (
        examples.query if "query" in sides else None,
        examples.product if "product" in sides else None,
    )


def device() -> torch.device:
    """Return the device to predict on: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def token_budget(encoder: Encoder, device: torch.device) -> int:
    """Return the padded tokens a batch that an encoder predicts fastest with on a device."""
    return encoder.token_budget if device.type == "cpu" else GPU_TOKENS


def fastest_precision(device: torch.device) -> str:
    """Return bf16 where the device multiplies matrices of it faster than of fp32, else fp32.

    On a CPU that takes tile instructions (AMX). AVX-512 alone knows bf16 too but gains nothing by it.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return "bf16" if supported is not None and supported() else "fp32"


@contextmanager
def evaluating(model: nn.Module, precision: str = "fp32") -> Iterator[torch.device]:
    """Put a model into evaluation mode, compute in `precision`, give its device; put the mode back afterwards."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    try:
        # Weights are cast once for all batches of the block.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield device
    finally:
        model.train(was_training)


@torch.inference_mode()
def vectors(
    model: MemberModel,
    prepared: Prepared,
    side: str,
    rows: np.ndarray,
    precision: str = "fp32",
    budget: int | None = None,
) -> np.ndarray:
    """Return the vectors of one side's rows as the task compares them, (n, width) float32.

    Args:
        model: gives embeddings.
        prepared: the corpus.
        side: query or product.
        rows: (n,) int64 rows of that side.
        precision: number format of the forward pass.
        budget: padded tokens a batch; None for what is fastest.
    """
    examples = Examples(rows, rows, np.zeros(len(rows)), np.ones(len(rows)))
    result = np.empty((len(rows), 0), dtype=np.float32)
    with evaluating(model, precision) as device:
        if (whole := model.encoder.encode_rows(prepared, side, rows)) is not None:
            encoding = Encoding(query=whole) if side == "query" else Encoding(product=whole)
            labels, weights = (
                torch.from_numpy(values).to(device) for values in (examples.label, examples.weight)
            )
            return (
                _compared(model.task.output(model.head, encoding, labels, weights), side)
                .float()
                .cpu()
                .numpy()
            )
        budget = budget or token_budget(model.encoder, device)
        for number, part in enumerate(budget_batches(prepared.lengths(*rows_of(examples, [side])), budget)):
            batch, labels, weights = to_tensors(prepared, examples.take(part), device, [side])
            output, _ = model(batch, labels, weights)
            found = _compared(output, side)
            if number == 0:
                result = np.empty((len(rows), found.shape[1]), dtype=np.float32)
            result[part] = found.float().cpu().numpy()
    return result


def _compared(output: Output, side: str) -> Tensor:
    """Return one side's vectors: of one tower, or the query's, the embeddings; of the other tower the references."""
    found = output.references if side == "product" and output.embeddings is None else output.embeddings
    assert found is not None
    return found


@torch.inference_mode()
def predict(
    model: MemberModel,
    prepared: Prepared,
    examples: Examples,
    precision: str = "fp32",
    budget: int | None = None,
) -> np.ndarray:
    """Return class probabilities of `examples`, (n, classes) float64, in their order.

    Pairs are batched by length within a budget of padded tokens; neither order nor batch mates change a result
    beyond rounding.
    """
    return predict_with_uncertainty(model, prepared, examples, precision, budget)[0]


@torch.inference_mode()
def predict_with_uncertainty(
    model: MemberModel,
    prepared: Prepared,
    examples: Examples,
    precision: str = "fp32",
    budget: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `predict` does, and how unsure the model is of each example, (n,) float64, NaN if it cannot say."""
    result: np.ndarray | None = None
    uncertainty = np.full(len(examples), np.nan)
    with evaluating(model, precision) as device:
        budget = budget or token_budget(model.encoder, device)
        for rows in budget_batches(prepared.lengths(examples.query, examples.product), budget):
            batch, labels, weights = to_tensors(prepared, examples.take(rows), device, model.task.sides)
            output, _ = model(batch, labels, weights)
            assert output.logits is not None
            probabilities = output.logits.double().softmax(dim=-1).cpu().numpy()
            if result is None:
                result = np.empty((len(examples), probabilities.shape[1]))
            result[rows] = probabilities
            if output.uncertainty is not None:
                uncertainty[rows] = output.uncertainty.double().cpu().numpy()
    return np.empty((0, 0)) if result is None else result, uncertainty
