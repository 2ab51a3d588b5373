"""The runner: load -> fit members -> conclude (aggregate, calibrate, measure) -> report.

Fitting a member is a stage kept by content in the unfinished run directory, so a run that was stopped goes on with
the members it has; everything after the members takes seconds and is made anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core.answers.classes import ClassAnswer
from prodmatch_core.answers.neighbours import NeighbourAnswer
from prodmatch_core.answers.work import Answer, Arrays, Work
from prodmatch_core.components.aggregator import Cost
from prodmatch_core.config import load_pipeline, resolved, to_toml
from prodmatch_core.data.describe import describe
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import RunError
from prodmatch_core.locking import exclusive
from prodmatch_core.member_stages import Members, own_log
from prodmatch_core.progress import Reporter, Silent
from prodmatch_core.provenance import provenance
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.rundata import pairs_of, read_dataset
from prodmatch_core.rundir import Draft, Run, log_lines
from prodmatch_core.sections import PipelineFile
from prodmatch_core.side_by_side import fit_side_by_side, reason_of
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import processes
from prodmatch_core.writing import write_json, write_text

ANSWERS: Mapping[str, type[Answer]] = {"classes": ClassAnswer, "neighbours": NeighbourAnswer}
"What becomes of members' predictions, by what a task answers with."


def run_pipeline(
    pipeline: PipelineFile,
    *,
    out: Path,
    context: ReadContext | None = None,
    overwrite: bool = False,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    jobs: int = 1,
) -> Run:
    """Run a checked pipeline and return its finished run directory.

    Args:
        pipeline: what `load_pipeline` returned.
        out: the run directory to make.
        context: where data files are, how to split, whether bad rows are skipped.
        overwrite: replace a finished run of the same name.
        registry: the parts there are; the installed plugins' by default.
        reporter: hears of progress; silent by default.
        jobs: members fitted side by side at most, each by a process of its own with the installed plugins.

    Raises:
        RunError: the directory cannot be made or training failed.
        DataError: the data cannot be used; nothing was trained.
    """
    return _Runner(
        pipeline, out, context or ReadContext(), registry or default_registry(), reporter or Silent(), jobs
    ).run(overwrite)


def fit_one(out: Path, name: str, context: ReadContext) -> None:
    """Fit one member of an unfinished run whose draft holds resolved.toml, and leave it there as a finished stage.

    Raises:
        RunError: training failed.
        DataError: the data cannot be used.
    """
    registry = default_registry()
    pipeline = load_pipeline(Draft(out).path / "resolved.toml", registry=registry)
    _Runner(pipeline, out, context, registry, Silent()).fit_one(name)


@attrs.define(eq=False, slots=False)
class _Runner:
    """One run in progress: what the stages hand to each other."""

    pipeline: PipelineFile
    out: Path
    context: ReadContext
    registry: Registry
    reporter: Reporter
    jobs: int = 1
    seconds: dict[str, Any] = attrs.field(factory=dict)
    left_out: dict[str, str] = attrs.field(factory=dict)
    "Optional members that could not be fitted, and why."

    def run(self, overwrite: bool) -> Run:
        """Go through all stages; what fails before a member is fitted leaves nothing behind."""
        self.draft = Draft(self.out)
        self.path = self.draft.path
        if not processes.is_main():
            return self._follow()
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.out}: cannot be made: {error.strerror}. Choose another --out.") from error
        with exclusive(self.draft.lock, str(self.out)):
            Draft.start(self.out, overwrite)
            try:
                return self._stages()
            except BaseException:
                if not any(self.path.glob("members/*/stage.json")) and not any(
                    self.path.glob("checkpoints/*")
                ):
                    shutil.rmtree(self.path, ignore_errors=True)
                raise

    def fit_one(self, name: str) -> None:
        """Fit one member for the process that runs the pipeline."""
        self.path = Draft(self.out).path
        self._load(own_log(name))
        self.members.fitted(next(member for member in self.pipeline.member if member.name == name))

    def _follow(self) -> Run:
        """Train beside the main process, which alone decides what is kept, predicts and writes."""
        self._load()
        self.members.follow()
        processes.wait()
        return Run(self.out)

    def _stages(self) -> Run:
        started = time.perf_counter()
        write_text(self.path / "resolved.toml", to_toml(resolved(self.pipeline)))

        self.reporter.stage("load")
        self._timed("load", self._load)
        self._write_card()
        self._write_provenance()
        draft_run = Run(self.path)
        self.registry.announce("prodmatch_run_started", run=draft_run)

        self._forget_others()
        predictions = self._predictions()
        self.seconds["members"] = self.members.seconds
        self.reporter.stage("evaluate")
        self.metrics = {
            "name": self.pipeline.pipeline.name,
            "task": self.pipeline.pipeline.task,
            "counts": self._counts(),
            "left_out": self.left_out,
            **self._timed("evaluate", lambda: self.answer.conclude(predictions)),
        }
        self.seconds["total"] = time.perf_counter() - started
        write_json(self.path / "metrics.json", self.metrics)
        self._write_provenance()

        self.reporter.stage("report")
        from prodmatch_core.report.page import write_report

        write_report(draft_run, self.registry)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        run = Run(self.draft.finish())
        processes.wait()
        self.registry.announce("prodmatch_run_finished", run=run, report=self.metrics)
        return run

    # -- load ---------------------------------------------------------------------------------------------------

    def _load(self, log: str = "log.jsonl") -> None:
        dataset = read_dataset(self.pipeline, self.context)
        self.fingerprint = dataset.fingerprint()
        task = load_task(self.pipeline.pipeline.task)
        data = task.examples(dataset, self.pipeline)
        self.work = Work(self.pipeline, task, self.registry, dataset, data, self.path)
        self.answer = ANSWERS[task.spec.answer](self.work)
        self.members = Members(self.answer, self.fingerprint, self.reporter, self.path / log)

    def _write_card(self) -> None:
        card = {
            **describe(self.work.dataset),
            "fingerprint": self.fingerprint,
            "task": self.work.task.spec.name,
        }
        without = [f"member {name} was left out: {reason}" for name, reason in self.left_out.items()]
        card["notes"] = [*card["notes"], *self.work.data.notes, *without]
        write_json(self.path / "data.json", card)

    def _forget_others(self) -> None:
        """Take out what an earlier, unfinished run left of members that this pipeline does not have."""
        names = {member.name for member in self.pipeline.member}
        for folder in self.path.glob("members/*"):
            if folder.name not in names:
                shutil.rmtree(folder)
        for log in self.path.glob(own_log("*")):
            log.unlink()
        for later in ("aggregator", "calibrator"):
            shutil.rmtree(self.path / later, ignore_errors=True)
        log = self.path / "log.jsonl"
        if log.exists():
            kept = [event for event in log_lines(log) if event["member"] in names]
            write_text(log, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))

    # -- members ------------------------------------------------------------------------------------------------

    def _predictions(self) -> list[Arrays]:
        """Fit the members that are not there yet, go on without optional ones that fail, and return what all say."""
        failed = self._side_by_side() if self.jobs > 1 and processes.count() == 1 else {}
        # Of members that were fitted side by side just now nobody needs to hear that they are there.
        kept = "kept from before; nothing it depends on has changed" if self.jobs == 1 else ""
        tables: list[Arrays] = []
        for member in self.pipeline.member:
            self.reporter.stage(f"member {member.name}")
            try:
                if member.name in failed:
                    raise RunError(f"member {member.name}: {failed[member.name]}")
                tables.append(self.members.fitted(member, kept))
            except Exception as error:
                if not member.optional or processes.count() > 1:  # other processes wait for this one
                    raise
                self.left_out[member.name] = reason_of(error)
                self.reporter.message(f"member {member.name} is left out: {reason_of(error)}")
        if self.left_out:
            self._go_on_without()
        if self.pipeline.aggregator is not None and "costs" in self.pipeline.aggregator.part.needs:
            self.work = attrs.evolve(self.work, costs=self._costs())
            self.answer.work = self.work
        return tables

    def _side_by_side(self) -> dict[str, str]:
        """Fit what is not there yet in processes of their own, and return why some failed."""
        missing = [member.name for member in self.pipeline.member if not self.members.stage(member).done()]
        failed = fit_side_by_side(self.out, missing, self.context, self.jobs, self.reporter)
        for name in missing:
            log = self.path / own_log(name)
            for event in map(
                json.loads, log.read_text(encoding="utf-8").splitlines() if log.exists() else ()
            ):
                self.members.heard(name, {key: event[key] for key in event if key not in ("event", "member")})
            log.unlink(missing_ok=True)
        return failed

    def _go_on_without(self) -> None:
        """Make the pipeline one without the members that were left out."""
        kept = tuple(member for member in self.pipeline.member if member.name not in self.left_out)
        if not kept:
            raise RunError(
                "no member could be fitted: "
                + "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
            )
        self.pipeline = attrs.evolve(self.pipeline, member=kept)
        self.work = attrs.evolve(self.work, pipeline=self.pipeline)
        self.answer.work = self.work
        write_text(self.path / "resolved.toml", to_toml(resolved(self.pipeline)))
        self._write_card()
        for name in self.left_out:
            shutil.rmtree(self.path / "members" / name, ignore_errors=True)

    def _costs(self) -> tuple[Cost, ...]:
        from prodmatch_core.serving.costs import BATCH, BATCHES, measured_costs

        self.reporter.message("measuring what each member costs")
        rows = self.work.data.rows["valid"].head(BATCH * (BATCHES + 1))
        names = [member.name for member in self.pipeline.member]
        return measured_costs(self.path, names, pairs_of(rows, self.work.dataset))

    def _counts(self) -> dict[str, int]:
        data, group = self.work.data, self.work.task.spec.group
        counts = {split: len(examples) for split, examples in data.examples.items()}
        return {**counts, "test_queries": int(data.rows["test"][group].n_unique())}

    # -- notes ----------------------------------------------------------------------------------------------------

    def _timed(self, name: str, work: Any) -> Any:
        started = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - started
        return result

    def _write_provenance(self) -> None:
        work = self.work
        made = provenance(
            self.registry, work.data.scheme, work.seed, self.fingerprint, self.pipeline.evaluation
        )
        write_json(self.path / "provenance.json", {**made, "seconds": self.seconds})
