"""A fitted member: predict with it, save it, load it. Serving needs this module and not the ones that train."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import attrs
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prodmatch_core.components.encoder import SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import RunError
from prodmatch_core.records import Part
from prodmatch_core.sections import Member
from prodmatch_core.tasks.base import Task
from prodmatch_core.training import prediction
from prodmatch_core.training.copies import changed, copy_of, locales_of
from prodmatch_core.training.model import MemberModel
from prodmatch_core.writing import write_json


@attrs.frozen(eq=False)
class FittedMember:
    """A member that can predict: a trained model, or a part that fitted itself."""

    name: str
    encoder: Part
    model: MemberModel | SelfFittingEncoder
    precision: str = "fp32"
    regions: Mapping[str, MemberModel] = attrs.field(factory=dict)
    "Locale -> its own copy of the model; other locales' pairs are the model's."
    shared: bool = True
    "Whether the model has learnt from all locales; if not, there are the copies alone."
    ahead: Mapping[str, np.ndarray] = attrs.field(factory=dict)
    "Class probabilities by split, each row predicted before anything of its hour was learnt; else empty."

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        return self.predict_with_uncertainty(corpus, examples)[0]

    def predict_with_uncertainty(self, corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Return class probabilities, and how unsure the member is, (n,) float64: NaN where it cannot say."""
        if not isinstance(self.model, MemberModel):
            return self.model.predict_with_uncertainty(corpus, examples)
        prepared = self.model.encoder.prepare(corpus)
        if not self.regions:
            return prediction.predict_with_uncertainty(self.model, prepared, examples, self.precision)
        result: np.ndarray | None = None
        uncertainty = np.full(len(examples), np.nan)
        for model, rows in self._routes(corpus, examples):
            found, uncertainty[rows] = prediction.predict_with_uncertainty(
                model, prepared, examples.take(rows), self.precision
            )
            if result is None:
                result = np.empty((len(examples), found.shape[1]))
            result[rows] = found
        return np.empty((0, 0)) if result is None else result, uncertainty

    def _routes(self, corpus: Corpus, examples: Examples) -> Iterator[tuple[MemberModel, np.ndarray]]:
        """Yield each model that answers for some examples, and the rows of those.

        Raises:
            RunError: a locale has no copy, and the shared model has learnt nothing.
        """
        assert isinstance(self.model, MemberModel)
        locales = locales_of(corpus, examples)
        others = np.isin(locales, list(self.regions), invert=True)
        if others.any() and not self.shared:
            raise RunError(
                f"member {self.name}: no model for the locale {locales[others][0]}; there are models for "
                f"{', '.join(sorted(self.regions))}, and no phase trained one for all. Put a phase without per_locale "
                "first."
            )
        chosen = [(model, locales == name) for name, model in self.regions.items()]
        for model, mask in [*chosen, (self.model, others)]:
            if mask.any():
                yield model, np.flatnonzero(mask)

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
            {
                "encoder": self.encoder.name,
                "precision": self.precision,
                "trained": trained,
                "shared": self.shared,
                "locales": sorted(self.regions),
            },
        )
        if isinstance(self.model, MemberModel):
            self.model.encoder.save_assets(assets)
            # The generator served training only; a copy of each tensor parts what the model shares.
            shared = self.model.state_dict()
            _save_weights(shared, folder / "model.safetensors")
            for locale, model in self.regions.items():
                path = _path_of(folder, locale)
                path.parent.mkdir(exist_ok=True)
                _save_weights(changed(model, shared), path)
            if self.model.generator is not None:
                (folder / "negatives").mkdir()
                self.model.generator.leave(folder / "negatives", self.model.judge)
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
            model = model.eval().to(prediction.device())
            regions = {
                locale: copy_of(model, load_file(_path_of(folder, locale)))
                for locale in saved.get("locales", ())
            }
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise RunError(
                f"{folder}: member {member.name} cannot be loaded: {error}. The run directory is damaged or was "
                "made by other versions; provenance.json lists them."
            ) from error
        return cls(member.name, member.encoder, model, saved["precision"], regions, saved.get("shared", True))

    def in_precision(self, precision: str) -> FittedMember:
        """Return the member computing in `precision`, or for "auto" in the fastest its device has."""
        if not isinstance(self.model, MemberModel):
            return self
        if precision == "auto" and self.precision == "fp32":
            precision = prediction.fastest_precision(prediction.device())
        return self if precision == "auto" else attrs.evolve(self, precision=precision)


def _path_of(folder: Path, locale: str) -> Path:
    """Return the file of what a locale's copy changed."""
    return folder / "locales" / f"{quote(locale, safe='')}.safetensors"


def _save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors of a state but those of the generator."""
    weights = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in state.items()
        if not name.startswith("generator.")
    }
    save_file(weights, path)
