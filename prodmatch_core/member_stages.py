"""Fitting a run's members, each a stage kept by content: a run that was stopped goes on with those it has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import load_file

from prodmatch_core.answers.work import Answer, Arrays, Work
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import resolved
from prodmatch_core.fit import parts_within
from prodmatch_core.progress import Reporter
from prodmatch_core.records import Part
from prodmatch_core.rundir import Run, log_lines
from prodmatch_core.sections import STREAM, Member
from prodmatch_core.stages import Stage, content_key, versions
from prodmatch_core.training import processes
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_core.writing import saving, write_arrays, write_text


def own_log(member: str) -> str:
    """Return the name of the log of a member that is fitted beside others."""
    return f".log.{member}.jsonl"


@attrs.define(eq=False)
class Members:
    """The members of one unfinished run.

    Attributes:
        answer: the run's work, and what is kept of a member's predictions.
        fingerprint: of the data.
        reporter: hears of progress.
        log: where epochs are written.
        seconds: what each member took, filled in as they are fitted.
    """

    answer: Answer
    fingerprint: str
    reporter: Reporter
    log: Path
    seconds: dict[str, float] = attrs.field(factory=dict)
    _logged: set[str] = attrs.field(factory=set)
    "Members of whose log nothing is left of a run that was stopped."

    @property
    def _work(self) -> Work:
        return self.answer.work

    def stage(self, member: Member) -> Stage:
        """Return where a member is kept, under a key of all it depends on."""
        return Stage(self._work.path / "members" / member.name, self._key(member))

    def fitted(self, member: Member, kept: str = "") -> Arrays:
        """Return what a member says, fitted now unless an earlier run has done so.

        Args:
            member: of the pipeline.
            kept: what the reporter is told where it is there already.
        """
        stage = self.stage(member)
        if processes.agreed(stage.done()):
            if kept:
                self.reporter.message(f"member {member.name}: {kept}")
            table: Arrays = load_file(stage.folder / "predictions.safetensors")
        else:
            started = time.perf_counter()
            checkpoint = self._checkpoint(member, stage.key)
            model, table = self._fit(member, checkpoint)
            with saving(stage.folder):
                model.save(stage.begin())
                write_arrays(stage.folder / "predictions.safetensors", table)
                stage.finish(seconds=time.perf_counter() - started)
            checkpoint.remove()  # only now: until the stamp is there, a killed run goes on from it
        self.seconds[member.name] = stage.facts()["seconds"]
        return table

    def follow(self) -> None:
        """Train beside the main process, which alone decides what is kept, predicts and writes."""
        work = self._work
        for member in work.pipeline.member:
            if not processes.agreed(False):
                data = work.fit_data()
                for _, inside in self._folds(data):
                    fit_member(member, inside, work.task, work.registry, work.seed)
                checkpoint = self._checkpoint(member, self._key(member))
                fit_member(member, data, work.task, work.registry, work.seed, checkpoint=checkpoint)

    def heard(self, member: str, figures: Mapping[str, Any]) -> None:
        """Log an epoch and tell of it; a process that fits one member leaves the telling to the one that waits."""
        self._log_epoch(member, figures)
        plain = {"loss": figures["loss"], **figures["valid"]}
        if figures["phase"] != STREAM.name:  # a step of time is no line of its own
            self.reporter.epoch(member, figures["epoch"], plain)
        if self.log.name == "log.jsonl":
            self._work.registry.announce(
                "prodmatch_epoch_finished", run=Run(self._work.path), member=member, metrics=plain
            )

    def _checkpoint(self, member: Member, key: str) -> Checkpoint:
        path = self._work.path / "checkpoints" / f"{member.name}.safetensors"
        return Checkpoint(path, key, writes=processes.is_main())

    def _folds(self, data: FitData) -> Iterator[tuple[np.ndarray, FitData]]:
        """Yield the training rows of each fold, and the data without them."""
        folds = self.answer.folds
        for fold in range(0 if folds is None else int(folds.max()) + 1):
            inside = attrs.evolve(data, train=data.train.take(np.flatnonzero(folds != fold)))
            yield np.flatnonzero(folds == fold), inside

    def _key(self, member: Member) -> str:
        work, folds = self._work, self.answer.folds
        tree = resolved(work.pipeline)
        of_member = dict(tree["member"][[m.name for m in work.pipeline.member].index(member.name)])
        del of_member["optional"]  # whether others need it changes nothing about the member
        makers = (work.registry.owner(part.spec).distribution for part in _parts(member))
        return content_key(
            member=of_member,
            task=work.pipeline.pipeline.task,
            settings=tree.get(work.pipeline.pipeline.task),
            split=tree["data"]["split"],
            seed=work.seed,
            data=self.fingerprint,
            folds=None if folds is None else int(folds.max()) + 1,
            versions=versions([*makers, "prodmatch-core", "torch"]),
        )

    def _fit(self, member: Member, checkpoint: Checkpoint) -> tuple[FittedMember, dict[str, np.ndarray]]:
        def stepped(done: int, total: int) -> None:
            self.reporter.progress(member.name, done, total)

        def heard(figures: Mapping[str, Any]) -> None:
            self.heard(member.name, figures)

        work = self._work
        data, table = work.fit_data(), dict[str, np.ndarray]()
        for number, (rows, inside) in enumerate(self._folds(data), start=1):
            self.reporter.message(f"member {member.name}: fold {number}")
            model = fit_member(member, inside, work.task, work.registry, work.seed, on_step=stepped)
            found = self.answer.held_out(model, rows)
            held = table.setdefault("train", np.empty((len(data.train), *found.shape[1:])))
            held[rows] = found
        model = fit_member(member, data, work.task, work.registry, work.seed, heard, stepped, checkpoint)
        return model, table | self.answer.predictions(model)

    def _log_epoch(self, member: str, figures: Mapping[str, Any]) -> None:
        """Add an epoch to the log in place of what a stopped run said of it and of later ones."""
        path = self.log
        said = json.dumps({"event": "epoch", "member": member, **figures}, ensure_ascii=False) + "\n"
        if member in self._logged:
            with saving(path), path.open("a", encoding="utf-8") as file:
                file.write(said)
            return
        self._logged.add(member)
        kept = [
            json.dumps(event, ensure_ascii=False) + "\n"
            for event in log_lines(path)
            if event["member"] != member or event["epoch"] < figures["epoch"]
        ]
        write_text(path, "".join([*kept, said]))


def _parts(member: Member) -> list[Part]:
    """Return a member's parts, nested ones too."""
    heads = [member.encoder, member.negatives, member.sampler, *(entry.part for entry in member.loss)]
    return [part for head in heads if head is not None for _, part in parts_within(head, "")]
