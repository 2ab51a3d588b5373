"""What a step is made with: the optimiser over what learns, and step sizes over time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from prodmatch_core.errors import RunError
from prodmatch_core.sections import Phase, Training


def freeze(model: nn.Module, phase: Phase) -> None:
    """Let every parameter learn but those under the sub-modules that the phase freezes.

    Raises:
        RunError: the model has no such sub-module.
    """
    names = dict(model.named_modules())
    for name in phase.freeze:
        if name not in names:
            top = ", ".join(n for n in names if n and n.count(".") < 2)
            raise RunError(f"phase {phase.name}: cannot freeze {name}: the model has {top}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(name == f or name.startswith(f"{f}.") for f in phase.freeze))


def make_optimizer(module: nn.Module, phase: Phase, settings: Training) -> torch.optim.Optimizer:
    """Return AdamW over what learns; biases, norms and embeddings are not decayed."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    seen = set()
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            spare = parameter.ndim < 2 or isinstance(owner, (nn.Embedding, nn.EmbeddingBag))
            (spared if spare else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    # The fused kernel passes over the weights once instead of a dozen times.
    return torch.optim.AdamW(groups, lr=phase.learning_rate or settings.learning_rate, fused=True)


def clipped_apart(module: nn.Module, generator: nn.Module | None) -> list[list[nn.Parameter]]:
    """Return the parameters whose gradients are clipped together: those of a generator inside, and all others.

    A generator has a loss of its own. Under one norm, a great one would leave the member next to nothing of its step.
    """
    own = [] if generator is None else list(generator.parameters())
    known = {id(parameter) for parameter in own}
    return [[p for p in module.parameters() if id(p) not in known], *([own] if own else [])]


def step_size(settings: Training, total: int, start: int = 0) -> Callable[[int], float]:
    """Return the factor of the peak step size at each step: warm-up, then decay towards 0.

    Args:
        settings: share of warm-up and shape of the decay.
        total: steps of the phase.
        start: steps already done, where training goes on from a checkpoint.
    """
    warm = round(settings.warmup * total)

    def factor(step: int) -> float:
        step += start
        if step < warm:
            return (step + 1) / (warm + 1)
        done = min((step - warm) / max(total - warm, 1), 1.0)
        if settings.decay == "linear":
            return 1.0 - done
        if settings.decay == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1.0

    return factor


def ramp(steps: int, start: int = 0) -> Callable[[int], float]:
    """Return the factor of the step size that rises to 1 within `steps` and stays there; `start` steps are done."""
    return lambda step: min((start + step + 1) / steps, 1.0)
