"""The toy: scikit-learn's digits placed on a circle by ArcFace, with and without the margin term."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn

from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.training.batches import class_batches
from prodmatch_core.training.seeds import rng, torch_seed
from prodmatch_tcm.histograms import class_histograms
from prodmatch_tcm.library import ThresholdConsistentMarginLoss
from prodmatch_tcm.utility import curves_of, mean_utility, opis

BATCH, PER_CLASS = 200, 20


class _ArcFace(ArcFaceLoss):
    """ArcFace whose gradient stays finite where an image lies exactly in its class's direction."""

    def get_angles(self, cosines: torch.Tensor) -> torch.Tensor:
        return torch.acos(cosines.clamp(-1 + 1e-6, 1 - 1e-6))


@attrs.frozen(eq=False)
class Toy:
    """Held-out images as placed: (n, 2) float32 vectors and (n,) int64 digits."""

    vectors: np.ndarray
    labels: np.ndarray


def train(seed: int, epochs: int, term: bool) -> Toy:
    """Return where a small network places the images it has not seen.

    Args:
        seed: of the split, the weights and the batches.
        epochs: passes over the training images.
        term: whether the margin term stands beside ArcFace.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = rng(seed, "digits", "split").permutation(len(labels))
    pixels, digits = images[order].astype(np.float32) / 16, labels[order].astype(np.int64)
    held = len(labels) // 3
    x, y = torch.from_numpy(pixels[held:]), torch.from_numpy(digits[held:])
    draw = rng(seed, "digits", "batches")
    with torch_seed(seed, "digits", "weights"):
        network = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2)
        )
        base = _ArcFace(num_classes=10, embedding_size=2, margin=20, scale=16)
        margin = ThresholdConsistentMarginLoss()
        optimizer = torch.optim.AdamW([*network.parameters(), *base.parameters()], lr=3e-3)
        for _ in range(epochs):
            for rows in class_batches(digits[held:], BATCH, PER_CLASS, draw):
                vectors, own = network(x[rows]), y[rows]
                loss = base(vectors, own) + (margin(vectors, own) if term else 0.0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    with torch.inference_mode():
        return Toy(network(torch.from_numpy(pixels[:held])).numpy(), digits[:held])


def figures(toy: Toy) -> tuple[float, float, float]:
    """Return the share of images whose nearest other image is the same digit, OPIS, and the mean utility."""
    score = cosine_scorer(toy.vectors, toy.vectors)
    rows = np.arange(len(toy.labels))
    similarity = score(rows)
    np.fill_diagonal(similarity, -np.inf)
    hit = float((toy.labels[similarity.argmax(axis=1)] == toy.labels).mean())
    curves = curves_of(class_histograms(score, rows, toy.labels))
    return hit, opis(curves), mean_utility(curves)
