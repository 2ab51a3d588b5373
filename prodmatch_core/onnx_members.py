"""Members on ONNX Runtime with int8 linear layers: what `prodmatch export --int8` wrote, ready to predict.

An exported member stands in for the one it was made from: it is a `MemberModel` whose encoder prepares the same
batches, so whatever predicts with a member predicts with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from prodmatch_core.components.encoder import Batch
from prodmatch_core.components.loss import Output
from prodmatch_core.errors import RunError
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel

BACKEND = "onnx-int8"
"What the form is called, and its folder within a run's `export`."
WEIGHTS = "prodmatch.weights"
"Key in a file's metadata: the SHA-256 of the weights it was made from."


def require(*modules: str) -> None:
    """Check that the extra's packages are installed.

    Raises:
        RunError: one is not.
    """
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise RunError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, which {BACKEND} needs. "
            'Install the extra: pip install "prodmatch-core[onnx]".'
        )


def folder_of(run: Path) -> Path:
    """Return where a run's exported members are, unless they were written elsewhere."""
    return run / "export" / BACKEND


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class OnnxModel(MemberModel):
    """A member's network on ONNX Runtime, in the place of the one it was made from; for predicting only."""

    def __init__(self, session: Any, original: MemberModel) -> None:
        """Answer with `session`; `original` prepares the batches and says what the task is."""
        super().__init__(original.encoder, original.head, original.task)
        self.session = session
        self.names = [found.name for found in session.get_inputs()]

    def logits(self, batch: Batch) -> Tensor:
        """Return class logits (batch, classes) float32 of a batch that the member's encoder prepared."""
        fed = {name: batch[name].cpu().numpy() for name in self.names}
        return torch.from_numpy(self.session.run(None, fed)[0])

    def forward(
        self, batch: Batch, labels: Tensor, weights: Tensor, mixing: object = None
    ) -> tuple[Output, None]:
        """Return the output for a batch, of which the logits alone are there."""
        return Output(labels=labels, weights=weights, logits=self.logits(batch)), None


def exported_members(members: Sequence[FittedMember], run: Path) -> list[FittedMember]:
    """Return a run's members, those that can be exported as they were exported into the run directory.

    Raises:
        RunError: none can be exported, or as `exported`.
    """
    if not any(exportable(member) for member in members):
        raise RunError(f"{run}: has no member that can be exported. Score it with the backend torch.")
    return [
        exported(member, run / "members" / member.name / "model.safetensors", folder_of(run))
        if exportable(member)
        else member
        for member in members
    ]


def exportable(member: FittedMember) -> bool:
    """Tell whether a member can be exported: its encoder, and no copies for locales beside it."""
    return isinstance(member.model, MemberModel) and member.model.encoder.exportable and not member.regions


def exported(member: FittedMember, weights: Path, folder: Path) -> FittedMember:
    """Return a member of a run that answers with what was exported of it.

    Args:
        member: the member as it was loaded.
        weights: the weights it was loaded from, `members/<name>/model.safetensors`.
        folder: where the export is, as `folder_of` says.

    Raises:
        RunError: the extra is not installed, or the export is missing, damaged or of other weights.
    """
    require("onnxruntime")
    import onnxruntime

    path = folder / f"{member.name}.onnx"
    remedy = f"Make it again: prodmatch export {weights.parents[2]} --int8."
    if not path.is_file():
        raise RunError(f"{path}: missing. {remedy}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # its warnings are about graphs, not about answers
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        reason = str(error).partition("\n")[0]
        raise RunError(f"{path}: cannot be loaded: {reason} {remedy}") from None
    if session.get_modelmeta().custom_metadata_map.get(WEIGHTS) != digest(weights):
        raise RunError(f"{path}: was made from other weights than {weights}. {remedy}")
    assert isinstance(member.model, MemberModel)
    return attrs.evolve(member, model=OnnxModel(session, member.model).eval(), precision="fp32")
