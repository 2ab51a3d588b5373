"""`uncertainty.mc_dropout`: predictions under many dropout masks."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.tasks.heads import ClassHead
from prodmatch_uncertainty.configs import DropoutConfig
from prodmatch_uncertainty.spreads import spread

LEAST = 1e-30
"Smallest probability whose logarithm is taken."


class DropoutEncoder(Encoder):
    """An encoder and a head that predict once for each of some fixed masks over their dropout layers' features."""

    def __init__(
        self, config: DropoutConfig, encoder: Encoder, scheme: LabelScheme, siamese: bool, seed: int
    ) -> None:
        """Make the head over `encoder`; masks derive from `seed`."""
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.scheme = scheme
        self.seed = seed
        self.width = len(scheme.labels)
        self.token_budget = encoder.token_budget
        self.head = ClassHead(encoder.width, len(scheme.labels), siamese, config.dropout)
        self.sample: int | None = None
        "Mask in use; None: none."
        inside = [*self.encoder.modules()] if config.inside else []
        dropped = [m for m in [*inside, *self.head.modules()] if isinstance(m, nn.Dropout)]
        for number, module in enumerate(dropped):
            module.register_forward_hook(functools.partial(self._drop, number))

    @classmethod
    def build(cls, config: DropoutConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make the nested encoder, the head and the seed of the masks."""
        part = config.encoder
        encoder = part.spec.load().build(part.config, data, rng)
        return cls(config, encoder, data.scheme, "pairs" not in part.gives, int(rng.integers(2**31)))

    @classmethod
    def load(cls, config: DropoutConfig, folder: Path) -> Self:
        """Make the encoder with the masks that were saved by their seed."""
        part = config.encoder
        saved = json.loads((folder / "dropout.json").read_text())
        encoder = part.spec.load().load(part.config, folder / "encoder")
        return cls(config, encoder, LabelScheme(**saved["scheme"]), "pairs" not in part.gives, saved["seed"])

    def save_assets(self, folder: Path) -> None:
        """Write the masks' seed and the label scheme, and the nested encoder's assets into a folder of their own."""
        (folder / "dropout.json").write_text(
            json.dumps({"seed": self.seed, "scheme": attrs.asdict(self.scheme)})
        )
        (folder / "encoder").mkdir()
        self.encoder.save_assets(folder / "encoder")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Make the corpus ready for the nested encoder."""
        return self.encoder.prepare(corpus)

    def forward(self, batch: Batch) -> Encoding:
        """Return logits; when not training, of the mean over the masks, with how they vary as uncertainty."""
        if self.training:
            return Encoding(logits=self.head(self.encoder(batch)))
        once = None if self.config.inside else self.encoder(batch)
        found: list[Tensor] = []
        try:
            for sample in range(self.config.samples):
                self.sample = sample
                logits = self.head(self.encoder(batch) if once is None else once)
                found.append(logits.detach().double().softmax(-1))
        finally:
            self.sample = None
        probabilities = torch.stack(found, dim=1)
        unsure = spread(probabilities.cpu().numpy(), self.config.measure, self.scheme)
        return Encoding(
            logits=probabilities.mean(1).clamp_min(LEAST).log(),
            uncertainty=torch.from_numpy(unsure).to(probabilities.device),
        )

    def _drop(self, number: int, module: nn.Module, arguments: Any, output: Tensor) -> Tensor | None:
        assert isinstance(module, nn.Dropout)
        if self.sample is None or self.training or not module.p:
            return None
        return output * self._mask(number, output.shape[-1], module.p).to(output)

    def _mask(self, number: int, width: int, share: float) -> Tensor:
        """Return the factors of one layer's features under the mask in use, (width,) float32."""
        rng = np.random.default_rng([self.seed, number, self.sample or 0, width])
        return torch.from_numpy((rng.random(width) >= share).astype(np.float32) / (1 - share))
