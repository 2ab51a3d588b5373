"""`uncertainty.posterior`: a posterior network on top of any encoder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tasks.heads import ClassHead
from prodmatch_uncertainty.configs import PosteriorConfig
from prodmatch_uncertainty.dirichlet import entropy

MOST = 23.0
"Logarithm of the most evidence that is counted, ten thousand million examples: beyond, 64 bits lose digamma's steps."


class RadialFlows(nn.Module):
    """One density a class: a standard normal seen through radial flows (arXiv 1505.05770, equations 14 and 15)."""

    def __init__(self, classes: int, width: int, layers: int) -> None:
        """Make flows near the identity."""
        super().__init__()
        self.centre = nn.Parameter(torch.empty(layers, classes, width))
        self.radius = nn.Parameter(torch.zeros(layers, classes))
        self.strength = nn.Parameter(torch.zeros(layers, classes))
        nn.init.normal_(self.centre, std=0.5)
        # Softplus of this, less softplus of radius 0, is 0: no flow bends at first.
        nn.init.zeros_(self.strength)

    def forward(self, z: Tensor) -> Tensor:
        """Return log-densities (batch, classes) of `z`, (batch, width)."""
        width = z.shape[-1]
        x = z[:, None, :].expand(-1, self.centre.shape[1], -1)
        volume = x.new_zeros(x.shape[:2])
        for centre, radius, strength in zip(self.centre, self.radius, self.strength, strict=True):
            alpha = functional.softplus(radius)
            beta = functional.softplus(strength) - alpha  # above -alpha, so that the flow can be inverted
            away = x - centre
            distance = away.norm(dim=-1)
            h = 1 / (alpha + distance)
            slope = 1 + beta * h
            bent = slope - beta * h.square() * distance
            volume = volume + (width - 1) * slope.log() + bent.log()
            x = x + (beta * h)[..., None] * away
        normal = -0.5 * x.square().sum(-1) - 0.5 * width * math.log(2 * math.pi)
        return normal + volume


class PosteriorEncoder(Encoder):
    """An encoder whose logits are log-concentrations, 1 + examples of the class x its density here."""

    log_counts: Tensor
    "(classes,) logarithm of each class's training examples."
    match: Tensor
    "(classes,) bool, whether a class is a match."

    def __init__(self, config: PosteriorConfig, encoder: Encoder, classes: int, siamese: bool) -> None:
        """Make the flows over `encoder`, with no examples counted yet."""
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.classes = classes
        self.width = config.latent
        self.token_budget = encoder.token_budget
        self.project = ClassHead(encoder.width, config.latent, siamese, config.dropout)
        # Without a fixed scale the latent numbers would shrink into a point of endless density.
        self.norm = nn.BatchNorm1d(config.latent)
        self.flows = RadialFlows(classes, config.latent, config.layers)
        self.register_buffer("log_counts", torch.zeros(classes))
        self.register_buffer("match", torch.zeros(classes, dtype=torch.bool))

    @classmethod
    def build(cls, config: PosteriorConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make the nested encoder and count each class's training examples, as they are after down-sampling."""
        part = config.encoder
        encoder = part.spec.load().build(part.config, data, rng)
        classes = len(data.scheme.labels)
        made = cls(config, encoder, classes, siamese="pairs" not in part.gives)
        counts = np.bincount(data.train.label, minlength=classes)
        made.log_counts.copy_(torch.from_numpy(np.log(np.maximum(counts, 0.5))))
        made.match[torch.from_numpy(positive_classes(data.scheme))] = True
        return made

    @classmethod
    def load(cls, config: PosteriorConfig, folder: Path) -> Self:
        """Make the encoder of the sizes that were saved; counts are among the weights."""
        part = config.encoder
        classes = json.loads((folder / "posterior.json").read_text())["classes"]
        encoder = part.spec.load().load(part.config, folder / "encoder")
        return cls(config, encoder, classes, siamese="pairs" not in part.gives)

    def save_assets(self, folder: Path) -> None:
        """Write the number of classes, and the nested encoder's assets into a folder of their own."""
        (folder / "posterior.json").write_text(json.dumps({"classes": self.classes}))
        (folder / "encoder").mkdir()
        self.encoder.save_assets(folder / "encoder")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Make the corpus ready for the nested encoder."""
        return self.encoder.prepare(corpus)

    def forward(self, batch: Batch) -> Encoding:
        """Return log-concentrations as logits, and the entropy of the match's probability as uncertainty."""
        z = self.project(self.encoder(batch)).float()
        with torch.autocast(z.device.type, enabled=False):
            evidence = (self.flows(self.norm(z)) + self.log_counts).clamp(max=MOST)
            logits = functional.softplus(evidence)  # log(1 + exp(evidence))
            return Encoding(logits=logits, uncertainty=self._entropy(logits))

    @torch.no_grad()
    def _entropy(self, logits: Tensor) -> Tensor:
        alpha = logits.detach().double().exp()
        sides = torch.stack([alpha[:, self.match].sum(1), alpha[:, ~self.match].sum(1)], dim=1)
        return entropy(sides).float()
