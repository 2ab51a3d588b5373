"""An encoder as it stands, as a function from rows of the corpus to vectors."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import torch
from torch.nn import functional

from prodmatch_core.components.encoder import Encoder, Prepared
from prodmatch_core.training.batches import budget_batches
from prodmatch_core.training.prediction import token_budget


@attrs.frozen(eq=False)
class Embedder:
    """Encodes queries or products alone, in evaluation mode; no random number is drawn and the mode is put back.

    Batches hold pairs, so each row is paired with the cheapest row of the other side, which costs next to nothing.
    """

    encoder: Encoder
    prepared: Prepared
    precision: str = "fp32"
    budget: int | None = None
    "Padded tokens a batch; None for what is fastest."

    def queries(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of queries, (n, width) float32 of length 1; rows of the corpus, in any order."""
        return self._encode("query", rows, lambda rows: (rows, np.zeros_like(rows)))

    def products(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of products, (n, width) float32 of length 1; rows of the corpus, in any order."""
        return self._encode("product", rows, lambda rows: (np.zeros_like(rows), rows))

    @torch.inference_mode()
    def _encode(
        self, side: str, rows: np.ndarray, pair: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        encoder = self.encoder
        rows = np.asarray(rows, dtype=np.int64)
        modes = [(module, module.training) for module in encoder.modules()]
        device = next(encoder.parameters()).device
        vectors = np.empty((len(rows), encoder.width), dtype=np.float32)
        budget = self.budget or token_budget(encoder, device)
        encoder.eval()
        try:
            for taken in budget_batches(self.prepared.lengths(*pair(rows)), budget):
                batch = {
                    name: tensor.to(device, non_blocking=True)
                    for name, tensor in self.prepared.batch(*pair(rows[taken])).items()
                }
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
                    found = getattr(encoder(batch), side)
                vectors[taken] = functional.normalize(found.float(), dim=-1).cpu().numpy()
        finally:
            for module, mode in modes:
                module.training = mode
        return vectors
