"""What the loss notes of its weights between two epochs: sizes, shares, a histogram, and late conversions expected."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prodmatch_delayed.streams import FRESH, LATE, SETTLED

EDGES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2.0, 5.0)
"Bounds of the histogram of weights; what lies below the first and above the last has bins of its own."
DELAYS = tuple(2.0 ** (k / 2) for k in range(-12, 25))
"Bounds, in hours, of the histogram of delays: from a minute to half a year, two bins an octave."


class Notes:
    """Sums over rows, kept as tensors so that nothing waits for a device, read once an epoch."""

    def __init__(self, clip: float) -> None:
        """Count weights above `clip`."""
        self.clip = clip
        self._sums: dict[str, Tensor] = {}

    def add(
        self,
        kind: Tensor,
        positive: Tensor,
        delay: Tensor,
        weight: Tensor,
        trains: Tensor,
        hidden: Tensor | None,
    ) -> None:
        """Note a batch.

        Args:
            kind: (n,) kinds of rows.
            positive: (n,) bool.
            delay: (n,) float32 hours to the conversion, of rows that tell of one.
            weight: (n,) float32 importance weights before clipping.
            trains: (n,) float32, 0 for rows that do not train the served model.
            hidden: (n,) float32 chance that a first label of 0 is a conversion to come, or None.
        """
        kept = weight.clamp(max=self.clip)
        edges, delays = (torch.tensor(bounds, device=weight.device) for bounds in (EDGES, DELAYS))
        place = torch.bucketize(kept, edges)
        for name, rows in (("positive", positive), ("negative", ~positive)):
            counts = rows * trains
            self._more(f"{name}.rows", counts.sum())
            self._more(f"{name}.weight", (counts * kept).sum())
            self._more(f"{name}.square", (counts * kept**2).sum())
            self._more(f"{name}.clipped", (counts * (weight > self.clip)).sum())
            bins = torch.zeros(len(EDGES) + 1, device=weight.device)
            self._more(f"{name}.bins", bins.index_add(0, place, counts))
        self._more("late", (kind == LATE).float().sum())
        came = positive * trains * (kind != SETTLED)
        bins = torch.zeros(len(DELAYS) + 1, device=weight.device)
        self._more("delays", bins.index_add(0, torch.bucketize(delay, delays), came))
        if hidden is not None:
            first = (kind == FRESH) & ~positive
            # Told as 0, then again as 1: a row of either is the second with the chance hidden / (1 + hidden).
            chance = hidden / (1 + hidden) * (first | (kind == LATE))
            self._more("expected", chance.sum())
            self._more("variance", (chance * (1 - chance)).sum())

    def take(self) -> dict[str, Any]:
        """Return the sums and forget them; empty where nothing was noted.

        Returns:
            `positive` and `negative`, each with `rows`, `weight`, `square` (sum of squared weights), `clipped` and
            `bins`; `delays`, how many conversions came within the bounds of DELAYS; `late` rows, and where a weight
            model tells, those `expected` and their `variance`.
        """
        sums, self._sums = self._sums, {}
        found: dict[str, Any] = {}
        for name, tensor in sums.items():
            value = [round(v, 6) for v in tensor.tolist()] if tensor.ndim else round(float(tensor), 6)
            where, _, what = name.partition(".")
            if what:
                found.setdefault(where, {})[what] = value
            else:
                found[where] = value
        return found

    def _more(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums[name] + value if name in self._sums else value
