"""The runner: load -> fit members -> aggregate -> calibrate -> evaluate -> report.

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
import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from prodmatch_core.components.calibrator import Decisions, match_score
from prodmatch_core.components.encoder import FitData
from prodmatch_core.config import resolved, to_toml
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describe import describe
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.errors import DataError
from prodmatch_core.evaluation import assess, trec
from prodmatch_core.fit import parts_within
from prodmatch_core.predictions import MemberTable, frame_of
from prodmatch_core.progress import Reporter, Silent
from prodmatch_core.provenance import provenance
from prodmatch_core.records import MeasureSpec, Part
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.rundir import Draft, Run, write_json, write_parquet, write_text
from prodmatch_core.sections import Member, Pipeline
from prodmatch_core.stages import Stage, content_key, versions
from prodmatch_core.tasks.match import TASKS
from prodmatch_core.training import seeds
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member


def run_pipeline(
    pipeline: Pipeline,
    *,
    out: Path,
    context: ReadContext | None = None,
    overwrite: bool = False,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Run a checked pipeline and return its finished run directory.

    Args:
        pipeline: what `load_pipeline` returned.
        out: the run directory to make.
        context: where data files are, how to split, whether bad rows are skipped.
        overwrite: replace a finished run of the same name.
        registry: the parts there are; the installed plugins' by default.
        reporter: hears of progress; silent by default.

    Raises:
        RunError: the directory cannot be made or training failed.
        DataError: the data cannot be used; nothing was trained.
    """
    return _Runner(
        pipeline, out, context or ReadContext(), registry or default_registry(), reporter or Silent()
    ).run(overwrite)


