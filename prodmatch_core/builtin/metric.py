"""`core.metric`: any loss and miner of pytorch-metric-learning by its name (arXiv 2008.09164)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from prodmatch_core.builtin.in_batch_softmax import same_text
from prodmatch_core.builtin.structure_configs import MetricConfig
from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_core.errors import ConfigError, did_you_mean

COPIES = 16
"Most copies of a row in a batch; a weight beyond counts as this many smallest weights."


class MetricLoss(Loss):
    """A metric loss over the vectors of a batch.

    Items labelled by group are compared with each other. Queries are compared with products: a query is of one class
    with the product of its row where that pair matches, and with products that match the same query; a product whose
    pair does not match is of no query's class.

    The library knows no weights of rows. A row is taken as often as its weight says, in units of the batch's smallest
    weight and at most COPIES times; a row of weight 0 is left out.
    """

    positive: Tensor

    def __init__(self, config: MetricConfig, learnt: Learnt) -> None:
        """Make the loss and the miner named.

        Raises:
            ConfigError: there is no such loss or miner, or an argument is not one of its own.
        """
        super().__init__()
        sizes = {"num_classes": learnt.classes, "embedding_size": learnt.width}
        self.loss = _made(losses, "loss", config.loss, config.options, sizes)
        self.miner = (
            _made(miners, "miner", config.miner, config.miner_options, sizes) if config.miner else None
        )
        self.register_buffer("positive", torch.from_numpy(positive_classes(learnt.scheme)), persistent=False)

    @classmethod
    def build(cls, config: MetricConfig, learnt: Learnt) -> Self:
        """Make the loss for a member's examples."""
        return cls(config, learnt)

    def forward(self, output: Output) -> Tensor:
        """Return the loss, float32; 0, with a gradient, where no pair contributes."""
        assert output.embeddings is not None
        with torch.autocast(output.embeddings.device.type, enabled=False):
            rows = _copies(output.weights)
            if not len(rows):  # miners and some losses of the library fall over
                return 0.0 * output.embeddings.float().sum()
            vectors, labels = output.embeddings.float()[rows], output.labels[rows]
            if output.references is None:
                mined = self.miner(vectors, labels) if self.miner else None
                loss = self.loss(vectors, labels, mined)
            else:
                references = output.references.float()[rows]
                labels, offered = pair_labels(vectors, references, torch.isin(labels, self.positive))
                mined = self.miner(vectors, labels, references, offered) if self.miner else None
                loss = self.loss(vectors, labels, mined, references, offered)
        # The library's empty loss has no gradient, and a step needs one.
        return loss + 0.0 * vectors.sum()


def _copies(weights: Tensor) -> Tensor:
    """Return each row's number as often as the row is taken, (copies,) int64."""
    kept = weights > 0
    if not kept.any():
        return torch.empty(0, dtype=torch.int64, device=weights.device)
    times = torch.where(kept, (weights / weights[kept].min()).round().clamp(1, COPIES), 0.0)
    return torch.repeat_interleave(torch.arange(len(weights), device=weights.device), times.long())


def pair_labels(queries: Tensor, products: Tensor, matching: Tensor) -> tuple[Tensor, Tensor]:
    """Return a class for each query and each product of the batch: equal where the pair matches."""
    rows = torch.arange(len(queries), device=queries.device)
    if not len(rows):
        return rows, rows
    asked = same_text(queries).int().argmax(dim=1)
    # Products of pairs that do not match get a class of their own, below every query's.
    return asked, torch.where(matching, asked, -1 - rows)


def _made(
    module: ModuleType, kind: str, name: str, options: Mapping[str, Any], sizes: Mapping[str, int]
) -> nn.Module:
    """Return an instance of the library's class `name`, with the sizes it asks for filled in."""
    known = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and not key.startswith("Base")
    }
    if name not in known:
        raise ConfigError(
            f'core.metric: pytorch-metric-learning has no {kind} "{name}"{did_you_mean(name, known)}'
        )
    arguments = inspect.signature(known[name].__init__).parameters
    filled = {key: size for key, size in sizes.items() if key in arguments}
    try:
        return known[name](**{**filled, **options})
    except (TypeError, ValueError, AssertionError) as error:
        own = ", ".join(key for key in arguments if key not in ("self", "args", "kwargs"))
        raise ConfigError(
            f"core.metric: {name} cannot be made with these options: {error}. Its own arguments: {own or 'none'}."
        ) from error
