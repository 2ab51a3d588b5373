"""Predicting with a trained model: no optimiser, no processes, nothing that training alone needs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prodmatch_core.components.encoder import Prepared
from prodmatch_core.data.corpus import Examples
from prodmatch_core.training.batches import budget_batches
from prodmatch_core.training.model import MemberModel

TOKEN_BUDGET = 16_384
"Padded tokens a batch when only predicting."


def to_tensors(
    prepared: Prepared, examples: Examples, device: torch.device
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return the batch, labels and weights of `examples` on `device`."""
    batch = {
        name: tensor.to(device, non_blocking=True)
        for name, tensor in prepared.batch(examples.query, examples.product).items()
    }
    labels = torch.from_numpy(np.ascontiguousarray(examples.label)).to(device)
    weights = torch.from_numpy(np.ascontiguousarray(examples.weight)).to(device)
    return batch, labels, weights


@torch.inference_mode()
def predict(
    model: MemberModel,
    prepared: Prepared,
    examples: Examples,
    precision: str = "fp32",
    budget: int = TOKEN_BUDGET,
) -> np.ndarray:
    """Return class probabilities of `examples`, (n, classes) float64, in their order.

    Pairs are batched by length within a budget of padded tokens; neither order nor batch mates change a result
    beyond rounding.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    result: np.ndarray | None = None
    for rows in budget_batches(prepared.lengths(examples.query, examples.product), budget):
        batch, labels, weights = to_tensors(prepared, examples.take(rows), device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            output, _ = model(batch, labels, weights)
        assert output.logits is not None
        probabilities = output.logits.double().softmax(dim=-1).cpu().numpy()
        if result is None:
            result = np.empty((len(examples), probabilities.shape[1]))
        result[rows] = probabilities
    model.train(was_training)
    return np.empty((0, 0)) if result is None else result
