"""The run directory: what a finished run leaves behind, written atomically and read back without running anything.

resolved.toml        the pipeline with every default
provenance.json      versions, seed, fingerprint, gain profile, tie rule, machine
data.json            what the data was: counts, label shares, notes
members/<name>/      config.json, model.safetensors, assets
aggregator/          what it learnt
calibrator/<n>/      what each step learnt
predictions.parquet  one row per example: ids, split, label, probabilities, score, uncertainty
decisions.parquet    the same rows after the calibrators, with the decided label
neighbours.parquet   of tasks that rank: one row per test query and neighbour, nearest first
items.parquet        of the task embed: what the rows of the members' vectors are, `valid` then `candidates`
metrics.json         every figure of the report
mistakes.json        the most confident mistakes with their texts
run.trec qrels.trec  the test ranking for trec_eval and ir-measures
log.jsonl            one line per event
report.html          the report
"""

from __future__ import annotations

import functools
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prodmatch_core.errors import RunError

if TYPE_CHECKING:
    import polars as pl

    from prodmatch_core.data.dataset import LabelScheme
    from prodmatch_core.evaluation.evaluated import Evaluated
    from prodmatch_core.evaluation.retrieved import Retrieved
    from prodmatch_core.task_specs import TaskSpec

FORMAT = 1
"Version of the directory's layout, kept in provenance.json."


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, none where there is no log; a line that a kill cut short has not been said."""
    if not path.exists():  # members that fit themselves have no epochs to tell of
        return []
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    with suppress(ValueError):
        return [json.loads(line) for line in (*lines, rest) if line.strip()]
    return [json.loads(line) for line in lines if line.strip()]


def free_name(out: Path) -> Path:
    """Return `out`, or `out-2`, `out-3`, ... if it is taken."""
    candidate, number = out, 2
    while candidate.exists():
        candidate, number = out.with_name(f"{out.name}-{number}"), number + 1
    return candidate


@attrs.frozen
class Draft:
    """A run directory in the making: a hidden folder beside its final name."""

    final: Path

    @property
    def path(self) -> Path:
        """Return the folder that is written to."""
        return self.final.with_name(f".{self.final.name}.partial")

    @property
    def lock(self) -> Path:
        """Return the lock file that the one process which writes holds."""
        return self.final.with_name(f".{self.final.name}.lock")

    @property
    def old(self) -> Path:
        """Return where a replaced run stands between two renames."""
        return self.final.with_name(f".{self.final.name}.old")

    @classmethod
    def start(cls, out: Path, overwrite: bool = False) -> Draft:
        """Make the folder.

        Raises:
            RunError: `out` exists and is not to be overwritten, or is not a run, or cannot be written.
        """
        if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
            if not overwrite:
                raise RunError(
                    f"{out}: exists already. Choose another --out, or replace it with --overwrite."
                )
            if not (out / "provenance.json").is_file():
                raise RunError(
                    f"{out}: is not a run directory, so --overwrite will not replace it. Choose another --out."
                )
        draft = cls(out)
        if draft.old.exists() and not out.exists():  # killed between two renames: the former run is whole
            draft.old.rename(out)
        try:
            # What an earlier, unfinished run left is kept: its finished stages are reused if their keys still hold.
            draft.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{out}: cannot be made: {error.strerror}. Choose another --out.") from error
        return draft

    def finish(self) -> Path:
        """Give the folder its final name, replacing what is there, and return it."""
        if self.final.exists():
            shutil.rmtree(self.old, ignore_errors=True)
            self.final.rename(self.old)
        self.path.rename(self.final)
        shutil.rmtree(self.old, ignore_errors=True)
        return self.final


@attrs.frozen(eq=False, slots=False)
class Run:
    """A run directory that is being read, or one whose figures are all written and whose report is not."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a finished run.

        Raises:
            RunError: `path` is not a run directory, or was written by a newer version.
        """
        run = cls(Path(path))
        if not (run.path / "provenance.json").is_file():
            hint = (
                "it was never finished"
                if Draft(run.path).path.exists()
                else "name the folder `prodmatch run` printed"
            )
            raise RunError(f"{path}: is not a run directory (no provenance.json); {hint}.")
        version = run.provenance.get("format", 0)
        if version > FORMAT:
            raise RunError(
                f"{path}: written in format {version}, this version reads up to {FORMAT}. Upgrade prodmatch-core."
            )
        return run

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{path}: missing; the run directory is incomplete. Run the pipeline again."
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path}: cannot be read: {error}. Restore the file or run the pipeline again."
            ) from None

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """Return versions, seed, fingerprint, label scheme, machine."""
        return self._json("provenance.json")

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """Return every figure of the run; the keys are described in the reference."""
        return self._json("metrics.json")

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """Return the data card."""
        return self._json("data.json")

    @functools.cached_property
    def mistakes(self) -> list[dict[str, Any]]:
        """Return the most confident mistakes, surest first."""
        return self._json("mistakes.json")

    @functools.cached_property
    def scheme(self) -> LabelScheme:
        """Return the label scheme the run was made with."""
        from prodmatch_core.data.dataset import LabelScheme

        return LabelScheme(**self.provenance["scheme"])

    @functools.cached_property
    def predictions(self) -> pl.DataFrame:
        """Return predictions.parquet: probabilities before the calibrators."""
        return self._parquet("predictions.parquet")

    @functools.cached_property
    def decisions(self) -> pl.DataFrame:
        """Return decisions.parquet: ids, split, label, what was decided, score, uncertainty and `p_<label>`."""
        return self._parquet("decisions.parquet")

    def _parquet(self, name: str) -> pl.DataFrame:
        import polars as pl

        path = self.path / name
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise RunError(f"{path}: cannot be read: {error}. Run the pipeline again.") from None

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of log.jsonl."""
        return log_lines(self.path / "log.jsonl")

    @property
    def task(self) -> TaskSpec:
        """Return what there is to know of the run's task."""
        from prodmatch_core.task_specs import TASKS

        return TASKS[self.metrics.get("task", "match")]

    @functools.cached_property
    def neighbours(self) -> pl.DataFrame:
        """Return neighbours.parquet: query, group, rank, neighbour, score, right, relevant."""
        return self._parquet("neighbours.parquet")

    @functools.cached_property
    def items(self) -> pl.DataFrame:
        """Return items.parquet: item_id, group, split, title of the vectors kept of the task embed, valid then test."""
        return self._parquet("items.parquet")

    def retrieved(self) -> Retrieved:
        """Return what was found for the test queries in the form measures read; queries in the file's order."""
        import numpy as np
        import polars as pl

        from prodmatch_core.evaluation.retrieved import Retrieved

        table = self.neighbours
        place = table["query"].rle_id().to_numpy().astype(np.int64)
        rank = table["rank"].to_numpy() - 1
        first = table.filter(pl.col("rank") == 1)
        hits = np.zeros((first.height, int(rank.max()) + 1), dtype=bool)
        hits[place, rank] = table["right"].to_numpy()
        # The candidates' row numbers are not kept; neighbours are numbered by name.
        nearest = np.full(hits.shape, -1, dtype=np.int64)
        nearest[place, rank] = table["neighbour"].rank("dense").to_numpy().astype(np.int64) - 1
        groups = first["group"].rank("dense").cast(pl.Int64).to_numpy() - 1
        return Retrieved(hits, first["relevant"].to_numpy().astype(np.int64), nearest, groups)

    def evaluated(self, split: str = "test") -> Evaluated:
        """Return the decisions of one split in the form measures read."""
        import polars as pl

        return self.evaluated_of(self.decisions.filter(pl.col("split") == split))

    def evaluated_of(self, rows: pl.DataFrame) -> Evaluated:
        """Return rows with the columns of `decisions` in the form measures read."""
        import numpy as np
        import polars as pl

        from prodmatch_core.evaluation.assess import tie_break_of
        from prodmatch_core.evaluation.evaluated import Evaluated

        index = {label: number for number, label in enumerate(self.scheme.labels)}
        return Evaluated(
            labels=rows["label"].replace_strict(index, return_dtype=pl.Int64).to_numpy(),
            probabilities=rows.select(f"p_{label}" for label in self.scheme.labels)
            .to_numpy()
            .astype(np.float64),
            decisions=rows["decided"].replace_strict(index, return_dtype=pl.Int64).to_numpy(),
            groups=rows[self.task.group].rank("dense").cast(pl.Int64).to_numpy() - 1,
            scheme=self.scheme,
            weights=rows["weight"].to_numpy().astype(np.float64),
            tie_break=tie_break_of(rows, self.provenance.get("ties", "expected")),
        )
