"""Score with a cache of labels: pairs seen before are answered from it, and a run is loaded for the others alone."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import polars as pl

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.texts import normalised
from prodmatch_core.fields import PRODUCT_FIELDS
from prodmatch_core.fit import parts_within
from prodmatch_core.rundir import Run
from prodmatch_core.serving.label_store import LabelStore

if TYPE_CHECKING:
    from prodmatch_core.pipeline import Pipeline

NO_MATTER = ("predictions.safetensors", "stage.json", "cost.json")
"Files of a member that no answer depends on."
_FIXED = ("decided", "accepted", "for_review", "score", "uncertainty")


def model_set(run: Path, *options: str) -> str:
    """Return a SHA-256 over what a run's answers depend on: its members, aggregator, calibrators, labels, options."""
    from prodmatch_core.registry import default_registry
    from prodmatch_core.stages import versions

    digest = hashlib.sha256("\x1f".join([*options, str(Run.open(run).scheme)]).encode())
    plugins = (plugin.distribution for plugin in default_registry().plugins)
    digest.update(str(sorted(versions([*plugins, "torch"]).items())).encode())
    folders = [run / name for name in ("members", "aggregator", "calibrator", "export")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    for file in sorted([run / "resolved.toml", *files]):
        if file.name not in NO_MATTER:
            digest.update(str(file.relative_to(run)).encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def reads_identifiers(run: Path) -> bool:
    """Tell whether a run's answers depend on who a query and a product are, beside their texts, as a graph's do."""
    return any(
        part.needs & {"engagements", "judgements", "blocks"} or "nodes" in part.gives
        for member in load_pipeline(run / "resolved.toml").member
        for _, part in parts_within(member.encoder, "")
    )


def keys_of(frame: pl.DataFrame, version: str, identified: bool = False) -> np.ndarray:
    """Return the key of every pair, (n, 2) uint64: of locale, normalised texts and `version`.

    Args:
        frame: pairs as `Pipeline.predict` takes them.
        version: the model set's hash and the catalogue's version.
        identified: add query_id and product_id, where the frame has them.
    """
    locale = pl.col("locale").cast(pl.String).fill_null("en") if "locale" in frame.columns else pl.lit("en")
    frame = frame.with_columns(locale.alias("locale"))
    texts = [name for name in ("locale", "query", *PRODUCT_FIELDS) if name in frame.columns]
    parts = {name: normalised(frame[name].cast(pl.String)) for name in texts}
    if identified:
        named = [name for name in ("query_id", "product_id") if name in frame.columns]
        parts |= {name: frame[name].cast(pl.String) for name in named}
    # The separator is a blank, so no normalised text holds it. A text that is not there is left out.
    told = [
        pl.when(pl.col(name) != "").then(pl.lit(f"\x1f{name}=") + pl.col(name)).otherwise(pl.lit(""))
        for name in parts
    ]
    whole = pl.DataFrame(parts).select(pl.concat_str(told).cast(pl.Binary)).to_series().to_list()
    # Keyed, so that what is the same for all pairs is worked out once; cut to 128 bits.
    key = hashlib.blake2b(version.encode(), digest_size=32).digest()
    digest = functools.partial(hashlib.blake2b, digest_size=16, key=key)
    return np.frombuffer(b"".join([digest(text).digest() for text in whole]), dtype=np.uint64).reshape(-1, 2)


@attrs.define(eq=False)
class CachedPipeline:
    """A run that scores, with a store of what it said before; the run is loaded when the first pair is not there.

    Attributes:
        run: the run directory.
        store: the answers.
        version: what keys hold beside texts.
        precision, backend: as `Pipeline.load` takes them.
        identified: whether keys hold identifiers beside texts.
        hits: pairs answered from the store so far.
    """

    run: Path
    store: LabelStore
    version: str
    labels: tuple[str, ...]
    precision: str = "auto"
    backend: str = "torch"
    identified: bool = False
    hits: int = 0
    _pipeline: Pipeline | None = None

    @classmethod
    def open(
        cls,
        run: Path,
        cache: Path,
        catalogue: str = "",
        limit: int = 1_000_000,
        precision: str = "auto",
        backend: str = "torch",
    ) -> CachedPipeline:
        """Open a run and a cache.

        Args:
            run: what `prodmatch run` wrote.
            cache: folder of the store.
            catalogue: version of what the texts do not show, such as a graph; another one invalidates every answer.
            limit: answers kept at the most.
            precision, backend: as `Pipeline.load` takes them.

        Raises:
            RunError: the directory is not a run, or the store cannot be used.
        """
        labels = Run.open(run).scheme.labels
        store = LabelStore.open(cache, len(_FIXED) + len(labels), limit)
        version = f"{model_set(run, precision, backend)}\x1f{catalogue}"
        return cls(run, store, version, labels, precision, backend, reads_identifiers(run))

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what `Pipeline.predict` does.

        Raises:
            DataError: a column is missing or a text is empty.
        """
        keys = keys_of(frame, self.version, self.identified)
        there, values = self.store.find(keys)
        self.hits += int(there.sum())
        if not there.all():
            new = np.flatnonzero(~there)
            # Pairs of one key get one answer, now as later.
            distinct, first, which = np.unique(keys[new], axis=0, return_index=True, return_inverse=True)
            found = self._packed(self.pipeline.predict(frame[new[first]]))
            values[new] = found[which.ravel()]
            self.store.add(distinct, found)
        return self._unpacked(frame, values)

    @property
    def pipeline(self) -> Pipeline:
        """Return the run as an object that scores, loaded once."""
        if self._pipeline is None:
            from prodmatch_core.pipeline import Pipeline

            self._pipeline = Pipeline.load(self.run, self.precision, self.backend)
        return self._pipeline

    def _packed(self, scored: pl.DataFrame) -> np.ndarray:
        index = {label: number for number, label in enumerate(self.labels)}
        columns = [
            scored["decided"].replace_strict(index, return_dtype=pl.Int64),
            scored["accepted"],
            scored["for_review"] if "for_review" in scored.columns else pl.Series([None], dtype=pl.Boolean),
            scored["score"],
            scored["uncertainty"],
            *(scored[f"p_{label}"] for label in self.labels),
        ]
        floats = [column.cast(pl.Float64).fill_null(float("nan")).to_numpy() for column in columns]
        return np.column_stack([np.broadcast_to(values, scored.height) for values in floats])

    def _unpacked(self, frame: pl.DataFrame, values: np.ndarray) -> pl.DataFrame:
        columns = [
            pl.Series("decided", self.labels, dtype=pl.String).gather(values[:, 0].astype(np.int64)),
            pl.Series("accepted", values[:, 1] > 0),
        ]
        if not np.isnan(values[:, 2]).any():
            columns.append(pl.Series("for_review", values[:, 2] > 0))
        columns += [pl.Series("score", values[:, 3]), pl.Series("uncertainty", values[:, 4])]
        columns += [pl.Series(f"p_{label}", values[:, 5 + place]) for place, label in enumerate(self.labels)]
        return frame.hstack(columns)
