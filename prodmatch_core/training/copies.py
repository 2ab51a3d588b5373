"""Copies of a member for locales: each owns what its fine-tuning changed and shares the rest with the member."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.training.model import MemberModel


def locales_of(corpus: Corpus, examples: Examples) -> np.ndarray:
    """Return the locale of each example, its query's, (n,) object."""
    return corpus.queries["locale"].to_numpy()[examples.query]


def changed(model: nn.Module, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model's state that differ from those of the shared one."""
    return {
        name: tensor for name, tensor in model.state_dict().items() if not torch.equal(tensor, shared[name])
    }


def copy_of(model: MemberModel, tensors: Mapping[str, Tensor]) -> MemberModel:
    """Return a copy of a model that owns `tensors`, by name in its state, and shares everything else with it."""
    state = model.state_dict(keep_vars=True)
    kept = [tensor for name, tensor in state.items() if name not in tensors]
    # What modules hold beside modules and tensors (vocabularies, arrays mapped from files) is read, never written.
    kept += [
        value
        for module in model.modules()
        for value in vars(module).values()
        if not isinstance(value, (dict, nn.Module))
    ]
    made = copy.deepcopy(model, {id(value): value for value in kept})
    made.load_state_dict(tensors, strict=False)
    return made
