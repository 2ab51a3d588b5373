"""A fitted member: predict with it, save it, load it. Serving needs this module and not the ones that train."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prodmatch_core.components.encoder import SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import RunError
from prodmatch_core.records import Part
from prodmatch_core.rundir import write_json
from prodmatch_core.sections import Member
from prodmatch_core.tasks.base import Task
from prodmatch_core.training import prediction
from prodmatch_core.training.model import MemberModel


@attrs.frozen(eq=False)
class FittedMember:
    """A member that can predict: a trained model, or a part that fitted itself."""

    name: str
    encoder: Part
    model: MemberModel | SelfFittingEncoder
    precision: str = "fp32"
    ahead: Mapping[str, np.ndarray] = attrs.field(factory=dict)
    "Class probabilities by split, each row predicted before anything of its hour was learnt; else empty."

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        return self.predict_with_uncertainty(corpus, examples)[0]

    def predict_with_uncertainty(self, corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Return class probabilities, and how unsure the member is, (n,) float64: NaN where it cannot say."""
        if isinstance(self.model, MemberModel):
            return prediction.predict_with_uncertainty(
                self.model, self.model.encoder.prepare(corpus), examples, self.precision
            )
        return self.model.predict_with_uncertainty(corpus, examples)

    def vectors(self, corpus: Corpus, reads: Sequence[tuple[str, np.ndarray]]) -> list[np.ndarray]:
        """Return the vectors of each (side, rows) as the task compares them, (n, width) float32 each."""
        assert isinstance(self.model, MemberModel)
        prepared = self.model.encoder.prepare(corpus)
        return [prediction.vectors(self.model, prepared, side, rows, self.precision) for side, rows in reads]

    def save(self, folder: Path) -> None:
        """Write configuration, weights and assets: JSON, safetensors and what the encoder itself writes."""
        assets = folder / "assets"
        assets.mkdir(parents=True)
        trained = isinstance(self.model, MemberModel)
        write_json(
            folder / "config.json",
            {"encoder": self.encoder.name, "precision": self.precision, "trained": trained},
        )
        if isinstance(self.model, MemberModel):
            self.model.encoder.save_assets(assets)
            # The generator served training only; a copy of each tensor parts what the model shares.
            weights = {
                name: tensor.detach().cpu().clone().contiguous()
                for name, tensor in self.model.state_dict().items()
                if not name.startswith("generator.")
            }
            save_file(weights, folder / "model.safetensors")
        else:
            self.model.save_assets(assets)

    @classmethod
    def load(cls, member: Member, task: Task, scheme: LabelScheme, folder: Path) -> FittedMember:
        """Read what `save` wrote.

        Raises:
            RunError: files are missing or do not belong together.
        """
        try:
            saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            factory = member.encoder.spec.load()
            loaded = factory.load(member.encoder.config, folder / "assets")
            if not saved["trained"]:
                return cls(member.name, member.encoder, loaded)
            model = MemberModel(loaded, task.head(loaded.width, member.encoder.gives, scheme), task)
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise RunError(
                f"{folder}: member {member.name} cannot be loaded: {error}. The run directory is damaged or was "
                "made by other versions; provenance.json lists them."
            ) from error
        model = model.eval().to(prediction.device())
        return cls(member.name, member.encoder, model, saved["precision"])

    def in_precision(self, precision: str) -> FittedMember:
        """Return the member computing in `precision`, or for "auto" in the fastest its device has."""
        if not isinstance(self.model, MemberModel):
            return self
        if precision == "auto" and self.precision == "fp32":
            precision = prediction.fastest_precision(prediction.device())
        return self if precision == "auto" else attrs.evolve(self, precision=precision)
