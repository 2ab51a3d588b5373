"""The runner: load -> fit members -> conclude (aggregate, calibrate, measure) -> report.

Fitting a member is a stage kept by content in the unfinished run directory, so a run that was stopped goes on with
the members it has; everything after the members takes seconds and is made anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import load_file

from prodmatch_core.answers.classes import ClassAnswer
from prodmatch_core.answers.neighbours import NeighbourAnswer
from prodmatch_core.answers.work import Answer, Arrays, Work
from prodmatch_core.components.aggregator import Cost
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import load_pipeline, resolved, to_toml
from prodmatch_core.data.describe import describe
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import RunError
from prodmatch_core.fit import parts_within
from prodmatch_core.locking import exclusive
from prodmatch_core.progress import Reporter, Silent
from prodmatch_core.provenance import provenance
from prodmatch_core.records import Part
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.rundata import pairs_of, read_dataset
from prodmatch_core.rundir import Draft, Run, log_lines
from prodmatch_core.sections import Member, PipelineFile
from prodmatch_core.side_by_side import fit_side_by_side, reason_of
from prodmatch_core.stages import Stage, content_key, versions
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import processes
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.course import STREAM
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_core.writing import saving, write_arrays, write_json, write_text

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


def _own_log(member: str) -> str:
    """Return the name of the log of a member that is fitted beside others."""
    return f".log.{member}.jsonl"


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
    logged: set[str] = attrs.field(factory=set)
    "Members of whose log nothing is left of a run that was stopped."

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
        self._load()
        self.log = self.path / _own_log(name)
        member = next(member for member in self.pipeline.member if member.name == name)
        self._fitted(member, Run(self.path))

    def _follow(self) -> Run:
        """Train beside the main process, which alone decides what is kept, predicts and writes."""
        self._load()
        folds, data = self.answer.folds, self.work.fit_data()
        for member in self.pipeline.member:
            if not processes.agreed(False):
                checkpoint = self._checkpoint(member, self._member_key(member, folds))
                for _, inside in self._folds(folds, data):
                    fit_member(member, inside, self.work.task, self.registry, self.work.seed)
                fit_member(member, data, self.work.task, self.registry, self.work.seed, checkpoint=checkpoint)
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
        predictions = self._members(draft_run)
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

    def _load(self) -> None:
        dataset = read_dataset(self.pipeline, self.context)
        self.fingerprint = dataset.fingerprint()
        task = load_task(self.pipeline.pipeline.task)
        data = task.examples(dataset, self.pipeline)
        self.work = Work(self.pipeline, task, self.registry, dataset, data, self.path)
        self.answer = ANSWERS[task.spec.answer](self.work)
        self.log = self.path / "log.jsonl"

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
        for log in self.path.glob(_own_log("*")):
            log.unlink()
        for later in ("aggregator", "calibrator"):
            shutil.rmtree(self.path / later, ignore_errors=True)
        log = self.path / "log.jsonl"
        if log.exists():
            kept = [event for event in log_lines(log) if event["member"] in names]
            write_text(log, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))

    # -- members ------------------------------------------------------------------------------------------------

    def _members(self, run: Run) -> list[Arrays]:
        """Fit the members that are not there yet, go on without optional ones that fail, and return what all say."""
        self.seconds["members"] = {}
        failed = self._side_by_side(run) if self.jobs > 1 and processes.count() == 1 else {}
        tables: list[Arrays] = []
        for member in self.pipeline.member:
            self.reporter.stage(f"member {member.name}")
            try:
                if member.name in failed:
                    raise RunError(f"member {member.name}: {failed[member.name]}")
                tables.append(self._fitted(member, run))
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

    def _side_by_side(self, run: Run) -> dict[str, str]:
        """Fit what is not there yet in processes of their own, and return why some failed."""
        missing = [member.name for member in self.pipeline.member if not self._stage(member).done()]
        failed = fit_side_by_side(self.out, missing, self.context, self.jobs, self.reporter)
        for name in missing:
            log = self.path / _own_log(name)
            for event in map(
                json.loads, log.read_text(encoding="utf-8").splitlines() if log.exists() else ()
            ):
                self._heard(run, name, {key: event[key] for key in event if key not in ("event", "member")})
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

    def _stage(self, member: Member) -> Stage:
        return Stage(self.path / "members" / member.name, self._member_key(member, self.answer.folds))

    def _fitted(self, member: Member, run: Run) -> Arrays:
        """Return what a member says, fitted now unless an earlier run has done so."""
        stage = self._stage(member)
        if processes.agreed(stage.done()):
            if self.jobs == 1:
                self.reporter.message(
                    f"member {member.name}: kept from before; nothing it depends on has changed"
                )
            table: Arrays = load_file(stage.folder / "predictions.safetensors")
        else:
            started = time.perf_counter()
            checkpoint = self._checkpoint(member, stage.key)
            model, table = self._fit_member(member, self.work.fit_data(), self.answer.folds, run, checkpoint)
            with saving(stage.folder):
                model.save(stage.begin())
                write_arrays(stage.folder / "predictions.safetensors", table)
                stage.finish(seconds=time.perf_counter() - started)
            checkpoint.remove()  # only now: until the stamp is there, a killed run goes on from it
        self.seconds.setdefault("members", {})[member.name] = stage.facts()["seconds"]
        return table

    def _checkpoint(self, member: Member, key: str) -> Checkpoint:
        path = self.path / "checkpoints" / f"{member.name}.safetensors"
        return Checkpoint(path, key, writes=processes.is_main())

    @staticmethod
    def _folds(folds: np.ndarray | None, data: FitData) -> Iterator[tuple[np.ndarray, FitData]]:
        """Yield the training rows of each fold, and the data without them."""
        for fold in range(0 if folds is None else int(folds.max()) + 1):
            inside = attrs.evolve(data, train=data.train.take(np.flatnonzero(folds != fold)))
            yield np.flatnonzero(folds == fold), inside

    def _member_key(self, member: Member, folds: np.ndarray | None) -> str:
        parts = [part for _, part in self._parts(member)]
        tree = resolved(self.pipeline)
        of_member = dict(tree["member"][[m.name for m in self.pipeline.member].index(member.name)])
        del of_member["optional"]  # whether others need it changes nothing about the member
        return content_key(
            member=of_member,
            task=self.pipeline.pipeline.task,
            settings=tree.get(self.pipeline.pipeline.task),
            split=tree["data"]["split"],
            seed=self.work.seed,
            data=self.fingerprint,
            folds=None if folds is None else int(folds.max()) + 1,
            versions=versions(
                [*(self.registry.owner(part.spec).distribution for part in parts), "prodmatch-core", "torch"]
            ),
        )

    @staticmethod
    def _parts(member: Member) -> list[tuple[str, Part]]:
        heads = [member.encoder, member.negatives, member.sampler, *(entry.part for entry in member.loss)]
        return [pair for part in heads if part is not None for pair in parts_within(part, "")]

    def _fit_member(
        self, member: Member, data: FitData, folds: np.ndarray | None, run: Run, checkpoint: Checkpoint
    ) -> tuple[FittedMember, dict[str, np.ndarray]]:
        def stepped(done: int, total: int) -> None:
            self.reporter.progress(member.name, done, total)

        task, seed = self.work.task, self.work.seed
        table: dict[str, np.ndarray] = {}
        for number, (rows, inside) in enumerate(self._folds(folds, data), start=1):
            self.reporter.message(f"member {member.name}: fold {number}")
            model = fit_member(member, inside, task, self.registry, seed, on_step=stepped)
            found = self.answer.held_out(model, rows)
            held = table.setdefault("train", np.empty((len(data.train), *found.shape[1:])))
            held[rows] = found

        def heard(figures: Mapping[str, Any]) -> None:
            self._heard(run, member.name, figures)

        model = fit_member(member, data, task, self.registry, seed, heard, stepped, checkpoint)
        return model, table | self.answer.predictions(model)

    def _heard(self, run: Run, member: str, figures: Mapping[str, Any]) -> None:
        """Log an epoch and tell of it; a process that fits one member leaves the telling to the one that waits."""
        self._log_epoch(member, figures)
        plain = {"loss": figures["loss"], **figures["valid"]}
        if figures["phase"] != STREAM.name:  # a step of time is no line of its own
            self.reporter.epoch(member, figures["epoch"], plain)
        if self.log.name == "log.jsonl":
            self.registry.announce("prodmatch_epoch_finished", run=run, member=member, metrics=plain)

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

    def _log_epoch(self, member: str, figures: Mapping[str, Any]) -> None:
        """Add an epoch to the log in place of what a stopped run said of it and of later ones."""
        path = self.log
        said = json.dumps({"event": "epoch", "member": member, **figures}, ensure_ascii=False) + "\n"
        if member in self.logged:
            with saving(path), path.open("a", encoding="utf-8") as file:
                file.write(said)
            return
        self.logged.add(member)
        kept = [
            json.dumps(event, ensure_ascii=False) + "\n"
            for event in log_lines(path)
            if event["member"] != member or event["epoch"] < figures["epoch"]
        ]
        write_text(path, "".join([*kept, said]))

    def _write_provenance(self) -> None:
        work = self.work
        made = provenance(
            self.registry, work.data.scheme, work.seed, self.fingerprint, self.pipeline.evaluation
        )
        write_json(self.path / "provenance.json", {**made, "seconds": self.seconds})
