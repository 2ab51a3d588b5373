"""Checkpoints: where training stands after an epoch, in one safetensors file that is there whole or not at all.

Random numbers need no place in it: every epoch draws from generators derived from the seed and its own number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import attrs
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from prodmatch_core.errors import RunError


@attrs.define
class Position:
    """Where training goes on: phase and epoch within it, epochs and steps done, what early stopping remembers."""

    phase: int = 0
    epoch: int = 0
    done: int = 0
    taken: int = 0
    best: float = float("-inf")
    waited: int = 0


@attrs.frozen
class Checkpoint:
    """One member's checkpoint file, valid only for the key it was written under."""

    path: Path
    key: str
    writes: bool = True
    "Whether this process writes; of several, one does, and all read."

    def of(self, locale: str) -> Checkpoint:
        """Return the checkpoint of the member's copy for a locale, a file beside this one."""
        name = f"{self.path.stem}.{quote(locale, safe='')}{self.path.suffix}"
        return attrs.evolve(self, path=self.path.with_name(name), key=f"{self.key}/{locale}")

    def write(
        self,
        position: Position,
        objective: nn.Module,
        best: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        negatives: Mapping[str, np.ndarray] | None = None,
        ahead: np.ndarray | None = None,
    ) -> None:
        """Replace the file.

        Args:
            position: where training stands.
            objective: the model and its losses.
            best: weights of the best epoch so far.
            optimizer: its moments are kept.
            negatives: what the negative generator keeps from epochs before.
            ahead: what was predicted along the way, where training follows time.

        Raises:
            RunError: the disk is full or the folder cannot be written to; the former checkpoint is still there.
        """
        if not self.writes:
            return
        tensors = {f"objective/{name}": tensor for name, tensor in objective.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in state.items()}
        tensors |= {f"negatives/{name}": torch.from_numpy(array) for name, array in (negatives or {}).items()}
        if ahead is not None:
            tensors["ahead/probabilities"] = torch.from_numpy(ahead)
        # Tensors may share memory (tied weights); each is written as its own copy.
        owned = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        temporary = self.path.with_name(f".{self.path.name}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(owned, temporary, {"key": self.key, "position": json.dumps(attrs.asdict(position))})
            os.replace(temporary, self.path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise RunError(
                f"{self.path}: checkpoint cannot be written: {error}. Free space and run again."
            ) from error

    def read(self) -> Saved | None:
        """Return what was written under this key, or None where there is nothing that can be used."""
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = file.metadata()
                if notes.get("key") != self.key:
                    return None
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
                return Saved(Position(**json.loads(notes["position"])), tensors)
        except (OSError, SafetensorError):  # none, or not a whole file: training starts anew
            return None

    def remove(self) -> None:
        """Delete the file, and those of copies for locales: the member is finished."""
        if self.writes:
            for path in [self.path, *self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}")]:
                path.unlink(missing_ok=True)


@attrs.frozen(eq=False)
class Saved:
    """A checkpoint that was read: the position and all tensors by `<section>/<name>`."""

    position: Position
    tensors: Mapping[str, Tensor]

    def section(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of one section, `objective` or `best`."""
        return {
            key.partition("/")[2]: value for key, value in self.tensors.items() if key.startswith(f"{name}/")
        }

    def restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the optimizer back its moments; step sizes follow from the schedule."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in self.section("optimizer").items():
            number, _, name = key.partition("/")
            state.setdefault(int(number), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