@attrs.define(eq=False, slots=False)
class _Runner:
    """One run in progress: what the stages hand to each other."""

    pipeline: Pipeline
    out: Path
    context: ReadContext
    registry: Registry
    reporter: Reporter
    seconds: dict[str, Any] = attrs.field(factory=dict)

    def run(self, overwrite: bool) -> Run:
        """Go through all stages; what fails before a member is fitted leaves nothing behind."""
        self.draft = Draft.start(self.out, overwrite)
        self.path = self.draft.path
        try:
            return self._stages()
        except BaseException:
            if not any(self.path.glob("members/*/stage.json")) and not any(self.path.glob("checkpoints/*")):
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def _stages(self) -> Run:
        started = time.perf_counter()
        self.task = TASKS[self.pipeline.pipeline.task]()
        write_text(self.path / "resolved.toml", to_toml(resolved(self.pipeline)))

        self.reporter.stage("load")
        self._timed("load", self._load)
        self._write_provenance()
        draft_run = Run(self.path)
        self.registry.announce("prodmatch_run_started", run=draft_run)

        self._forget_others()
        predictions = self._members(draft_run)
        self.reporter.stage("aggregate and calibrate")
        combined = self._aggregate(predictions)
        decisions = self._calibrate(combined)

        self.reporter.stage("evaluate")
        self._timed("evaluate", lambda: self._evaluate(predictions, decisions))
        self.seconds["total"] = time.perf_counter() - started
        write_json(self.path / "metrics.json", self.metrics)
        self._write_provenance()

        self.reporter.stage("report")
        from prodmatch_core.report import write_report

        write_report(draft_run, self.registry)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        run = Run(self.draft.finish())
        self.registry.announce("prodmatch_run_finished", run=run, report=self.metrics)
        return run

    # -- load ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        part, seed = self.pipeline.data.part, self.pipeline.pipeline.seed
        context = attrs.evolve(self.context, split=self.pipeline.data.split)
        dataset: Dataset = part.spec.load()(part.config, context)
        if self.pipeline.data.positive and dataset.scheme is not None:
            scheme = attrs.evolve(dataset.scheme, positive=self.pipeline.data.positive)
            dataset = attrs.evolve(dataset, scheme=scheme)
        check_references(dataset)
        if dataset.scheme is None or dataset.judgements is None:
            raise DataError(f"{dataset.source}: has no judgements; the task match needs labelled pairs.")
        self.dataset, self.scheme, self.seed = dataset, dataset.scheme, seed
        self.fingerprint = dataset.fingerprint()
        self.corpus, self.examples, self.rows = match_examples(dataset)
        for split in ("train", "valid", "test"):
            if not len(self.examples[split]):
                raise DataError(
                    f"{dataset.source}: split {split} is empty. Give it rows, or set [data.split]."
                )
        write_json(self.path / "data.json", {**describe(dataset), "fingerprint": self.fingerprint})

    def _fit_data(self) -> FitData:
        """Return what members may look at: neither test labels nor a synthetic world's truth are in it."""
        assert self.dataset.judgements is not None
        judged = self.dataset.judgements.filter(pl.col("split") != "test")
        visible = attrs.evolve(self.dataset, judgements=judged, truth={})
        return FitData(self.corpus, self.examples["train"], self.examples["valid"], self.scheme, visible)

    def _forget_others(self) -> None:
        """Take out what an earlier, unfinished run left of members that this pipeline does not have."""
        names = {member.name for member in self.pipeline.member}
        for folder in self.path.glob("members/*"):
            if folder.name not in names:
                shutil.rmtree(folder)
        for later in ("aggregator", "calibrator"):
            shutil.rmtree(self.path / later, ignore_errors=True)
        log = self.path / "log.jsonl"
        if log.exists():
            kept = [
                line
                for line in log.read_text(encoding="utf-8").splitlines()
                if json.loads(line)["member"] in names
            ]
            write_text(log, "".join(f"{line}\n" for line in kept))

    # -- members ------------------------------------------------------------------------------------------------

    def _members(self, run: Run) -> MemberTable:
        folds = self._folds()
        data = self._fit_data()
        tables = []
        self.seconds["members"] = {}
        for member in self.pipeline.member:
            self.reporter.stage(f"member {member.name}")
            stage = Stage(self.path / "members" / member.name, self._member_key(member, folds))
            if stage.done():
                self.reporter.message(
                    f"member {member.name}: kept from before; nothing it depends on has changed"
                )
                tables.append(load_file(stage.folder / "predictions.safetensors"))
            else:
                started = time.perf_counter()
                checkpoint = Checkpoint(self.path / "checkpoints" / f"{member.name}.safetensors", stage.key)
                model, table = self._fit_member(member, data, folds, run, checkpoint)
                model.save(stage.begin())
                checkpoint.remove()
                save_file(table, stage.folder / "predictions.safetensors")
                stage.finish(seconds=time.perf_counter() - started)
                tables.append(table)
            self.seconds["members"][member.name] = stage.facts()["seconds"]
        names = tuple(member.name for member in self.pipeline.member)
        return MemberTable(names, tables)

    def _folds(self) -> np.ndarray | None:
        """Return the fold of every training row, by query, or None where no part learns from the members."""
        aggregator = self.pipeline.aggregator
        if aggregator is None or "out_of_fold" not in aggregator.part.needs:
            return None
        query = self.examples["train"].query
        count = aggregator.part.config.folds
        fold_of_query = seeds.rng(self.seed, "folds").permutation(int(query.max()) + 1) % count
        return fold_of_query[query]

    def _member_key(self, member: Member, folds: np.ndarray | None) -> str:
        parts = [part for _, part in self._parts(member)]
        return content_key(
            member=resolved(self.pipeline)["member"][
                [m.name for m in self.pipeline.member].index(member.name)
            ],
            task=self.pipeline.pipeline.task,
            seed=self.seed,
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

        table = {}
        if folds is not None:
            held = np.empty((len(data.train), len(self.scheme.labels)))
            for fold in range(int(folds.max()) + 1):
                self.reporter.message(f"member {member.name}: fold {fold + 1} of {int(folds.max()) + 1}")
                inside = attrs.evolve(data, train=data.train.take(np.flatnonzero(folds != fold)))
                rows = np.flatnonzero(folds == fold)
                model = fit_member(member, inside, self.task, self.registry, self.seed, on_step=stepped)
                held[rows] = model.predict(self.corpus, data.train.take(rows))
            table["train"] = held

        def heard(figures: Mapping[str, Any]) -> None:
            self._log_epoch(member.name, figures)
            plain = {"loss": figures["loss"], **figures["valid"]}
            self.reporter.epoch(member.name, figures["epoch"], plain)
            self.registry.announce("prodmatch_epoch_finished", run=run, member=member.name, metrics=plain)

        model = fit_member(member, data, self.task, self.registry, self.seed, heard, stepped, checkpoint)
        for split in ("valid", "test"):
            table[split] = model.predict(self.corpus, self.examples[split])
        return model, table

    # -- aggregate and calibrate ----------------------------------------------------------------------------------

    def _aggregate(self, table: MemberTable) -> dict[str, Decisions]:
        section = self.pipeline.aggregator
        if section is None:
            return {
                split: Decisions.plain(
                    table.of(0, split), np.full(len(self.examples[split]), np.nan), self.scheme
                )
                for split in table.splits
            }
        aggregator = section.part.spec.load().build(section.part.config, self.scheme)
        if "train" in table.splits:
            aggregator.fit(table.members("train", self.examples["train"]), seeds.rng(self.seed, "aggregator"))
        folder = self.path / "aggregator"
        folder.mkdir(exist_ok=True)
        aggregator.save(folder)
        combined = {}
        for split in table.splits:
            result = aggregator.combine(table.members(split, self.examples[split]))
            combined[split] = Decisions.plain(result.probabilities, result.uncertainty, self.scheme)
        return combined

    def _calibrate(self, combined: dict[str, Decisions]) -> dict[str, Decisions]:
        write_parquet(self.path / "predictions.parquet", self._frame(combined, decided=False))
        valid = self.examples["valid"]
        for number, section in enumerate(self.pipeline.calibrator):
            calibrator = section.part.spec.load().build(section.part.config, self.scheme)
            calibrator.fit(combined["valid"], valid.label, valid.weight.astype(np.float64))
            folder = self.path / "calibrator" / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            calibrator.save(folder)
            combined = {split: calibrator.apply(decisions) for split, decisions in combined.items()}
        write_parquet(self.path / "decisions.parquet", self._frame(combined, decided=True))
        return combined

    def _frame(self, table: dict[str, Decisions], decided: bool) -> pl.DataFrame:
        ids = ("query_id", "product_id", "locale", "split", "label")
        frames = []
        for split, decisions in table.items():
            weight = pl.Series("weight", self.examples[split].weight)
            rows = self.rows[split].select(*ids, weight)
            frames.append(frame_of(rows, decisions, self.scheme, decided))
        return pl.concat(frames)

    # -- evaluate -------------------------------------------------------------------------------------------------

    def _evaluate(self, table: MemberTable, decisions: dict[str, Decisions]) -> None:
        test, rows = self.examples["test"], self.rows["test"]
        lines = [assess.Line("majority class", "baseline", None, None)]
        lines += [
            assess.Line(name, "baseline", probabilities, None) for name, probabilities in self._baselines()
        ]
        lines += [
            assess.Line(name, "member", table.of(number, "test"), None)
            for number, name in enumerate(table.names)
        ]
        final = decisions["test"]
        lines.append(assess.Line("pipeline", "pipeline", final.probabilities, final.labels))
        assessment = assess.assess(
            lines,
            examples=test,
            train_labels=self.examples["train"].label,
            rows=rows,
            scheme=self.scheme,
            measures=self._measures(),
            headline=self.task.headline,
            evaluation=self.pipeline.evaluation,
            seed=self.seed,
        )
        self.metrics = {
            "name": self.pipeline.pipeline.name,
            "task": self.pipeline.pipeline.task,
            "counts": {
                **{split: len(self.examples[split]) for split in ("train", "valid", "test")},
                "test_queries": int(rows["query_id"].n_unique()),
            },
            **assessment,
        }
        mistakes = assess.mistakes(rows, final, self.scheme, self.dataset, self.pipeline.evaluation.mistakes)
        write_json(self.path / "mistakes.json", mistakes)
        # TREC files are separated by white space; an id of the user's may hold some.
        queries, products = (
            rows[name].str.replace_all(r"\s+", "_").to_list() for name in ("query_id", "product_id")
        )
        score = match_score(final.probabilities, self.scheme)
        trec.write_run(self.path / "run.trec", queries, products, score, self.pipeline.pipeline.name)
        trec.write_qrels(self.path / "qrels.trec", queries, products, test.label, self.scheme)

    def _measures(self) -> list[MeasureSpec]:
        names = dict.fromkeys([*self.task.measures, *self.pipeline.evaluation.measures])
        specs = (self.registry.get("measure", name) for name in names)
        return [spec for spec in specs if isinstance(spec, MeasureSpec)]

    def _baselines(self) -> list[tuple[str, np.ndarray]]:
        """Fit the baselines that every report prints; each is a part that fits itself in seconds."""
        data = self._fit_data()
        results = []
        for name in self.pipeline.evaluation.baselines:
            spec = self.registry.get("encoder", name)
            config = spec.config()
            fitted = spec.load().fit(config, data, seeds.rng(self.seed, "baseline", name))
            label = "word overlap" if name == "core.overlap" else name
            results.append((label, fitted.predict(self.corpus, self.examples["test"])))
        return results

    # -- notes ----------------------------------------------------------------------------------------------------

    def _timed(self, name: str, work: Any) -> Any:
        started = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - started
        return result

    def _log_epoch(self, member: str, figures: Mapping[str, Any]) -> None:
        """Add an epoch to the log in place of what a stopped run said of it and of later ones."""
        path = self.path / "log.jsonl"
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            event = json.loads(line)
            if event["member"] != member or event["epoch"] < figures["epoch"]:
                kept.append(line)
        event = {"event": "epoch", "member": member, **figures}
        write_text(path, "\n".join([*kept, json.dumps(event, ensure_ascii=False)]) + "\n")

    def _write_provenance(self) -> None:
        made = provenance(self.registry, self.scheme, self.seed, self.fingerprint)
        write_json(self.path / "provenance.json", {**made, "seconds": self.seconds})
