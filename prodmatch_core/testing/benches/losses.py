"""Losses at work: on the output of a member that never was, in pairs or, where groups are needed, in single items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prodmatch_core.components.encoder import Links
from prodmatch_core.components.loss import Learnt, Loss, Output
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.tasks.embed import SAME
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.subject import Bench, Subject
from prodmatch_core.training import seeds

WIDTH = 8
PAIR_LABELS = (0, 1, 0, 3, 2, 0, 0, 3)
"Four classes of eight pairs; class 0 matches."
ITEM_LABELS = (0, 0, 1, 1, 2, 2, 1, 0)
"Three groups of eight items."
LABELS = {True: ITEM_LABELS, False: PAIR_LABELS}


def of_items(subject: Subject) -> bool:
    """Return whether the loss compares items labelled by group rather than labelled pairs."""
    return "group_labels" in subject.part.needs


def output(
    subject: Subject,
    rows: Tensor | None = None,
    weights: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Output:
    """Return eight examples with different texts, or the given rows of them; tensors ask for gradients."""
    items = of_items(subject)
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor(LABELS[items])
    logits, query, product = (
        torch.randn(len(labels), n, generator=generator).to(dtype) for n in (len(ESCI.labels), WIDTH, WIDTH)
    )
    rows = torch.arange(len(labels)) if rows is None else rows
    return made_output(
        items,
        labels[rows],
        logits[rows],
        query[rows],
        product[rows],
        torch.ones(len(rows)) if weights is None else weights,
    )


def made_output(
    items: bool, labels: Tensor, logits: Tensor, query: Tensor, product: Tensor, weights: Tensor
) -> Output:
    """Return an output of pairs, or of items, whose parts ask for gradients."""
    if items:
        return Output(labels=labels, weights=weights, embeddings=query.requires_grad_())
    logits.requires_grad_()
    present = torch.nn.functional.one_hot(labels, logits.shape[1]).float()
    return Output(
        labels=labels,
        weights=weights,
        logits=logits,
        links=Links(logits, present, weights),
        embeddings=query.requires_grad_(),
        references=product.requires_grad_(),
    )


def gradients(given: Output) -> dict[str, Tensor]:
    """Return the gradients that have reached an output, by the name of the tensor."""
    tensors = {name: getattr(given, name) for name in ("logits", "embeddings", "references")}
    return {name: t.grad for name, t in tensors.items() if t is not None and t.grad is not None}


class LossBench(Bench):
    """Builds a loss and asks it for its value and gradients."""

    contract = (Loss,)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the loss for four classes, or for three groups."""
        learnt = Learnt(SAME, 3, WIDTH) if of_items(subject) else Learnt(ESCI, len(ESCI.labels), WIDTH)
        with seeds.torch_seed(seed, "kit", "weights"):
            return subject.factory.build(subject.config, learnt)

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the loss of eight examples and its gradients."""
        given = output(subject)
        value = made(given)
        value.backward()
        made.zero_grad()
        found = {"loss": value, **gradients(given)}
        return {name: tensor.detach().numpy() for name, tensor in found.items()}

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask for the loss of no example."""
        value = made(output(subject, torch.arange(0)))
        assert torch.isfinite(value) and value.requires_grad
